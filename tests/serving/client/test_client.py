"""Both clients against a server in this process that answers as TensorFlow Serving does."""

import asyncio
import contextlib
import io
import socket
import subprocess
import sys
import threading
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import trustme
from PIL import Image

from serving.client import (
    AS_IS,
    AsyncClient,
    Client,
    Metadata,
    NoPredictionError,
    Prediction,
    Preparation,
    ServedModel,
    ServingError,
    Signature,
    TensorInfo,
    Tls,
    VersionStatus,
    errors,
)
from tests.deferred import deferred_imports

with deferred_imports():
    from tests.serving.fake_model_server import FakeModelServer, serving

ROOT = Path(__file__).resolve().parents[3]
Code = grpc.StatusCode
BUSY = (Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full")


def make_image(color="red", size=(8, 8), kind="PNG", **options):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind, **options)
    return stream.getvalue()


def make_noise(height, width, kind):
    """An image that does not compress."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


RED, GREEN, BLUE = (make_image(color) for color in ("red", "green", "blue"))


@pytest.fixture
def fake():
    server = FakeModelServer()
    server.rows = {RED: (0.5, 0.25, 0.25), GREEN: (0.0, 0.125, 0.875)}
    return server


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def client(target):
    with Client(target) as client:
        yield client


def run_async(target, call, **options):
    """What `call(client)` gives of an asyncio client."""

    async def run():
        async with AsyncClient(target, **options) as client:
            return await call(client)

    return asyncio.run(run())


def remove_times(predictions):
    return [replace(each, milliseconds=0) for each in predictions]


def catch_error(call, *arguments, **options):
    with pytest.raises(ServingError) as refused:
        call(*arguments, **options)
    return refused.value


# ---- what is sent, and what comes back


def test_images_travel_as_they_are_encoded(client, fake):
    client.predict([RED, GREEN])
    ((method, request, seconds),) = fake.calls
    assert method == "Predict"
    assert request.model_spec.name == "default"
    assert request.model_spec.signature_name == "serving_bytes"
    assert not request.model_spec.WhichOneof("version_choice")
    assert list(request.inputs) == ["image_bytes"]
    assert list(request.inputs["image_bytes"].string_val) == [RED, GREEN]
    assert 20 < seconds < 31  # 30, less what has passed; gRPC rounds the timeout that travels up


@pytest.mark.parametrize("as_content", [False, True])
def test_predictions_in_either_encoding(client, fake, as_content):
    fake.as_content = as_content
    found = client.predict([RED, GREEN, BLUE])
    assert remove_times(found) == [
        Prediction("cat", 0.5, (("cat", 0.5),), 2, 0),
        Prediction("bird", 0.875, (("bird", 0.875),), 2, 0),
        Prediction("dog", 0.625, (("dog", 0.625),), 2, 0),
    ]
    assert len({each.milliseconds for each in found}) == 1
    assert found[0].milliseconds > 0


def test_more_images_than_a_batch_come_back_in_their_order(target, fake):
    with Client(target, batch=2) as client:
        found = client.predict([RED, GREEN, BLUE, RED, GREEN])
    assert [each.label for each in found] == ["cat", "bird", "dog", "cat", "bird"]
    assert [len(request.inputs["image_bytes"].string_val) for request in fake.requests("Predict")] == [2, 2, 1]


def test_no_images_ask_nothing(client, fake):
    assert client.predict([]) == []
    assert fake.calls == []


@pytest.mark.parametrize(
    ("model", "version"),
    [({}, 2), ({"version": 1}, 1), ({"label": "stable"}, 1)],
)
def test_a_version_by_number_or_label(target, fake, model, version):
    with Client(target, ServedModel("pets", **model)) as client:
        assert client.predict([RED])[0].version == version
    spec = fake.calls[0][1].model_spec
    assert (spec.name, spec.version_label) == ("pets", model.get("label", ""))


def test_number_and_label_together_are_refused():
    with pytest.raises(ValueError, match="version 1 and label 'stable': give one of them"):
        ServedModel(version=1, label="stable")


def test_a_version_beyond_64_bits_is_refused():
    with pytest.raises(ValueError, match="version 20261126171900123456: expected an integer of at most 64 bits"):
        ServedModel(version=20261126171900123456)


def test_classify_sends_examples(client, fake):
    assert remove_times(client.classify([RED, GREEN], top=2)) == [
        Prediction("cat", 0.5, (("cat", 0.5), ("dog", 0.25)), 2, 0),
        Prediction("bird", 0.875, (("bird", 0.875), ("dog", 0.125)), 2, 0),
    ]
    ((method, request, _),) = fake.calls
    assert (method, request.model_spec.signature_name) == ("Classify", "classify")
    features = [example.features.feature for example in request.input.example_list.examples]
    assert [dict(each)["image/encoded"].bytes_list.value[0] for each in features] == [RED, GREEN]


def test_metadata(client):
    inputs = {"image_bytes": TensorInfo("string", (-1,))}
    signature = Signature("tensorflow/serving/predict", inputs, {"probabilities": TensorInfo("float", None)})
    assert client.metadata() == Metadata("default", 2, {"serving_bytes": signature})


def test_status(target):
    with Client(target) as client:
        assert client.status() == [VersionStatus(2, "AVAILABLE", ""), VersionStatus(1, "AVAILABLE", "")]
    with Client(target, ServedModel(version=1)) as client:
        assert client.status() == [VersionStatus(1, "AVAILABLE", "")]


def test_asyncio_gives_the_same(client, target):
    async def ask_everything(client):
        predictions = await client.predict([RED, GREEN, BLUE], top=3)
        return predictions, await client.classify([RED], top=2), await client.metadata(), await client.status()

    predictions, classes, metadata, status = run_async(target, ask_everything)
    assert remove_times(predictions) == remove_times(client.predict([RED, GREEN, BLUE], top=3))
    assert remove_times(classes) == remove_times(client.classify([RED], top=2))
    assert (metadata, status) == (client.metadata(), client.status())


def test_the_client_needs_neither_tensorflow_nor_the_pipeline(target):
    """A program that cannot import them asks a real server, with both clients."""
    blocked = ("tensorflow", "tensorflow_serving", "keras", "tfx", "apache_beam", "pipeline", "components", "trainer")
    code = f"""
