"""`atelier predict`, in this process, against a server that answers as TensorFlow Serving does."""

import io
import json
import socket
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from components.tflite_exporter import convert
    from tests.serving.fake_model_server import FakeModelServer, serving

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def fake():
    return FakeModelServer()


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def images(tmp_path):
    """A folder with two images, one of them in a subfolder, and a hidden file."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder / "a[b].png")
    Image.new("RGB", (3000, 2000), "navy").save(folder / "more" / "c.jpg")
    (folder / ".hidden").write_text("no image")
    return folder


@pytest.fixture
def predict(capfd):
    """Runs the command; gives the exit code, standard output, and the lines on standard error."""

    def run(*arguments):
        capfd.readouterr()  # what TensorFlow says meanwhile
        code = cli.main(["predict", *map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err.splitlines()

    return run


def test_a_table(predict, target, images):
    code, out, _ = predict(images / "a[b].png", images / "more" / "c.jpg", "--target", target)
    assert code == 0
    rows = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[:4]] for row in rows] == [
        [str(images / "a[b].png"), "dog", "0.625", "2"],
        [str(images / "more" / "c.jpg"), "dog", "0.625", "2"],
    ]
    assert all(row[4].strip().endswith(" ms") for row in rows)
    assert [word for word in out.split() if word in ("file", "label", "probability", "version", "latency")] == [
        "file", "label", "probability", "version", "latency",
    ]  # fmt: skip


def test_json_is_all_that_is_on_standard_output(predict, target, images):
    code, out, err = predict(images / "a[b].png", "--target", target, "--json", "--top", 2)
    (row,) = json.loads(out)
    assert row.pop("milliseconds") > 0
    assert row == {
        "file": str(images / "a[b].png"),
        "label": "dog",
        "probability": 0.625,
        "version": 2,
        "top": [{"label": "dog", "probability": 0.625}, {"label": "cat", "probability": 0.25}],
    }
    assert (code, err) == (0, [])


def test_a_folder_is_walked(predict, target, fake, images):
    code, out, err = predict(images, "--target", target, "--json", "--batch", 1)
    assert [row["file"] for row in json.loads(out)] == [str(images / "a[b].png"), str(images / "more" / "c.jpg")]
    assert (code, err) == (0, ["predicting"])
    assert fake.methods() == ["Predict", "Predict"]


def test_bad_images_are_named_and_the_good_ones_predicted(predict, target, images):
    (images / "bad.jpg").write_text("remember the milk")
    missing = images / "missing.png"
    code, out, err = predict(missing, images / "bad.jpg", images / "a[b].png", "--target", target, "--json")
    assert code == 1
    assert [row["file"] for row in json.loads(out)] == [str(images / "a[b].png")]
    assert err == [
        f"atelier: {missing}: unreadable: No such file or directory",
        f"atelier: {images}/bad.jpg: not_an_image: it begins with b'remember'",
    ]


def test_an_empty_folder(predict, tmp_path):
    assert predict(tmp_path, "--json") == (1, "[]\n", [f"atelier: {tmp_path}: no files in this folder"])


@pytest.mark.slow
def test_no_server(predict, images):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
        code, out, (line,) = predict(images / "a[b].png", "--target", target, "--json")
    assert (code, json.loads(out)) == (1, [])
    assert line.startswith(f"atelier: no server at {target} (Connection refused): start one with `atelier serve`")


def test_what_was_done_before_a_failure_is_printed(predict, target, fake, images):
    fake.failures = [None, (grpc.StatusCode.INTERNAL, "out of order")]
    code, out, err = predict(images, "--target", target, "--json", "--batch", 1)
    assert (code, [Path(row["file"]).name for row in json.loads(out)]) == (1, ["a[b].png"])
    assert err[1:] == [f"atelier: {target} answers INTERNAL: out of order"]


def test_options_reach_the_server(predict, target, fake, images):
    options = ["--model", "pets", "--label", "stable", "--deadline", "5", "--gzip", "--max-message-mb", "1"]
    code, _, _ = predict(images / "more" / "c.jpg", "--target", target, "--as-is", *options)
    assert code == 0
    ((_, request, seconds),) = fake.calls
    assert (request.model_spec.name, request.model_spec.version_label) == ("pets", "stable")
    assert 0 < seconds <= 5
    assert list(request.inputs["image_bytes"].string_val) == [(images / "more" / "c.jpg").read_bytes()]


def test_images_are_scaled_down_and_a_version_asked_by_number(predict, target, fake, images):
    assert predict(images / "more" / "c.jpg", "--target", target, "--version", "1")[0] == 0
    (request,) = fake.requests("Predict")
    assert request.model_spec.version.value == 1
    (sent,) = request.inputs["image_bytes"].string_val
    assert Image.open(io.BytesIO(sent)).size == (512, 341)


def test_images_are_prepared_as_the_model_was_trained(predict, target, fake, images):
    fake.preprocessing[2]["store_size"] = 96
    assert predict(images / "more" / "c.jpg", "--target", target)[0] == 0
    (sent,) = fake.requests("Predict")[0].inputs["image_bytes"].string_val
    assert Image.open(io.BytesIO(sent)).size == (96, 64)


def test_a_model_that_does_not_tell_its_preprocessing_is_told_in_one_line(predict, target, fake, images):
    fake.preprocessing = None
    code, out, (line,) = predict(*[images / "more" / "c.jpg"] * 3, "--target", target, "--json", "--batch", 1)
    assert (code, len(json.loads(out))) == (0, 3)
    assert line.startswith(f"atelier: warning: model 'default', version 2, at {target} does not tell how its images")
    assert "512 pixels" in line
    assert "--as-is" in line
    assert predict(images / "more" / "c.jpg", "--target", target, "--as-is", "--json")[2] == []


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_once(predict, images):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
        code, _, lines = predict(images / "a[b].png", images / "more" / "c.jpg", "--target", target, "--batch", 1)
    assert (code, len(lines)) == (1, 1)


def test_a_label_without_a_name_is_told(predict, target, images):
    code, _, (line,) = predict(images / "a[b].png", "--target", target, "--label", "")
    assert (code, line.startswith("atelier: label '': expected the name")) == (1, True)


def test_an_image_larger_than_a_message_is_one_bad_image(predict, target, images):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(images / "large.png")
    options = ["--target", target, "--as-is", "--max-message-mb", "1", "--json"]
    code, out, (line,) = predict(images / "large.png", images / "a[b].png", *options)
    assert (code, len(json.loads(out))) == (1, 1)
    assert "large.png: " in line
    assert "bytes are more than a message holds" in line


@pytest.mark.parametrize("options", [["--json"], ["--json", "--top", "2"], []])
def test_an_image_whose_answer_is_no_number_is_an_error(predict, target, fake, images, options):
    white = images / "white.png"
    Image.new("RGB", (8, 8), "white").save(white)
    fake.rows[white.read_bytes()] = (np.nan,) * 3
    code, out, err = predict(white, images / "a[b].png", "--target", target, *options)
    assert err == [f"atelier: {white}: version 2 of the model gives NaN or infinity for 3 of 3 probabilities"]
    assert (code, str(white) in out, "nan" in out.lower()) == (1, False, False)
    if options:
        assert [row["file"] for row in json.loads(out)] == [str(images / "a[b].png")]


def test_a_folder_goes_to_a_server_of_small_batches(predict, target, fake, images):
    fake.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "Task size 2 is larger than maximum input batch size 1")]
    code, out, err = predict(images, "--target", target, "--json")
    assert (code, len(json.loads(out)), err) == (0, 2, ["predicting"])
    assert fake.methods() == ["Predict"] * 3


@pytest.mark.slow
def test_tls_by_any_of_its_options(predict, target, images):
    code, out, (line,) = predict(images / "a[b].png", "--target", target, "--tls")
    assert (code, out) == (1, "")
    assert line == f"atelier: {target} does not speak TLS: connect in plain text, without --tls, --ca and --cert"
    none = images / "none.pem"
    code, _, (line,) = predict(images / "a[b].png", "--target", target, "--ca", none)
    assert (code, line) == (1, f"atelier: {none}: cannot be read: No such file or directory")


@pytest.mark.slow
def test_tflite(predict, tmp_path, images):
    pixels = keras.Input((16, 16, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels)
    net = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Rescaling(1 / 64)(mean)))
    pushed = tmp_path / "tflite" / "17"
    pushed.mkdir(parents=True)
    (pushed / "model.tflite").write_bytes(convert.convert(convert.freeze(net, 16), "float"))
    (pushed / "labels.txt").write_text("red\ngreen\nblue\n")
    told = {"size": 16, "resize": "crop", "store_size": 96}
    (pushed / "card.json").write_text(json.dumps({"resize": "crop", "preprocessing": told}))
    code, out, err = predict(images, "--tflite", pushed / "model.tflite", "--json", "--top", 2)
    assert (code, err) == (0, ["predicting"])
    assert [(row["label"], row["version"], len(row["top"])) for row in json.loads(out)] == [
        ("red", 17, 2),
        ("blue", 17, 2),
    ]
    overflowing = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Rescaling(1e38)(mean)))
    (pushed / "nan.tflite").write_bytes(convert.convert(convert.freeze(overflowing, 16), "float"))
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    code, out, (line,) = predict(
        images / "a[b].png", tmp_path / "black.png", "--tflite", pushed / "nan.tflite", "--json"
    )
    assert (code, [row["file"] for row in json.loads(out)]) == (1, [str(tmp_path / "black.png")])
    assert "a[b].png: version 17 of the model gives NaN or infinity for" in line
    (pushed / "card.json").write_text('{"resize": "crop"}')
    code, _, (line,) = predict(images / "a[b].png", "--tflite", pushed / "model.tflite", "--json")
    assert (code, line.startswith(f"atelier: warning: {pushed}/card.json does not tell how")) == (0, True)
    (pushed / "labels.txt").unlink()
    code, out, (line,) = predict(images / "a[b].png", "--tflite", pushed / "model.tflite")
    assert (code, out) == (1, "")
    assert line.startswith(f"atelier: {pushed}/labels.txt: cannot be read")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'IMAGE...'"),
        (["--target", "a:1", "--tflite", "m.tflite"], "--target and --tflite exclude each other"),
        (["--version", "1", "--label", "x"], "--version and --label exclude each other"),
        (["--top", "0"], "'--top': 0 is not in the range x>=1"),
        (
            ["--version", "20261126171900123456"],
            "20261126171900123456: expected a version, an integer of at most 64 bits",
        ),
        (["--version", "1_000"], "1_000: expected a version"),
        (
            ["--target", "http://127.0.0.1:8500"],
            "http://127.0.0.1:8500: expected HOST:PORT and nothing else",
        ),
        (["--target", "127.0.0.1:8500/"], "write 127.0.0.1:8500"),
        (["--target", "localhost"], "localhost: no port; write localhost:8500"),
        (["--deadline", "0"], "'--deadline': 0.0 is not in the range 0.001<=x<=86400"),
        (["--max-message-mb", "4096"], "4096 is not in the range 1<=x<=2047"),
        (["--batch", "two"], "'--batch': 'two' is not a valid integer"),
        (["--cert", "c.pem"], "--cert and --key go together"),
        (["--tflite", "m.tflite", "--max-message-mb", "1"], "--max-message-mb is for a server, not for --tflite"),
    ],
)
def test_wrong_usage(capsys, arguments, words):
    assert cli.main(["predict", *(["a.jpg"] if arguments else []), *arguments]) == 2
    assert words in capsys.readouterr().err
