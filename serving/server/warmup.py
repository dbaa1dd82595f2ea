"""Replays a model's warm-up requests, so that the first real one is as fast as the tenth.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from atelier import tfrecord
from atelier.layout import ASSETS_EXTRA, WARMUP_FILE
from serving.server import calls
from serving.server.loaded_model import LoadedModel
from serving.server.status import StatusError, build_invalid_error

FILE = Path(ASSETS_EXTRA, WARMUP_FILE)
MOST_RECORDS = 1000
"""TensorFlow Serving rejects files of more."""
_MAX_PIXELS = 2**40
"""No image of the file is rejected: the file came with the model."""


def replay(model: LoadedModel, directory: Path) -> int:
    """Lets the model answer each record of its warm-up file; returns their number, 0 without a file.

    Raises:
      StatusError: INVALID_ARGUMENT for a file that cannot be read or has too many records; what the model says to one
        that it cannot answer.
    """
    file = directory / FILE
    if not file.is_file():
        return 0
    count = 0
    for count, log in enumerate(_read_logs(file), start=1):
        if count > MOST_RECORDS:
            raise build_invalid_error(f"{file}: more than {MOST_RECORDS} warm-up records")
        try:
            _answer(model, log)
        except StatusError as error:
            raise StatusError(error.code, f"{file}: record {count}: {error}") from None
    return count


def _read_logs(file: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    try:
        with file.open("rb") as stream:
            for record in tfrecord.read(stream):
                yield prediction_log_pb2.PredictionLog.FromString(record)
    except (tfrecord.DamagedError, DecodeError, OSError) as error:
        raise build_invalid_error(f"{file}: {error}") from None


def _answer(model: LoadedModel, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        checked = calls.check_predict(model.signatures, log.predict_log.request, _MAX_PIXELS)
    elif kind == "classify_log":
        checked = calls.check_classify(model.signatures, log.classify_log.request, _MAX_PIXELS)
    else:
        raise build_invalid_error(f"Unsupported log_type for warmup: {kind}")
    model.run(checked.signature, checked.inputs)