import asyncio, io, sys
for name in {blocked}:
    sys.modules[name] = None
from PIL import Image
from serving.client import AsyncClient, Client, ServedModel, ServingError, Tls
stream = io.BytesIO()
Image.new("RGB", (600, 8), "red").save(stream, "PNG")
with Client({target!r}, ServedModel("pets")) as client:
    (found,) = client.predict([stream.getvalue()], top=2)
    print(found.label, found.top[1][0], client.status()[0].state, *client.metadata().signatures)
async def ask():
    async with AsyncClient({target!r}) as client:
        (found,) = await client.classify([stream.getvalue()])
        print(found.label)
asyncio.run(ask())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["dog", "cat", "AVAILABLE", "serving_bytes", "dog"], "")


# ---- names of the best classes


def test_classify_is_asked_once_a_version_for_the_names(target, fake):
    with Client(target, ServedModel(label="stable")) as client:
        for _ in range(2):
            (found,) = client.predict([RED], top=2)
    assert found.top == (("cat", 0.5), ("dog", 0.25))
    (request,) = fake.requests("Classify")
    assert request.model_spec.version.value == 1
    assert request.model_spec.WhichOneof("version_choice") == "version"


def test_a_new_version_is_asked_anew(client, fake):
    client.predict([RED], top=2)
    fake.names = ("lynx", "wolf", "crow")
    fake.versions = [1, 2, 7]
    (found,) = client.predict([RED], top=3)
    assert (found.version, found.top) == (7, (("lynx", 0.5), ("wolf", 0.25), ("crow", 0.25)))
    assert [request.model_spec.version.value for request in fake.requests("Classify")] == [2, 7]


def test_a_model_without_classify_gives_ids(client, fake):
    fake.signatures = {"serving_bytes"}
    for _ in range(2):
        (found,) = client.predict([GREEN], top=9)
    assert found.top == (("bird", 0.875), ("1", 0.125), ("0", 0.0))
    assert fake.methods() == ["Predict", "Classify", "Predict"]


def test_other_failures_of_classify_are_told(client, fake):
    fake.failures = [None, (Code.INTERNAL, "out of order")]
    assert "answers INTERNAL: out of order" in str(catch_error(client.predict, [RED], top=2))
    assert client.predict([RED], top=2)[0].top[1] == ("dog", 0.25)


def test_many_tasks_or_threads_ask_once(client, target, fake):
    async def ask_at_once(client):
        return await asyncio.gather(*(client.predict([RED], top=2) for _ in range(8)))

    run_async(target, ask_at_once)
    assert fake.methods().count("Classify") == 1
    with futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.predict([RED], top=2), range(8)))
    assert fake.methods().count("Classify") == 2


