"""The client of a stylizer that a model server serves.

with StylizerClient("localhost:8500") as client:
    stylized = client.stylize("cat.jpg", {"great-wave": 3, "swirls": 1}, strength=0.8)
    Path("stylized.jpg").write_bytes(stylized.encoded)
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier import images, stylization
from atelier.layout import MAX_PIXELS, STYLIZE_SIZE, STYLIZER
from atelier.stylization import Stylization, StylizerError, check_strength, weigh_styles
from serving.client import messages, protos
from serving.client.base_client import NO_SUCH_SIGNATURE
from serving.client.client import Client
from serving.client.errors import Code, Remedies, ServingError
from serving.client.messages import ServedModel
from serving.client.preparation import ImageSource, Preparation, PreparedImage

ABOUT_THE_IMAGE = (Code.INVALID_ARGUMENT, Code.DATA_LOSS, Code.RESOURCE_EXHAUSTED)
"""Codes of errors that are the image's fault: the next one may be restyled."""
_DEFAULT_MODEL = ServedModel(STYLIZER)
_MOST_VERSIONS = 4


@dataclass(frozen=True)
class StylizedImage:
    """An answer.

    Attributes:
      encoded: JPEG of the size that the image was sent in.
      version: of the model that answered.
      milliseconds: wall time of the call, its retries included.
    """

    encoded: bytes
    version: int
    milliseconds: float


class StylizerClient(Client):
    """Asks a server for stylized images, one in each call; threads may share one client."""

    _remedies = Remedies("--name", "make the image smaller (--size)")

    def __init__(
        self, target: str, model: ServedModel = _DEFAULT_MODEL, *, size: int = STYLIZE_SIZE, **options: Any
    ) -> None:
        """Connects at the first call.

        Args:
          target: HOST:PORT.
          model: which model is asked.
          size: longer side in pixels to which larger images are scaled down before they are sent.
          options: `deadline`, `gzip`, `tls` and `max_message_bytes` of `BaseClient`.

        Raises:
          ServingError: as `BaseClient`.
        """
        super().__init__(target, model, preparation=Preparation(size, MAX_PIXELS), **options)
        self._told: dict[int, Stylization] = {}
        self._newest: Stylization | None = None

    def stylization(self, *, deadline: float | None = None) -> Stylization:
        """Returns the styles and limits of the version that answers now.

        Raises:
          ServingError: the call failed, or the model is no stylizer.
        """
        return self._ask_for_stylization(None, deadline)

    def stylize(
        self,
        image: ImageSource,
        weights: Mapping[str, float],
        strength: float = 1.0,
        *,
        name: str = "the image",
        deadline: float | None = None,
    ) -> StylizedImage:
        """Restyles an image.

        Args:
          image: encoded bytes, the path of a file, or a result of `prepare`.
          weights: by style id; their sum is divided out.
          strength: 0 gives the image back, 1 the style in full.
          name: what messages call the image, if it is bytes.
          deadline: seconds for each call; None: the client's.

        Raises:
          StylizerError: the model lacks a style, or the weights or the strength are wrong.
          ServingError: the image cannot be used, or a call failed; the message says what to do.
        """
        check_strength(strength)
        prepared = self.prepare(image, name)
        told = self._newest or self.stylization(deadline=deadline)
        # A newer version may have other styles, or the same ones in another order.
        for _ in range(_MOST_VERSIONS):
            _check_size(prepared, told)
            request = build_stylize_request(self._model, prepared.encoded, weigh_styles(weights, told.styles), strength)
            started = time.perf_counter()
            try:
                response = self._call(self._stubs.predict, request, deadline)
            except ServingError as error:
                now = self.stylization(deadline=deadline) if error.code is Code.INVALID_ARGUMENT else told
                if now.styles == told.styles:
                    about = f"{prepared.name}: " if error.code in ABOUT_THE_IMAGE else ""
                    raise ServingError(f"{about}{error}", error.code) from error
            else:
                milliseconds = 1e3 * (time.perf_counter() - started)
                version = response.model_spec.version.value
                now = self._told.get(version) or self._ask_for_stylization(version, deadline)
                if now.styles == told.styles:
                    return StylizedImage(read_stylize_response(response), version, milliseconds)
            told = self._newest = now
        raise ServingError("versions with different styles answer in turn: ask one of them with --version or --label")

    def _ask_for_stylization(self, version: int | None, deadline: float | None) -> Stylization:
        request = messages.build_description_request(self._model, stylization.STYLIZATION_SIGNATURE, version)
        try:
            response = self._call(self._stubs.predict, request, deadline)
        except ServingError as error:
            if error.code not in NO_SUCH_SIGNATURE or stylization.STYLIZATION_SIGNATURE not in str(error):
                raise
            raise ServingError(
                f"the model {self._model.name!r} at {self._target} is not a stylizer: choose another with --name, or "
                "ask this one with `atelier predict`",
                error.code,
            ) from error
        try:
            (text,) = messages.read_tensor(response.outputs[stylization.STYLIZATION])
            self._newest = self._told[response.model_spec.version.value] = stylization.parse(text)
        except (TypeError, ValueError, StylizerError) as error:
            where = messages.describe(response.model_spec)
            raise ServingError(f"{where}: its answer cannot be read: {error}") from error
        return self._newest


def build_stylize_request(model: ServedModel, encoded: bytes, weights: list[float], strength: float) -> Any:
    """Builds a PredictRequest for one encoded image; `weights` are those of the model's styles in their order."""
    request = messages.build_predict_request(model, [encoded])
    for name, values, shape in (
        (stylization.STYLE_WEIGHTS, weights, (1, len(weights))),
        (stylization.STRENGTH, [strength], (1,)),
    ):
        tensor = request.inputs[name]
        tensor.dtype = protos.DataType.FLOAT
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.extend(values)
    return request


def read_stylize_response(response: Any) -> bytes:
    """Returns the JPEG of a PredictResponse for one image.

    Raises:
      ServingError: there is none in it.
    """
    try:
        (encoded,) = messages.read_tensor(response.outputs[stylization.STYLIZED_BYTES])
        if not isinstance(encoded, bytes) or not encoded:
            raise ValueError("there is no image in it")
    except (TypeError, ValueError) as error:
        raise ServingError(f"{messages.describe(response.model_spec)}: its answer cannot be read: {error}") from error
    return encoded


def _check_size(image: PreparedImage, told: Stylization) -> None:
    pixels = images.count_promised_pixels(image.encoded)
    if pixels > told.max_pixels:
        raise ServingError(
            f"{image.name}: {pixels} pixels are more than the {told.max_pixels} that the model takes: scale the image "
            "down (--size)",
            Code.INVALID_ARGUMENT,
        )
