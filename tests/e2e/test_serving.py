"""What the pipeline pushed, served and asked: `atelier serve` and `atelier predict` as processes.

The same is asserted of TensorFlow Serving where there is one: `tensorflow_model_server` on the PATH, or one that runs
already: TF_SERVING_TARGET=HOST:PORT, and TF_SERVING_MODELS=DIR for the base path of its model `default`.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import ovmsclient
import pytest
import trustme
from PIL import Image

from atelier import images, preprocessing, tfrecord
from atelier.layout import ASSETS_EXTRA, PREPROCESSING_FILE
from serving.client import Client, Preparation, ServedModel, ServingError
from tests.deferred import deferred_imports
from tests.e2e.conftest import DIGITS, ROOT, Run
from tests.serving import warmup
from tests.serving.malformed import MALFORMED
from tests.trainer.image_kinds import IMAGES

with deferred_imports():
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from tests.e2e import tiny_backbone
    from tests.serving.door import Door
    from trainer import backbones, export
    from trainer.images import ops
    from trainer.model import build_classifier

pytestmark = pytest.mark.slow

SIZE = 32


@dataclass(frozen=True)
class Served:
    """A server and what it serves."""

    target: str
    base: Path
    """The base path of its model `default`."""

    @property
    def newest(self) -> Path:
        return max((path for path in self.base.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


class Process:
    """`atelier serve`, on a free port."""

    def __init__(self, log: Path, *arguments: object) -> None:
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--port", "0", *map(str, arguments)]
        self.log = log
        # Modules of the client that other tests have imported set gRPC's variables.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=stream, stdout=stream, env=environment)
        try:
            self.target = self._find_target()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.first_milliseconds: list[float] = []
        """Of its first answers, where a fixture has asked."""

    def _find_target(self) -> str:
        def find_targets() -> list[str]:
            assert self.process.poll() is None, self.log.read_text()
            return [line.split(" at ")[1].split(",")[0] for line in self.read_lines() if " at 127.0.0.1:" in line]

        wait_until(find_targets)
        return find_targets()[0]

    def read_lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def measure_megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


BATCHING = ("--batching-parameters-file", ROOT / "serving" / "deploy" / "batching_parameters.txt")


@pytest.fixture(scope="module")
def local(first_run: Run, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The local server over what the pipeline pushed, with the batching of `serving/deploy`."""
    log = tmp_path_factory.mktemp("serve") / "log"
    process = Process(log, "--models", first_run.output / "serving_model", *BATCHING)
    with Client(process.target) as client:
        client.status()  # connects
        file = digits / "digit_0" / "0.png"
        process.first_milliseconds = [client.predict([file])[0].milliseconds for _ in range(10)]
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def small(first_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of a model of a few layers that is exported as the run's, with one warm-up request of the seven.

    A server loads it in a few seconds, and has it in its memory for 100 MB: a variable that nothing reads.
    """
    base = tmp_path_factory.mktemp("small")
    graph = next((first_run.output / "pipeline_root" / "Transform" / "transform_graph").iterdir())
    told = first_run.output / first_run.result["pushed"]["saved_model"] / ASSETS_EXTRA / PREPROCESSING_FILE
    backbone = backbones.Backbone(tiny_backbone.build(SIZE), (), True, tiny_backbone.CHANNELS)
    model = build_classifier(backbone, len(DIGITS), 0.0).model
    model.ballast = tf.Variable(tf.ones(25_000_000))
    export.export(
        model,
        base / "1",
        class_names=[f"digit_{digit}" for digit in DIGITS],
        transform_output=tft.TFTransformOutput(str(graph)),
        image_key="image/encoded",
        preprocessing=preprocessing.parse(told.read_bytes()),
        sample=tf.zeros((1, SIZE, SIZE, 3)),
        provenance={},
    )
    warmup.keep_request(base / "1", "serving_bytes")
    return base


@pytest.fixture(scope="module", params=["local", "tensorflow_model_server"])
def served(request: pytest.FixtureRequest, first_run: Run) -> Iterator[Served]:
    """Each server in turn, with the pushed model in it."""
    base = first_run.output / "serving_model"
    if request.param == "local":
        yield Served(request.getfixturevalue("local").target, base)
    elif target := os.environ.get("TF_SERVING_TARGET"):
        yield Served(target, Path(os.environ["TF_SERVING_MODELS"]))
    elif program := shutil.which("tensorflow_model_server"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, f"--port={port}", "--model_name=default", f"--model_base_path={base}"]
        with subprocess.Popen(command) as process:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(120)
            yield Served(f"127.0.0.1:{port}", base)
            process.terminate()
    else:
        pytest.skip("no tensorflow_model_server on the PATH, and TF_SERVING_TARGET is not set")


@pytest.fixture(scope="module")
def test_digits(digits: Path) -> dict[Path, str]:
    """Images and their labels: ten of each kind."""
    return {
        path: f"digit_{digit}" for digit in DIGITS for path in sorted((digits / f"digit_{digit}").glob("[0-9].png"))
    }


def predict(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipeline.cli", "predict", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


# Answers


def test_it_says_what_it_is_for(local: Process) -> None:
    first, *_ = local.read_lines()
    assert first.startswith("atelier serve: a local server for laptops, tests and CI")
    assert "in production run TensorFlow Serving" in first
    assert not any(
        line.startswith(("I0000", "W0000", "E0000", "WARNING", "I1", "Instructions")) for line in local.read_lines()
    )


def test_predict_gives_the_right_labels(served: Served, test_digits: dict[Path, str]) -> None:
    done = predict(*test_digits, "--target", served.target, "--json", "--top", 3)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    right = [test_digits[Path(each["file"])] == each["label"] for each in found]
    assert len(right) == 30
    assert sum(right) >= 24  # the run's own accuracy is 0.8 or so
    for each in found:
        assert each["version"] == int(served.newest.name)
        assert {entry["label"] for entry in each["top"]} == {f"digit_{digit}" for digit in DIGITS}
        assert sum(entry["probability"] for entry in each["top"]) == pytest.approx(1, abs=1e-4)


def test_predict_prints_a_table_and_names_what_is_no_image(served: Served, digits: Path) -> None:
    done = predict(digits / "digit_0" / "0.png", digits / "digit_0" / "moved.jpg", "--target", served.target)
    assert done.returncode == 1
    assert "0.png" in done.stdout
    assert "digit_" in done.stdout
    assert served.newest.name in done.stdout
    assert "moved.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_that_nobody_here_wrote_gets_the_same(served: Served, test_digits: dict[Path, str]) -> None:
    theirs = ovmsclient.make_grpc_client(served.target)
    version = int(served.newest.name)
    assert theirs.get_model_status("default", version)[version]["state"] == "AVAILABLE"
    with Client(served.target) as client:
        ours = client.predict(list(test_digits))
    for path, prediction in zip(test_digits, ours, strict=True):
        example = tfrecord.serialize_example({"image/encoded": path.read_bytes()})
        found = theirs.predict({"examples": [example]}, "default", version)
        assert found["label"][0].decode() == prediction.label
        assert found["probabilities"].max() == pytest.approx(prediction.probability, abs=1e-5)


@pytest.fixture(scope="module")
def golden(first_run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Golden images as the model sees them, and what Keras makes of them in this process."""
    files = (first_run.output / "pipeline_root" / "Trainer" / "model").glob("*/model.keras")
    file = min(files, key=lambda path: int(path.parent.name))  # later runs in the folder were rejected
    pixels = ops.decode_and_resize(tf.constant(list(IMAGES.values())), SIZE, "pad").numpy()
    return pixels, keras.models.load_model(file).predict(pixels.astype(np.float32), verbose=0)


@pytest.mark.parametrize("signature", ["serving_bytes", "serving_default", "serving_pixels", "classify"])
def test_every_way_gives_what_keras_gives_in_process(served: Served, golden: tuple, signature: str) -> None:
    pixels, expected = golden
    found = []
    with grpc.insecure_channel(served.target) as channel:
        door = Door(channel)
        for encoded, one in zip(IMAGES.values(), pixels, strict=True):
            example = tfrecord.serialize_example({"image/encoded": encoded})
            name, value = {
                "serving_bytes": ("image_bytes", [encoded]),
                "serving_default": ("examples", [example]),
                "serving_pixels": ("pixels", one[np.newaxis]),
                "classify": ("inputs", [example]),
            }[signature]
            answer, _ = door.predict(signature, {name: value}, name="default")
            found.append(answer["scores" if signature == "classify" else "probabilities"][0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_images_are_prepared_as_those_of_the_run(served: Served, first_run: Run, tmp_path: Path) -> None:
    """A large image gets the answer of what ingest would have stored of it, and not that of the default size."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    stored = images.normalize((tmp_path / "large.png").read_bytes(), 48, 10**8)
    assert (stored.height, stored.width) == (32, 48)
    (tmp_path / "stored.jpg").write_bytes(stored.encoded)
    files = (tmp_path / "large.png", tmp_path / "stored.jpg")
    for way in (("--target", served.target), ("--tflite", first_run.output / first_run.result["pushed"]["tflite"])):
        done = predict(*files, *way, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        ours, theirs = ((row["label"], row["probability"]) for row in json.loads(done.stdout))
        assert ours == theirs
    with Client(served.target, preparation=Preparation(512)) as client:
        (otherwise,) = client.predict([files[0]])
    with Client(served.target) as client:
        assert client.preparation() == Preparation(48)
        assert client.predict([files[0]])[0].probability != pytest.approx(otherwise.probability, abs=1e-4)


def test_classify_with_examples_gives_what_predict_gives(served: Served, test_digits: dict[Path, str]) -> None:
    with Client(served.target) as client:
        predicted = client.predict(list(test_digits), top=3)
        classified = client.classify(list(test_digits), top=3)
    for one, other in zip(predicted, classified, strict=True):
        assert [label for label, _ in one.top] == [label for label, _ in other.top]
        assert [share for _, share in one.top] == pytest.approx([share for _, share in other.top], abs=1e-5)


def test_unknown_things_are_named(served: Served, test_digits: dict[Path, str]) -> None:
    file = next(iter(test_digits))
    for words, said in [
        (("--model", "cats"), "cats"),
        (("--version", "9"), "9"),
        (("--label", "beta"), "beta"),
    ]:
        done = predict(file, "--target", served.target, *words)
        assert done.returncode == 1
        assert done.stderr.startswith("atelier: ")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_malformed_requests_are_refused_and_it_lives_on(served: Served, test_digits: dict[Path, str]) -> None:
    file = next(iter(test_digits))
    with grpc.insecure_channel(served.target) as channel, Client(served.target) as client:
        before = client.predict([file])[0].label
        for name in ("not an image", "a truncated PNG", "no example", "an unknown signature", "no input"):
            signature, inputs, code, _ = MALFORMED[name]
            with pytest.raises(grpc.RpcError) as caught:
                Door(channel).predict(signature, inputs, name="default")
            assert caught.value.code() == code, name
            assert client.predict([file])[0].label == before


def test_the_first_answer_after_warm_up_is_as_fast_as_the_tenth(local: Process) -> None:
    assert any("7 warm-up requests answered" in line for line in local.read_lines())
    # Without warm-up the first takes a hundred times as long; ten leaves room for whatever else the machine does.
    first, *_, tenth = local.first_milliseconds
    assert first < 10 * tenth + 20, local.first_milliseconds


def test_tflite_gives_the_same_answers(served: Served, first_run: Run, test_digits: dict[Path, str]) -> None:
    folder = first_run.output / first_run.result["pushed"]["tflite"]
    done = predict(*test_digits, "--tflite", folder / "model.tflite", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    here = [each["label"] for each in json.loads(done.stdout)]
    with Client(served.target) as client:
        there = [each.label for each in client.predict(list(test_digits))]
    # The pushed file is INT8; its gate allows a tenth of the images to differ in this small run.
    assert np.mean([one != other for one, other in zip(here, there, strict=True)]) <= 0.1


# Under load, and for long


def make_noisy_png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


class Clients:
    """Eight that ask all the time, until they are told to stop or a call fails; their pauses let a version load."""

    def __init__(self, target: str) -> None:
        self.versions: list[list[int]] = [[] for _ in range(8)]
        """That answered, by client."""
        self.failures: list[ServingError] = []
        self._target, self._stop = target, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(answers,)) for answers in self.versions]

    def __enter__(self) -> "Clients":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _ask(self, answers: list[int]) -> None:
        try:
            with Client(self._target) as client:
                while not self._stop.wait(0.1):
                    answers.append(client.predict([make_noisy_png(len(answers))])[0].version)
        except ServingError as error:
            self.failures.append(error)

    def have_switched_to(self, version: int) -> bool:
        assert not self.failures
        return all(answers and answers[-1] == version for answers in self.versions)


def test_new_versions_under_load_switch_in_order_and_give_their_memory_back(small: Path, tmp_path: Path) -> None:
    base = tmp_path / "models"
    base.mkdir()

    def push(version: int) -> None:
        shutil.copytree(small / "1", base / f".{version}")
        (base / f".{version}").rename(base / str(version))

    push(1)
    process = Process(tmp_path / "log", "--models", base)
    levels = []
    try:
        with Clients(process.target) as clients:
            for version in (2, 3, 4):
                push(version)
                wait_until(lambda: clients.have_switched_to(version))  # noqa: B023  # called before the next turn
                wait_until(lambda: any(f"version {version - 1}: unloaded" in line for line in process.read_lines()))  # noqa: B023
                levels.append(process.measure_megabytes())
    finally:
        code = process.stop()
    assert (code, clients.failures) == (0, [])
    for answers in clients.versions:
        assert answers == sorted(answers)
        assert set(answers) == {1, 2, 3, 4}
    # Versions that stayed would add their graphs, weights and threads: more than 200 MB for the two after the first.
    # What the allocator keeps for threads under load was seen to move by 66 MB.
    assert levels[-1] < levels[0] + 150, levels


def test_ten_thousand_mixed_requests_leave_its_memory_flat(small: Path, tmp_path: Path) -> None:
    process = Process(tmp_path / "log", "--models", small, *BATCHING)
    try:
        _ask_ten_thousand_times(process)
    finally:
        assert process.stop() == 0


def _ask_ten_thousand_times(process: Process) -> None:
    good = [("serving_bytes", {"image_bytes": [make_noisy_png(seed)]}) for seed in range(8)]
    bad = [
        (signature, inputs)
        for name, (signature, inputs, *_) in MALFORMED.items()
        if name not in ("a message beyond the limit", "a batch beyond the limit", "a huge header in an example")
    ]
    kinds = [*good, *bad]

    def send_requests(first: int, count: int) -> None:
        with grpc.insecure_channel(process.target) as channel:
            door = Door(channel)
            for number in range(first, first + count):
                with contextlib.suppress(grpc.RpcError):
                    door.predict(*kinds[number % len(kinds)], name="default")

    def run(count: int) -> float:
        threads = [threading.Thread(target=send_requests, args=(number, count // 8)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return process.measure_megabytes()

    settled = run(2_000)
    after = run(8_000)
    # Requests that left 12 KB each, an image's pixels as floats, would add 96 MB.
    assert after < settled + 80, (settled, after)
    with Client(process.target) as client:
        assert client.predict([make_noisy_png(0)])[0].label.startswith("digit_")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def encrypted(small: Path, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    key = certificate.private_key_pem.bytes().decode()
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems).decode()
    (folder / "ssl.config").write_text(f"server_key: {json.dumps(key)}\nserver_cert: {json.dumps(chain)}\n")
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    process = Process(folder / "log", "--models", small, "--ssl-config-file", folder / "ssl.config")
    yield process
    assert process.stop() == 0


def test_tls_and_the_lack_of_it_are_clear_on_both_sides(
    local: Process, encrypted: Process, test_digits: dict[Path, str]
) -> None:
    file = next(iter(test_digits))
    authority = encrypted.log.with_name("ca.pem")
    done = predict(file, "--target", encrypted.target, "--ca", authority)
    assert done.returncode == 0, done.stderr

    plain_to_tls = predict(file, "--target", encrypted.target)
    assert plain_to_tls.returncode == 1
    assert "--tls" in plain_to_tls.stderr
    assert any("a client began with plain text, and this port speaks TLS" in line for line in encrypted.read_lines())

    tls_to_plain = predict(file, "--target", local.target, "--ca", authority)
    assert tls_to_plain.returncode == 1
    assert "plain text" in tls_to_plain.stderr
    assert any("a client began with TLS, and this port speaks plain text" in line for line in local.read_lines())


def test_what_cannot_be_served_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.config").write_text("model_config_list { config { name: 'x' } }")
    for arguments, said in [
        (("--models", tmp_path / "missing"), "missing: no such folder"),
        (("--models", tmp_path / "empty"), "no versions"),
        (("--model-config-file", tmp_path / "broken.config"), "broken.config"),
    ]:
        command = [sys.executable, "-m", "pipeline.cli", "serve", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_label_is_asked_for_by_name(small: Path, digits: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    command = [sys.executable, "-m", "serving.deploy.write_models_config", small, "--no-stylizer"]
    base = ("--base-path", small, "--output", config)
    subprocess.run([str(word) for word in (*command, *base)], cwd=ROOT, check=True, capture_output=True)
    process = Process(tmp_path / "log", "--model-config-file", config)
    try:
        with Client(process.target, ServedModel("default", label="stable")) as client:
            assert client.predict([digits / "digit_0" / "0.png"])[0].version == 1
    finally:
        assert process.stop() == 0