# ---- retries and deadlines


def test_unavailable_is_tried_again(client, target, fake):
    fake.failures = [BUSY, BUSY]
    assert client.predict([RED])[0].label == "cat"
    assert len(fake.calls) == 3
    fake.failures = [BUSY, BUSY]
    assert run_async(target, lambda client: client.status())[0].version == 2
    assert fake.methods() == ["Predict"] * 3 + ["GetModelStatus"] * 3


def test_a_large_request_is_tried_again_too(target, fake):
    # Without a setting of its own, gRPC tries requests of more than 256 KiB once only.
    large = make_noise(512, 512, "PNG")
    assert len(large) > 500_000
    fake.failures = [BUSY]
    with Client(target) as client:
        client.predict([large])
    fake.failures = [BUSY]
    run_async(target, lambda client: client.predict([large]))
    assert len(fake.calls) == 4


@pytest.mark.slow
def test_in_the_end_unavailable_is_told(client, target, fake):
    fake.failures = [BUSY] * 5
    error = catch_error(client.predict, [RED])
    assert error.code is Code.UNAVAILABLE
    assert str(error) == f"{target} is not available, after several tries: {BUSY[1]}"
    assert (len(fake.calls), fake.failures) == (5, [])


def test_nothing_else_is_tried_again(client, target, fake):
    fake.failures = [(Code.INVALID_ARGUMENT, "expected an image")] * 2
    assert str(catch_error(client.predict, [RED])) == f"{target} answers INVALID_ARGUMENT: expected an image"
    assert catch_error(run_async, target, lambda client: client.predict([RED])).code is Code.INVALID_ARGUMENT
    assert len(fake.calls) == 2


def test_a_deadline_ends_a_call(client, target, fake):
    fake.held.clear()
    error = catch_error(client.predict, [RED], deadline=0.2)
    assert error.code is Code.DEADLINE_EXCEEDED
    assert str(error).startswith(f"no answer from {target} within 0.2 s: allow more (--deadline)")
    error = catch_error(run_async, target, lambda client: client.status(), deadline=0.2)
    assert error.code is Code.DEADLINE_EXCEEDED


# ---- what the server refuses


@pytest.mark.parametrize(
    ("model", "call", "code", "words"),
    [
        ({"name": "cars"}, "predict", Code.NOT_FOUND, "has no model 'cars', or no version of it is loaded"),
        ({"name": "cars"}, "status", Code.NOT_FOUND, "has no model 'cars': choose another with --model"),
        ({"version": 9}, "predict", Code.NOT_FOUND, "has no version 9 of a model 'default'"),
        ({"version": 9}, "status", Code.NOT_FOUND, "has no version 9 of a model 'default'"),
        ({"label": "new"}, "predict", Code.INVALID_ARGUMENT, "has no version labeled 'new'"),
        ({"signature": "x"}, "predict", Code.FAILED_PRECONDITION, "has no signature 'x'"),
        ({"classify_signature": "x"}, "classify", Code.INVALID_ARGUMENT, "has no signature 'x'"),
    ],
)
def test_what_the_server_does_not_have(target, model, call, code, words):
    with Client(target, ServedModel(**model)) as client:
        error = catch_error(getattr(client, call), *([[RED]] if call != "status" else []))
    assert error.code is code
    assert words in str(error)
    assert target in str(error)


# ---- sizes and compression


def test_an_image_larger_than_a_message_is_not_sent(target, fake, tmp_path):
    (tmp_path / "large.png").write_bytes(make_noise(64, 64, "PNG"))
    with Client(target, max_message_bytes=10_000) as client:
        error = catch_error(client.predict, [tmp_path / "large.png"])
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert "large.png: " in str(error)
    assert "bytes are more than a message holds (10000)" in str(error)
    assert fake.calls == []


def test_a_batch_is_no_larger_than_a_message(target, fake):
    large = make_noise(64, 64, "PNG")  # 12 kB
    with Client(target, max_message_bytes=30_000) as client:
        assert len(client.predict([large] * 5)) == 5
    assert [len(request.inputs["image_bytes"].string_val) for request in fake.requests("Predict")] == [2, 2, 1]
    assert all(request.ByteSize() <= 30_000 for request in fake.requests("Predict"))


