"""INT8 files that are brought nearer to the float model: rounding on numbers, and a small residual net."""

import numpy as np
import pytest

from atelier.tflite.quantization import dequantize
from components.tflite_exporter.refine import DAMPING, refine, round_weights
from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from components.tflite_exporter import convert, flatbuffer, proof

SIZE = 16
rng = np.random.default_rng(0)
# Smooth images, as photographs are: 4 x 4 random values, enlarged.
IMAGES = [np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1))).astype(np.uint8) for _ in range(40)]


def make_column(*weights):
    return np.array(weights, np.float64)[:, None]


def test_weights_of_independent_inputs_are_rounded_to_the_nearest():
    assert round_weights(make_column(0.4, -1.6, 2.2), np.eye(3)).ravel().tolist() == [0, -2, 2]


def test_a_weight_makes_up_for_the_error_of_the_one_before():
    # Inputs that always are the same: only the sum of the weights counts, 0.8. The nearest integers would give 0.
    assert round_weights(make_column(0.4, 0.4), np.ones((2, 2))).ravel().tolist() == [0, 1]
    # Inputs that are opposite: only the difference counts, 0.
    assert round_weights(make_column(0.4, 0.6), np.array([[1.0, -1], [-1, 1]])).ravel().tolist() == [0, 0]


def test_weights_stay_within_int8():
    assert round_weights(make_column(127.0, 127.0), np.ones((2, 2))).ravel().tolist() == [127, 127]
    assert round_weights(make_column(300.0, -300.0), np.eye(2)).ravel().tolist() == [127, -127]


def test_channels_and_outputs_are_rounded_apart():
    weights = np.array([[[0.4, 1.4], [0.4, 0.4]], [[0.4, 1.4], [0.4, 0.4]]])
    covariances = np.stack([np.eye(2), np.ones((2, 2))])
    assert round_weights(weights, covariances).tolist() == [[[0, 1], [0, 0]], [[0, 1], [1, 1]]]


def test_many_weights_in_blocks_are_rounded_as_one_after_the_other():
    inputs = rng.normal(size=(400, 150)) @ rng.normal(size=(150, 150))  # correlated
    covariance, weights = np.cov(inputs, rowvar=False), rng.normal(size=(150, 6)) * 30
    # Frantar et al. 2023, equations 2 and 3, as they stand: the inverse is made anew after each weight.
    left, alone = weights.copy(), np.empty_like(weights)
    damped = covariance + DAMPING * np.diag(covariance).mean() * np.eye(150)
    for index in range(150):
        inverse = np.linalg.inv(damped[index:, index:])
        alone[index] = np.rint(left[index])
        left[index:] -= inverse[:, :1] / inverse[0, 0] * (left[index] - alone[index])

    def measure_loss(rounded):
        return np.einsum("io,ij,jo->", weights - rounded, covariance, weights - rounded)

    blocks = round_weights(weights, covariance)
    assert np.mean(blocks == alone) > 0.98  # a weight just between two integers may go either way
    assert measure_loss(blocks) == pytest.approx(measure_loss(alone), rel=0.02)
    assert measure_loss(blocks) < measure_loss(np.rint(weights)) / 2


def test_inputs_that_never_vary_are_no_error():
    assert round_weights(make_column(0.4, 1.6), np.zeros((2, 2))).ravel().tolist() == [0, 2]


@pytest.fixture(scope="module")
def files():
    """A net with every kind of layer that is refined, and one that is not: float and INT8 files."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    stem = keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.DepthwiseConv2D(5, padding="same", activation="relu")(stem)
    x = keras.layers.Conv2D(32, 1)(x)
    x = keras.layers.Add()([x, stem])
    x = keras.layers.Conv2D(8, 3, dilation_rate=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    net = keras.Model(pixels, keras.layers.Dense(5, activation="softmax")(x))
    frozen = convert.freeze(net, SIZE)
    return [convert.convert(frozen, variant, IMAGES[:20]) for variant in ("float", "int8")]


@pytest.fixture(scope="module")
def refined(files):
    return refine(files[1], files[0], IMAGES[:20])


def compute_logits(content):
    """What goes into the softmax: the probabilities themselves are rounded to 1/256."""
    model = flatbuffer.unpack(content)
    (softmax,) = [each for each in model.subgraphs[0].operators if flatbuffer.read_op_name(model, each) == "SOFTMAX"]
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (scale, zero_point) = next(
        each["quantization"] for each in interpreter.get_tensor_details() if each["index"] == softmax.inputs[0]
    )
    found = []
    for image in IMAGES[20:]:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(dequantize(interpreter.get_tensor(softmax.inputs[0])[0], scale, zero_point))
    return np.stack(found)


@pytest.mark.slow
def test_answers_come_nearer_to_the_float_models(files, refined):
    exact, before, after = map(compute_logits, (files[0], files[1], refined))
    assert np.abs(after - exact).mean() < 0.85 * np.abs(before - exact).mean()


@pytest.mark.slow
def test_it_is_the_same_net_in_integers_only(files, refined, tmp_path):
    assert len(refined) == len(files[1])
    (tmp_path / "model.tflite").write_bytes(refined)
    proof.prove_int8(tmp_path / "model.tflite")
    assert refine(files[1], files[0], IMAGES[:20]) == refined
    before, after = (flatbuffer.unpack(content) for content in (files[1], refined))
    names = [
        [flatbuffer.read_op_name(model, each) for each in model.subgraphs[0].operators] for model in (before, after)
    ]
    assert names[0] == names[1]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"} <= set(names[0])


@pytest.mark.slow
def test_the_range_of_a_branch_is_its_own(files, refined):
    """The converter gives it that of the sum."""

    def read_ranges(content):
        model = flatbuffer.unpack(content)
        graph = model.subgraphs[0]
        residuals = [
            [each, *(graph.tensors[index] for index in each.inputs)]
            for each in graph.operators
            if flatbuffer.read_op_name(model, each) == "ADD"
        ]
        ((add, *_),) = [each for each in residuals if all(model.buffers[one.buffer].data is None for one in each[1:])]
        return [255 * float(graph.tensors[index].quantization.scale[0]) for index in (*add.inputs, *add.outputs)]

    (*before, total), (*after, same) = read_ranges(files[1]), read_ranges(refined)
    assert max(before) >= total
    assert same == total
    assert sum(after) < sum(before)


@pytest.mark.slow
def test_one_image_is_enough(files):
    # Where a layer sees one row of inputs, their covariance is 0 but for rounding.
    assert len(refine(files[1], files[0], IMAGES[:1])) == len(refine(files[1], files[0], IMAGES[:20]))


@pytest.mark.slow
def test_a_file_of_another_model_changes_nothing(files):
    other = flatbuffer.unpack(files[0])
    for tensor in other.subgraphs[0].tensors:
        tensor.name = f"other {tensor.name}"
    int8 = flatbuffer.pack(flatbuffer.unpack(files[1]))
    assert refine(files[1], flatbuffer.pack(other), IMAGES[:2]) == int8
