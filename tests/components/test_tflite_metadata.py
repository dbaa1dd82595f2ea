"""TFLite metadata, read back by the numbers of `metadata_schema.fbs`, not by the code that wrote it."""

import io
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from components.tflite_exporter.metadata import Tensor, attach_metadata
from tests.components.tflite_metadata import (
    find_field,
    read_child,
    read_children,
    read_enum,
    read_floats,
    read_metadata,
    read_text,
)

LABELS = "cat\nKäfer\n".encode()
IMAGE = Tensor("image", "RGB, 8 x 8 pixels.", low=0, high=255, image=True)
PROBABILITIES = Tensor("probabilities", "Of each class.", low=0, high=1, labels="labels.txt")


def build_model():
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
    return attach_metadata(build_model(), **given | {"files": {"labels.txt": LABELS, "other.json": b"{}"}} | changed)


@pytest.fixture(scope="module")
def written():
    return attach()


@pytest.fixture(scope="module")
def metadata(written):
    return read_metadata(written)


def test_it_is_still_the_same_model(written):
    whole, before = (schema.ModelT.InitFromPackedBuf(each, 0) for each in (written, build_model()))
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
    assert (read_text(metadata, 0), read_text(metadata, 1)) == ("Judge", "Tells cats.")
    assert [read_text(file, 0) for file in read_children(metadata, 6)] == ["other.json"]
    assert read_text(metadata, 7) == "1.0.0"
    (graph,) = read_children(metadata, 3)
    (image,), (probabilities,) = read_children(graph, 2), read_children(graph, 3)
    assert (read_text(image, 0), read_text(image, 1)) == ("image", "RGB, 8 x 8 pixels.")
    assert (read_text(probabilities, 0), read_text(probabilities, 1)) == ("probabilities", "Of each class.")
    assert (read_floats(read_child(image, 5), 1), read_floats(read_child(image, 5), 0)) == ([0], [255])
    assert (read_floats(read_child(probabilities, 5), 1), read_floats(read_child(probabilities, 5), 0)) == ([0], [1])


def test_pixels_are_rgb_and_go_in_as_they_are(metadata):
    (image,) = read_children(read_children(metadata, 3)[0], 2)
    content = read_child(image, 3)
    assert read_enum(content, 0) == 2  # ImageProperties
    assert read_enum(read_child(content, 1), 0) == 1  # RGB
    (unit,) = read_children(image, 4)
    assert read_enum(unit, 0) == 1  # NormalizationOptions
    assert (read_floats(read_child(unit, 1), 0), read_floats(read_child(unit, 1), 1)) == (
        [0],
        [1],
    )  # mean and deviation


def test_classes_are_named_along_the_axis(metadata):
    (probabilities,) = read_children(read_children(metadata, 3)[0], 3)
    assert read_enum(read_child(probabilities, 3), 0) == 1  # FeatureProperties
    (labels,) = read_children(probabilities, 6)
    assert (read_text(labels, 0), read_enum(labels, 2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert find_field(probabilities, 4) is None  # nothing is done to probabilities


def test_tensors_that_are_not_the_models_are_rejected():
    with pytest.raises(ValueError, match="2 inputs and 1 outputs are described; the model has 1 and 1"):
        attach(inputs=[IMAGE, IMAGE])


def test_labels_without_their_file_are_rejected():
    with pytest.raises(ValueError, match=r"labels\.txt: a tensor's labels, but not among the files"):
        attach(files={"other.json": b"{}"})