def test_the_servers_limit(fake):
    with serving(fake, max_receive_message_length=5_000) as target, Client(target) as client:
        error = catch_error(client.predict, [make_noise(64, 64, "PNG")])
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert f"bytes are more than the 5000 of a message to or from {target}" in str(error)


def test_answers_may_have_more_than_grpcs_4_mib(target, fake):
    fake.as_content = True
    fake.names = ["x"] * 1_100_000
    fake.rows = {RED: np.linspace(1, 0, 1_100_000, dtype=np.float32)}
    with Client(target) as client:
        assert client.predict([RED])[0].probability == 1
    with Client(target, max_message_bytes=2**20) as client:
        error = catch_error(client.predict, [RED])
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert "of a message to or from" in str(error)


def test_gzip_by_choice(fake):
    identity_only = 1
    with serving(fake, compression_enabled_algorithms_bitset=identity_only) as target:
        with Client(target) as client:
            client.predict([RED])
        with Client(target, gzip=True) as client:
            assert "Compression algorithm 'gzip' is disabled" in str(catch_error(client.predict, [RED]))
        error = catch_error(run_async, target, lambda client: client.predict([RED]), gzip=True)
        assert "Compression algorithm 'gzip' is disabled" in str(error)
    with serving(fake) as target, Client(target, gzip=True) as client:
        assert client.predict([RED])[0].label == "cat"
    assert list(fake.calls[-1][1].inputs["image_bytes"].string_val) == [RED]


# ---- images


def test_a_large_image_is_scaled_down(target, fake, tmp_path):
    photo = make_image("navy", (3000, 2000), "JPEG")
    (tmp_path / "photo.jpg").write_bytes(photo)
    with Client(target) as client:
        client.predict([photo, tmp_path / "photo.jpg"])
    sent = fake.calls[0][1].inputs["image_bytes"].string_val
    assert [Image.open(io.BytesIO(each)).size for each in sent] == [(512, 341)] * 2


def test_originals_are_sent_byte_for_byte(target, fake):
    photo = make_image("navy", (3000, 2000), "JPEG")
    with Client(target, preparation=AS_IS) as client:
        client.predict([photo, RED])
    assert list(fake.calls[0][1].inputs["image_bytes"].string_val) == [photo, RED]


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_what_tensorflow_may_not_read_alike_is_sent_as_png_of_full_size(target, fake, kind):
    with Client(target, preparation=AS_IS) as client:
        client.predict([make_image("navy", (900, 30), kind)])
    (sent,) = fake.calls[0][1].inputs["image_bytes"].string_val
    image = Image.open(io.BytesIO(sent))
    assert (image.format, image.size, image.getpixel((0, 0))) == ("PNG", (900, 30), (0, 0, 128))


@pytest.mark.parametrize("preparation", [None, AS_IS])
def test_what_is_no_image_is_named_before_anything_is_sent(target, fake, tmp_path, preparation):
    (tmp_path / "notes.jpg").write_text("remember the milk")
    with Client(target, preparation=preparation) as client:
        error = catch_error(client.predict, [RED, tmp_path / "notes.jpg"])
        assert str(error) == f"{tmp_path}/notes.jpg: not_an_image: it begins with b'remember'"
        assert error.code is None
        assert str(catch_error(client.predict, [RED, RED[:50]])).startswith("image 2 of 2: truncated: ")
        assert str(catch_error(client.predict, [str(tmp_path / "no.jpg")])).startswith(
            f"{tmp_path}/no.jpg: unreadable: "
        )
    assert fake.calls == []


def test_a_prepared_image_is_sent_as_it_is(client, fake):
    prepared = client.prepare(make_image("navy", (600, 600), "JPEG"))
    client.predict([prepared])
    assert list(fake.calls[0][1].inputs["image_bytes"].string_val) == [prepared.encoded]


# ---- what the model tells of its preprocessing


def list_sizes(fake):
    """Sizes of the images that were sent, by call."""
    requests = fake.requests("Predict")
    return [[Image.open(io.BytesIO(each)).size for each in r.inputs["image_bytes"].string_val] for r in requests]


PHOTO = make_image("navy", (300, 200), "JPEG")


