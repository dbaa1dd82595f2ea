"""The input and the output of a TFLite classifier, as the pipeline exports it."""

from pathlib import Path
from typing import Any

import numpy as np

from atelier.errors import AtelierError


def find_tensors(interpreter: Any, file: Path, error_type: type[AtelierError]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns LiteRT's details of the input, uint8 [1, size, size, 3], and of the output, [1, classes].

    Args:
      interpreter: LiteRT's, of the model.
      file: where the model is from, for the message.
      error_type: of the error that is raised.

    Raises:
      AtelierError: of `error_type`: the model takes or gives something else.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = [detail["shape"].tolist() for detail in (*inputs, *outputs)]
    match shapes:
        case [[1, height, width, 3], [1, _]] if height == width and len(inputs) == 1 and inputs[0]["dtype"] == np.uint8:
            return inputs[0], outputs[0]
    raise error_type(
        f"{file}: its input and its output have the shapes {shapes}; expected one image, uint8 [1, size, size, 3], "
        "and its classes, [1, classes]"
    )
