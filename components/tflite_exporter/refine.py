"""Makes an INT8 model answer more like the float model that it came from. Ops, shapes, size and speed stay.

The converter loses more than 8 bits cost, in three places that this module mends:

* **Ranges.** While the converter calibrates, ADD and MUL write their results over their first input, and then the range
  of that input is logged: it comes out as the union of both. In EfficientNet-Lite0 every residual branch had a range up
  to four times too wide, two of its eight bits.
* **Rounding of the weights.** To the nearest integer is the best for each weight, not for their sum. Pixels of a
  neighborhood are alike, so that the errors of a depthwise kernel add up. Here each weight is rounded in its turn, and
  the ones after it make up for its error, by the covariance of the layer's inputs: GPTQ (Frantar et al. 2023), whose
  steps are those of Optimal Brain Surgeon.
* **Biases.** The mean of the error that is left goes into the bias: bias correction (Nagel et al. 2019, section 4.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import threadpool_limits

from components.tflite_exporter.flatbuffer import (
    pack,
    read_constant,
    read_op_name,
    read_tensor_name,
    unpack,
    write_constant,
)

POSITIONS = 32
"""Of each image and layer, at most so many outputs are looked at, drawn by chance: neighbors tell little more."""
_AT_A_TIME = 512
_BLOCK = 64
"""So many weights are rounded before the ones after them hear of their errors, all at once by a product of matrices."""
DAMPING = 0.01
"""Added to the variances, as a share of their mean: so much noise may every input have."""

_ELEMENTWISE = {"ADD", "SUB", "MUL"}
_FREE_OUTPUT = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", *_ELEMENTWISE}
"""Ops whose output may have any range."""
_DEPTHWISE = "DEPTHWISE_CONV_2D"
_WEIGHTED = {"CONV_2D", _DEPTHWISE, "FULLY_CONNECTED"}


def refine(int8: bytes, reference: bytes, calibration: Sequence[np.ndarray]) -> bytes:
    """Returns the INT8 model with better ranges, weights and biases.

    A layer stays as it was if the two files do not share it, by the name of its output and the shape of its weights, or
    if its convolution is dilated or grouped.

    Args:
      int8: a TFLite file that is fully INT8.
      reference: the same model in float, of one image [1, H, W, 3] uint8.
      calibration: [H, W, 3] uint8 images of the kind that the model will see.
    """
    model, original = unpack(int8), unpack(reference)
    layers = list(_find_shared_layers(model, original))
    # The matrices are too small for several threads, which only wait for each other on a busy machine.
    with threadpool_limits(1):
        ranges = _observe(reference, original, calibration, layers)
        _correct_ranges(model, ranges)
        for layer in layers:
            _requantize(model, original, layer)
    return pack(model)


@dataclass
class _Layer:
    """A weighted op in both files, and what it sees in float."""

    op: str
    int8: schema.OperatorT
    float: schema.OperatorT
    kernel: tuple[int, int]
    seen: list[np.ndarray] = field(default_factory=list)
    """Inputs that are not yet in the sums."""
    count: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(1))
    """[d], or [C, d] where each channel has its own inputs."""
    products: np.ndarray = field(default_factory=lambda: np.zeros(1))
    """[d, d], or [C, d, d]."""

    def see(self, inputs: np.ndarray) -> None:
        """Takes what the outputs at some positions are sums of: [n, d], or [C, n, d]."""
        self.seen.append(inputs)
        if sum(each.shape[-2] for each in self.seen) >= _AT_A_TIME:
            self.add_up()

    def add_up(self) -> None:
        """Moves what was seen to the sums: many at a time, since a large matrix is added."""
        if self.seen:
            inputs = np.concatenate(self.seen, axis=-2).astype(np.float64)
            self.count += inputs.shape[-2]
            self.sums = self.sums + inputs.sum(axis=-2)
            self.products = self.products + inputs.swapaxes(-1, -2) @ inputs
            self.seen = []

    @property
    def mean(self) -> np.ndarray:
        return self.sums / self.count

    @property
    def covariance(self) -> np.ndarray:
        mean, squares = self.mean, self.products / self.count
        found = squares - mean[..., :, None] * mean[..., None, :]
        # Of one image the difference is nothing but rounding, which may be negative.
        size = found.shape[-1]
        rounding = 1e-9 * np.trace(squares, axis1=-2, axis2=-1) / size
        return found + rounding[..., None, None] * np.eye(size)


def _find_shared_layers(model: schema.ModelT, original: schema.ModelT) -> Iterator[_Layer]:
    tensors, originals = model.subgraphs[0].tensors, original.subgraphs[0].tensors
    named = {
        (read_op_name(original, each), read_tensor_name(originals[each.outputs[0]])): each
        for each in original.subgraphs[0].operators
    }
    for each in model.subgraphs[0].operators:
        op = read_op_name(model, each)
        same = named.get((op, read_tensor_name(tensors[each.outputs[0]])))
        if op not in _WEIGHTED or same is None:
            continue
        shape = list(originals[same.inputs[1]].shape)
        if list(tensors[each.inputs[1]].shape) != shape or originals[same.inputs[1]].buffer == 0:
            continue
        if op == "FULLY_CONNECTED":
            yield _Layer(op, each, same, (1, 1))
            continue
        channels = originals[same.inputs[0]].shape[3]
        options = same.builtinOptions
        if shape[3] == channels and options.dilationHFactor == options.dilationWFactor == 1:
            yield _Layer(op, each, same, (shape[1], shape[2]))


def _observe(
    reference: bytes, original: schema.ModelT, calibration: Sequence[np.ndarray], layers: Sequence[_Layer]
) -> dict[str, tuple[float, float]]:
    """Runs the float model; fills the layers, and returns the range of each tensor that an op gives, by its name."""
    interpreter = Interpreter(
        model_content=reference,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,  # else each is overwritten by a later one
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    graph, draw = original.subgraphs[0], np.random.default_rng(0)
    outputs = {int(index): read_tensor_name(graph.tensors[index]) for each in graph.operators for index in each.outputs}
    ranges = dict.fromkeys(outputs.values(), (0.0, 0.0))
    for image in calibration:
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        for index, name in outputs.items():
            value, (low, high) = interpreter.get_tensor(index), ranges[name]
            ranges[name] = min(low, float(value.min())), max(high, float(value.max()))
        for layer in layers:
            layer.see(_flatten(layer, interpreter.get_tensor(layer.float.inputs[0]), draw))
    for layer in layers:
        layer.add_up()
    return ranges


def _flatten(layer: _Layer, value: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """What the outputs at some positions are sums of: [n, d], or [C, n, d] where channels are apart."""
    if layer.op == "FULLY_CONNECTED":
        return value.reshape(-1, value.shape[-1])
    options, image = layer.float.builtinOptions, value[0]
    strides = options.strideH, options.strideW
    if options.padding == schema.Padding.SAME:
        image = np.pad(image, [*map(_compute_padding, image.shape[:2], layer.kernel, strides), (0, 0)])
    windows = sliding_window_view(image, layer.kernel, axis=(0, 1))[:: strides[0], :: strides[1]]
    height, width = windows.shape[:2]
    chosen = draw.permutation(height * width)[:POSITIONS]
    seen = windows[chosen // width, chosen % width]  # [n, C, *kernel]
    count, channels = seen.shape[:2]
    if layer.op == _DEPTHWISE:
        return seen.reshape(count, channels, -1).swapaxes(0, 1)
    return seen.transpose(0, 2, 3, 1).reshape(count, -1)


def _compute_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's SAME has them."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _correct_ranges(model: schema.ModelT, ranges: dict[str, tuple[float, float]]) -> None:
    """Gives the inputs of elementwise ops their own range; nothing else depends on it."""
    graph = model.subgraphs[0]
    consumers: dict[int, set[str]] = {int(index): {"output"} for index in graph.outputs}
    for each in graph.operators:
        for index in each.inputs:
            consumers.setdefault(int(index), set()).add(read_op_name(model, each))
    for each in graph.operators:
        tensor, readers = graph.tensors[each.outputs[0]], consumers.get(int(each.outputs[0]), set())
        low, high = ranges.get(read_tensor_name(tensor), (0.0, 0.0))
        if read_op_name(model, each) in _FREE_OUTPUT and readers and readers <= _ELEMENTWISE and high > low:
            scale = (high - low) / 255
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([round(-128 - low / scale)], np.int64)


def _requantize(model: schema.ModelT, original: schema.ModelT, layer: _Layer) -> None:
    """Rounds a layer's weights anew at the scales that they have, and corrects its bias."""
    tensors, originals = model.subgraphs[0].tensors, original.subgraphs[0].tensors
    target = tensors[layer.int8.inputs[1]]
    weights = read_constant(original, originals[layer.float.inputs[1]], np.float32).astype(np.float64)
    depthwise = layer.op == _DEPTHWISE
    # [d, outputs], or [C, d, 1]: as many matrices as covariances.
    exact = weights.reshape(-1, weights.shape[3]).T[..., None] if depthwise else weights.reshape(len(weights), -1).T
    scales = np.broadcast_to(
        np.asarray(target.quantization.scale, np.float64), len(layer.mean) if depthwise else len(weights)
    )
    steps = scales[:, None, None] if depthwise else scales
    rounded = round_weights(exact / steps, layer.covariance)
    stored = rounded[..., 0].T if depthwise else rounded.T
    write_constant(model, target, stored.reshape(weights.shape).astype(np.int8))

    if len(layer.int8.inputs) < 3 or layer.int8.inputs[2] < 0:
        return
    lost = (layer.mean[..., None, :] @ (exact - rounded * steps)).reshape(-1)
    bias = read_constant(original, originals[layer.float.inputs[2]], np.float32)
    units = scales * float(tensors[layer.int8.inputs[0]].quantization.scale[0])
    whole = np.rint((bias + lost) / units).clip(-(2**31), 2**31 - 1)
    write_constant(model, tensors[layer.int8.inputs[2]], whole.astype(np.int32))