@pytest.mark.parametrize("top", [1, 2])
def test_images_are_prepared_as_the_model_was_trained(target, fake, top):
    fake.preprocessing[2]["store_size"] = 96
    with Client(target) as client:
        client.predict([PHOTO], top=top)
        client.predict([PHOTO, RED], top=top)
        assert client.preparation() == Preparation(96, 100_000_000, 95)
    run_async(target, lambda client: client.predict([PHOTO], top=top))
    assert list_sizes(fake) == [[(96, 64)], [(96, 64), (8, 8)], [(96, 64)]]
    assert [list(query.inputs) for query in fake.queries] == [["queries"]] * 2  # once for each client


def test_the_quality_and_the_limit_are_those_of_the_model(target, fake):
    fake.preprocessing[2] |= {"store_size": 32, "jpeg_quality": 40, "max_pixels": 60_000}
    noisy = make_noise(200, 300, "PNG")
    with Client(target) as client:
        client.predict([noisy])
        assert "max_pixels allows (60000)" in str(catch_error(client.predict, [make_noise(200, 301, "PNG")]))
    (sent,) = fake.calls[0][1].inputs["image_bytes"].string_val
    reduced = Image.open(io.BytesIO(noisy))
    reduced.thumbnail((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0)
    expected = io.BytesIO()
    reduced.save(expected, "JPEG", quality=40, subsampling=0)
    assert sent == expected.getvalue()


def test_records_of_another_maker_are_asked_with_originals(target, fake):
    fake.preprocessing[2]["store_size"] = None
    with Client(target) as client:
        client.predict([PHOTO])
    assert list(fake.calls[0][1].inputs["image_bytes"].string_val) == [PHOTO]


@pytest.mark.parametrize("call", ["predict", "classify"])
def test_another_version_gets_its_own_preparation(target, fake, call):
    """A new version takes over while a client is connected: its answer to images of the old one's size is not used."""
    fake.preprocessing[2]["store_size"], fake.preprocessing[7]["store_size"] = 96, 64

    def ask(client):
        return getattr(client, call)([PHOTO, RED])

    with Client(target, batch=1) as client:
        ask(client)
        fake.versions.append(7)
        before = len(fake.calls)
        assert [each.version for each in ask(client)] == [7, 7]
        assert len(fake.calls) == before + 3  # one that is not used, and one for each image
        ask(client)
        assert len(fake.calls) == before + 5
    assert [query.model_spec.version.value for query in fake.queries] == [0, 7]
    fake.versions, fake.queries = [1, 2], []

    async def switch(client):
        await ask(client)
        fake.versions.append(7)
        return await ask(client)

    assert [each.version for each in run_async(target, switch)] == [7, 7]
    if call == "predict":
        assert list_sizes(fake)[-2:] == [[(96, 64), (8, 8)], [(64, 43), (8, 8)]]


def test_an_image_that_was_prepared_for_another_version_is_prepared_again(target, fake, tmp_path):
    fake.preprocessing[2]["store_size"], fake.preprocessing[7]["store_size"] = 32, 64
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    with Client(target) as client:
        prepared = [client.prepare(tmp_path / "photo.jpg"), client.prepare(PHOTO)]
        fake.versions.append(7)
        client.predict(prepared)
    assert list_sizes(fake) == [[(32, 21)] * 2, [(64, 43)] * 2]


def test_versions_that_answer_in_turn_are_told(target, fake):
    fake.preprocessing[1]["store_size"] = 64
    fake.alternating = True
    with Client(target) as client:
        assert "answer in turn: ask one of them with --version" in str(catch_error(client.predict, [PHOTO]))
    with Client(target, ServedModel(version=1)) as client:
        assert client.predict([PHOTO])[0].version == 1


def test_a_model_of_before_is_asked_as_by_default_and_that_is_told(target, fake, caplog):
    fake.preprocessing = None
    large = make_image("navy", (3000, 2000), "JPEG")
    with Client(target) as client:
        for _ in range(2):
            client.predict([large])
    assert list_sizes(fake) == [[(512, 341)]] * 2
    (line,) = caplog.messages
    assert f"model 'default', version 2, at {target} does not tell how its images are prepared" in line
    assert "512 pixels" in line
    assert len(fake.queries) == 2  # by the model's name, and by the version that answered
    caplog.clear()
    for preparation in (Preparation(store_size=64), AS_IS):
        with Client(target, preparation=preparation) as client:
            client.predict([PHOTO])
    assert list_sizes(fake)[2:] == [[(64, 43)], [(300, 200)]]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("told", "fact"),
    [
        ({"size": 8}, "resize: field required"),
        ({"size": 8, "resize": "crop", "store_size": 8, "blur": 2}, "blur: "),
        ([], "object"),
    ],
)
def test_a_preprocessing_that_is_not_known_is_an_error(target, fake, told, fact):
    fake.preprocessing[2] = told
    with Client(target) as client:
        said = str(catch_error(client.predict, [RED]))
    assert said.startswith("model 'default', version 2, signature 'preprocessing': its answer cannot be read: ")
    assert fact in said
    assert fake.calls == []


