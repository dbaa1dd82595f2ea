"""TFLite metadata, read back by the numbers of `metadata_schema.fbs`, not by the code that wrote it."""

import io
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from components.tflite_exporter.metadata import Tensor, attach_metadata
from tests.components.tflite_metadata import child, children, enum, field, floats, read_metadata, text

LABELS = "cat\nKäfer\n".encode()
IMAGE = Tensor("image", "RGB, 8 x 8 pixels.", low=0, high=255, image=True)
PROBABILITIES = Tensor("probabilities", "Of each class.", low=0, high=1, labels="labels.txt")


def model():
    """One input, one output and no op: what TFLite calls a model."""
    graph = schema.SubGraphT()
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    graph.inputs, graph.outputs, graph.operators = np.array([0], np.int32), np.array([1], np.int32), []
    whole = schema.ModelT()
    whole.version, whole.subgraphs, whole.buffers = 3, [graph], [schema.BufferT()]
    builder = flatbuffers.Builder()
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def attach(**changed):
    given = {"name": "Judge", "description": "Tells cats.", "inputs": [IMAGE], "outputs": [PROBABILITIES]}
    return attach_metadata(model(), **given | {"files": {"labels.txt": LABELS, "other.json": b"{}"}} | changed)


@pytest.fixture(scope="module")
def written():
    return attach()


@pytest.fixture(scope="module")
def metadata(written):
    return read_metadata(written)


def test_it_is_still_the_same_model(written):
    whole, before = (schema.ModelT.InitFromPackedBuf(each, 0) for each in (written, model()))
    assert written[4:8] == b"TFL3"
    assert whole.subgraphs[0].inputs.tolist() == before.subgraphs[0].inputs.tolist()
    assert len(whole.subgraphs[0].tensors) == 2


def test_files_are_stored_behind_it(written):
    archive = zipfile.ZipFile(io.BytesIO(written))
    assert archive.namelist() == ["labels.txt", "other.json"]
    assert archive.testzip() is None
    assert archive.read("labels.txt") == LABELS
    assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


def test_equal_models_have_equal_bytes(written):
    assert attach() == written
    assert attach(files={"other.json": b"{}", "labels.txt": LABELS}) == written


def test_model_and_tensors_are_described(metadata):
    assert (text(metadata, 0), text(metadata, 1)) == ("Judge", "Tells cats.")
    assert [text(file, 0) for file in children(metadata, 6)] == ["other.json"]
    assert text(metadata, 7) == "1.0.0"
    (graph,) = children(metadata, 3)
    (image,), (probabilities,) = children(graph, 2), children(graph, 3)
    assert (text(image, 0), text(image, 1)) == ("image", "RGB, 8 x 8 pixels.")
    assert (text(probabilities, 0), text(probabilities, 1)) == ("probabilities", "Of each class.")
    assert (floats(child(image, 5), 1), floats(child(image, 5), 0)) == ([0], [255])
    assert (floats(child(probabilities, 5), 1), floats(child(probabilities, 5), 0)) == ([0], [1])


def test_pixels_are_rgb_and_go_in_as_they_are(metadata):
    (image,) = children(children(metadata, 3)[0], 2)
    content = child(image, 3)
    assert enum(content, 0) == 2  # ImageProperties
    assert enum(child(content, 1), 0) == 1  # RGB
    (unit,) = children(image, 4)
    assert enum(unit, 0) == 1  # NormalizationOptions
    assert (floats(child(unit, 1), 0), floats(child(unit, 1), 1)) == ([0], [1])  # mean and deviation


def test_classes_are_named_along_the_axis(metadata):
    (probabilities,) = children(children(metadata, 3)[0], 3)
    assert enum(child(probabilities, 3), 0) == 1  # FeatureProperties
    (labels,) = children(probabilities, 6)
    assert (text(labels, 0), enum(labels, 2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert field(probabilities, 4) is None  # nothing is done to probabilities


def test_tensors_that_are_not_the_models_are_rejected():
    with pytest.raises(ValueError, match="2 inputs and 1 outputs are described; the model has 1 and 1"):
        attach(inputs=[IMAGE, IMAGE])


def test_labels_without_their_file_are_rejected():
    with pytest.raises(ValueError, match=r"labels\.txt: a tensor's labels, but not among the files"):
        attach(files={"other.json": b"{}"})