def round_weights(weights: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Rounds weights to -127..127 so that the layer's outputs vary from the exact ones as little as possible.

    Args:
      weights: [..., d, outputs], in units of their steps.
      covariance: [..., d, d] of the inputs that they are multiplied with.

    Returns:
      [..., d, outputs] float32, integers.
    """
    size = weights.shape[-2]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    noise = DAMPING * variances.mean(axis=-1) + 1e-12
    damped = (covariance + noise[..., None, None] * np.eye(size)) / noise[..., None, None]
    # Row i: by how much the weights after i make up for an error of weight i.
    shares = np.linalg.cholesky(np.linalg.inv(damped.astype(np.float64))).swapaxes(-1, -2)
    shares = shares / np.diagonal(shares, axis1=-2, axis2=-1)[..., None]
    left, rounded = weights.astype(np.float32), np.empty(weights.shape, np.float32)
    errors, shares = np.empty_like(left), shares.astype(np.float32)
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        for index in range(start, end):
            rounded[..., index, :] = np.rint(left[..., index, :]).clip(-127, 127)
            errors[..., index, :] = left[..., index, :] - rounded[..., index, :]
            left[..., index:end, :] -= shares[..., index, index:end, None] * errors[..., None, index, :]
        left[..., end:, :] -= shares[..., start:end, end:].swapaxes(-1, -2) @ errors[..., start:end, :]
    return rounded