# ---- connections


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """Files: an authority, the client's certificate and key, another authority, something that is no PEM."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    client = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    (folder / "junk.pem").write_text("junk")
    (folder / "hollow.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return SimpleNamespace(authority=authority, **{file.stem: file for file in folder.iterdir()})


def serve_with_tls(fake, pem, mutual=False, name="127.0.0.1"):
    certificate = pem.authority.issue_cert(name)
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    return serving(fake, grpc.ssl_server_credentials([pair], pem.ca.read_bytes(), mutual))


def test_tls(fake, pem):
    with serve_with_tls(fake, pem) as target:
        with Client(target, tls=Tls(pem.ca)) as client:
            assert client.predict([RED])[0].label == "cat"
        assert run_async(target, lambda client: client.status(), tls=Tls(pem.ca))[0].version == 2


def test_mutual_tls(fake, pem):
    with serve_with_tls(fake, pem, mutual=True) as target:
        with Client(target, tls=Tls(pem.ca, pem.cert, pem.key)) as client:
            assert client.predict([RED])[0].label == "cat"
        tls = Tls(pem.ca, pem.cert, pem.key)
        assert run_async(target, lambda client: client.status(), tls=tls)[0].version == 2


@pytest.mark.slow
def test_connections_that_do_not_come_about(fake, pem):
    async def read_error(target, tls=None):
        async with AsyncClient(target, tls=tls) as client:
            with pytest.raises(ServingError) as refused:
                await client.status()
        assert refused.value.code is Code.UNAVAILABLE
        return str(refused.value).replace(target, "TARGET")

    async def connect_all():
        return await asyncio.gather(
            read_error(nobody),
            read_error("no-such-host.invalid:8500"),
            read_error(encrypted),
            read_error(plain, Tls(pem.ca)),
            read_error(encrypted, Tls(pem.other)),
            read_error(encrypted, Tls()),
            read_error(misnamed, Tls(pem.ca)),
            read_error(mutual, Tls(pem.ca)),
            read_error(encrypted, Tls(pem.hollow)),
        )

    with (
        serving(fake) as plain,
        serve_with_tls(fake, pem) as encrypted,
        serve_with_tls(fake, pem, mutual=True) as mutual,
        serve_with_tls(fake, pem, name="elsewhere.example") as misnamed,
        socket.socket() as unused,
    ):
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
        found = asyncio.run(connect_all())
    assert fake.calls == []
    not_trusted = "the certificate of TARGET is not trusted (unable to get local issuer certificate)"
    for line, start in zip(
        found,
        [
            "no server at TARGET (Connection refused): start one with `atelier serve`",
            "no server at TARGET (Domain name not found)",
            "TARGET drops the connection: it speaks TLS (--tls or --ca FILE), or it has just ended (try again)",
            "TARGET does not speak TLS: connect in plain text, without --tls",
            not_trusted,
            not_trusted,
            "the certificate of TARGET is for another host",
            "TARGET drops the connection: it asks for a client certificate",
            "TLS with TARGET: the files of --ca, --cert or --key cannot be used",
        ],
        strict=True,
    ):
        assert line.startswith(start)


@pytest.mark.slow
def test_the_blocking_client_tells_the_same(fake, pem):
    with serve_with_tls(fake, pem) as target, Client(target) as client:
        assert "drops the connection: it speaks TLS (--tls or --ca FILE)" in str(catch_error(client.status))


@pytest.mark.parametrize(
    ("encrypted", "words"), [(False, "it speaks TLS (--tls or --ca FILE)"), (True, "no TLS connection with")]
)
def test_a_refused_second_address_does_not_hide_the_server(encrypted, words):
    # gRPC tells of the address that it tried last: a server on 127.0.0.1 alone is refused as `localhost` on ::1.
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv6:%5B::1%5D:1: Connection refused"
    error = SimpleNamespace(code=lambda: Code.UNAVAILABLE, details=lambda: details)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"localhost:{server.getsockname()[1]}"
        assert words in str(errors.explain_failure(error, target, 1, encrypted))


def test_files_of_tls_are_named(pem, tmp_path):
    with pytest.raises(ValueError, match="go together"):
        Tls(pem.ca, cert=pem.cert)
    error = catch_error(Client, "localhost:1", tls=Tls(pem.junk))
    assert str(error) == f"{pem.junk}: holds no certificate or key in PEM form (-----BEGIN ...)"
    error = catch_error(Client, "localhost:1", tls=Tls(tmp_path / "none.pem"))
    assert str(error) == f"{tmp_path}/none.pem: cannot be read: No such file or directory"


def test_another_service_is_told():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("localhost:0")
    server.start()
    with Client(f"localhost:{port}") as client:
        error = catch_error(client.status)
    server.stop(None).wait()
    assert error.code is Code.UNIMPLEMENTED
    assert "lacks this call" in str(error)


# ---- answers that are none


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_answer(target, fake, number):
    fake.rows[GREEN] = (number, 0.25, 0.25)
    sync = Client(target, batch=2)
    for call in ("predict", "classify"):

        def ask(client, call=call):
            return getattr(client, call)([RED, GREEN, BLUE], top=2)

        for error in (catch_error(ask, sync), catch_error(run_async, target, ask)):
            assert isinstance(error, NoPredictionError)
            assert str(error) == ("image 2 of 3: version 2 of the model gives NaN or infinity for 1 of 3 probabilities")
            assert [getattr(each, "label", str(each)) for each in error.answers] == ["cat", str(error), "dog"]
    sync.close()


def test_several_answers_that_are_none_are_counted(client, fake):
    fake.rows = dict.fromkeys((RED, GREEN, BLUE), (np.nan,) * 3)
    assert str(catch_error(client.predict, [RED, GREEN, BLUE])) == (
        "image 1 of 3: version 2 of the model gives NaN or infinity for 3 of 3 probabilities; 2 more images alike"
    )


# ---- servers that take small batches


@pytest.mark.parametrize("call", ["predict", "classify"])
def test_batches_become_as_small_as_the_server_says(client, fake, call):
    fake.failures = [None, (Code.INVALID_ARGUMENT, "Task size 3 is larger than maximum input batch size 2")]
    ask = getattr(client, call)
    ask([RED])
    assert [each.label for each in ask([RED, GREEN, BLUE])] == ["cat", "bird", "dog"]
    assert len(fake.calls) == 4  # one, three that are too many, two, one
    ask([RED, GREEN, BLUE])
    assert len(fake.calls) == 6  # the client remembers


def test_a_batch_that_cannot_be_made_smaller_is_an_error(client, fake):
    for said in ("Task size 1 is larger than maximum input batch size 0", "Task size 1 is larger"):
        fake.failures = [(Code.INVALID_ARGUMENT, said)]
        assert said in str(catch_error(client.predict, [RED]))


# ---- proxies


DEAD_PROXY = "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"])
def test_this_machine_is_reached_past_every_proxy(target, monkeypatch, variable):
    monkeypatch.setenv(variable, DEAD_PROXY)
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.setenv(name, "elsewhere.example")
    port = target.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        with Client(f"{host}:{port}") as client:
            assert client.predict([RED])[0].label == "cat"
    assert run_async(target, lambda client: client.predict([RED]))[0].label == "cat"


@pytest.fixture
def dropping():
    """A port at which every connection is closed at once, as some proxies do with gRPC."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drop():
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=drop, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_a_proxy_in_the_way_is_named(monkeypatch, dropping):
    for variable, port in (("http_proxy", 9), ("https_proxy", dropping)):
        monkeypatch.setenv(variable, f"http://user:secret@127.0.0.1:{port}")
        with Client("models.example:8500", deadline=10) as client:
            said = str(catch_error(client.predict, [RED]))
        assert f"no way to models.example:8500 through the proxy 127.0.0.1:{port}, which {variable} names" in said
        assert f"add the target's host to no_proxy, or unset {variable}" in said
        assert "secret" not in said


def test_a_proxy_that_does_not_answer_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with Client("models.example:8500", deadline=0.3) as client:
            said = str(catch_error(client.predict, [RED]))
    assert "which http_proxy names, within 0.3 s" in said
    assert "no_proxy" in said


def test_a_target_is_checked_before_anything_is_sent():
    assert "write localhost:8500" in str(catch_error(Client, "http://localhost:8500"))
