"""The local server through its gRPC door, with a model that is worked out by hand."""

import contextlib
import io
import shutil
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import trustme
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image
from tensorflow_serving.config import model_server_config_pb2

from atelier import images, tfrecord
from serving.client import Client, Preparation, ServedModel
from serving.server.model_server_config import BatchingParameters, SSLConfig
from tests.deferred import deferred_imports
from tests.serving.malformed import MALFORMED, Code, make_image

with deferred_imports():
    import tensorflow as tf
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        predict_pb2,
    )

    from serving.server.local_server import LocalServer, Options, ServerError
    from tests.serving import tiny_model
    from tests.serving.door import Door, named, predict_request

pytestmark = pytest.mark.slow


def build_config(base, policy="latest { num_versions: 1 }", labels=""):
    text = f"""model_config_list {{ config {{
        name: "tiny" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ {policy} }} {labels}
    }} }}"""
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


@contextlib.contextmanager
def start_server(server_config, credentials=None, **options):
    with LocalServer(server_config, Options(port=0, poll_seconds=0.05, **options)) as server:
        sizes = [("grpc.max_send_message_length", -1)]
        if credentials:
            channel = grpc.secure_channel(f"localhost:{server.port}", credentials, sizes)
        else:
            channel = grpc.insecure_channel(server.target, sizes)
        with channel:
            yield server, Door(channel)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    tiny_model.write(folder, 1)
    return folder


@pytest.fixture(scope="module")
def door(base):
    """One server with batching, for the tests that only ask."""
    batching = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=1000, max_enqueued_batches=8, num_batch_threads=2
    )
    with start_server(build_config(base), batching=batching, max_message_mb=4, max_pixels=10_000_000) as (_, made):
        yield made


def catch_error(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


# Answers


def test_a_path_that_tensorflow_reads_as_a_pattern(tmp_path):
    base = tmp_path / "models [v1]*"
    base.mkdir()
    tiny_model.write(base, 1)
    with start_server(build_config(base)) as (_, door):
        assert door.bright(51) == (pytest.approx([0.2]), 1)


def test_every_signature_gives_the_brightness(door):
    gray = np.full((1, 4, 4, 3), 51, np.uint8)  # 51/255 = 0.2
    example = tfrecord.serialize_example({"image/encoded": make_image(51)})
    for signature, inputs in {
        "serving_pixels": {"pixels": gray},
        "serving_bytes": {"image_bytes": [make_image(51)]},
        "serving_default": {"examples": [example]},
        "": {"examples": [example]},
    }.items():
        found, answered = door.predict(signature, inputs)
        np.testing.assert_allclose(found["probabilities"], [[0.8, 0.2]], atol=1e-6)
        assert (found["label"].tolist(), found["class_id"].tolist()) == ([b"dark"], [0])
        assert answered.signature_name == (signature or "serving_default")
        assert (answered.name, answered.version.value) == ("tiny", 1)


def test_a_batch_keeps_its_order(door):
    assert door.bright(0, 255, 51)[0] == pytest.approx([0, 1, 0.2])


def test_an_output_filter_gives_what_it_names(door):
    request = predict_request("serving_bytes", {"image_bytes": [make_image(255)]})
    request.output_filter.append("label")
    response = door.prediction.Predict(request)
    assert {name: tf.make_ndarray(tensor).tolist() for name, tensor in response.outputs.items()} == {
        "label": [b"bright"]
    }


def classify_request(*values, signature="classify"):
    request = classification_pb2.ClassificationRequest(model_spec=named(signature=signature))
    for value in values:
        request.input.example_list.examples.add().MergeFromString(
            tfrecord.serialize_example({"image/encoded": make_image(value)})
        )
    return request


def test_classify_names_every_class(door):
    response = door.prediction.Classify(classify_request(51, 255))
    found = [[(each.label, round(each.score, 4)) for each in row.classes] for row in response.result.classifications]
    assert found == [[("dark", 0.8), ("bright", 0.2)], [("dark", 0.0), ("bright", 1.0)]]
    assert (response.model_spec.signature_name, response.model_spec.version.value) == ("classify", 1)


def test_a_context_is_part_of_every_example_that_does_not_say_otherwise(door):
    request = classification_pb2.ClassificationRequest(model_spec=named(signature="classify"))
    listed = request.input.example_list_with_context
    listed.context.MergeFromString(tfrecord.serialize_example({"image/encoded": make_image(255)}))
    listed.examples.add()
    listed.examples.add().MergeFromString(tfrecord.serialize_example({"image/encoded": make_image(0)}))
    response = door.prediction.Classify(request)
    assert [round(row.classes[1].score, 4) for row in response.result.classifications] == [1.0, 0.0]


def test_metadata_tells_the_signatures(door):
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=named(), metadata_field=["signature_def"])
    response = door.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    found = {name: sorted(signature.inputs) for name, signature in signatures.signature_def.items()}
    assert found == {
        "serving_default": ["examples"],
        "serving_bytes": ["image_bytes"],
        "serving_pixels": ["pixels"],
        "serving_features": ["image_bytes"],
        "classify": ["inputs"],
    }
    assert response.model_spec.version.value == 1


def test_health_and_reflection(door):
    stub = health_pb2_grpc.HealthStub(door.channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        found = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
        assert found == health_pb2.HealthCheckResponse.SERVING
    database = ProtoReflectionDescriptorDatabase(door.channel)
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"} <= set(
        database.get_services()
    )
    file = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    assert "Predict" in [method.name for service in file.service for method in service.method]


# Requests that cannot be answered


@pytest.mark.parametrize(("signature", "inputs", "code", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_and_the_next_one_answered(door, signature, inputs, code, message):
    found, said = catch_error(lambda: door.predict(signature, inputs))
    assert (found, message in said) == (code, True), said
    assert "\n" not in said
    assert door.bright(255) == ([1.0], 1)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"name": "cats"}, Code.NOT_FOUND, "Servable not found for request: Latest(cats)"),
        ({"version": 9}, Code.NOT_FOUND, "Servable not found for request: Specific(tiny, 9)"),
        ({"label": "beta"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: beta"),
        ({"name": ""}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    ],
)
def test_what_is_not_served_is_refused_in_tf_servings_words(door, spec, code, message):
    assert catch_error(lambda: door.bright(0, **spec)) == (code, message)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=named(**spec), metadata_field=["signature_def"]
    )
    assert catch_error(lambda: door.prediction.GetModelMetadata(metadata)) == (code, message)


def test_other_calls_are_refused_in_tf_servings_words(door):
    invalid = Code.INVALID_ARGUMENT
    for call, message in [
        (lambda: door.prediction.Predict(predict_pb2.PredictRequest()), "Missing ModelSpec"),
        (lambda: door.prediction.Classify(classify_request(signature="classify")), "Input is empty"),
        (
            lambda: door.prediction.Classify(classify_request(0, signature="x")),
            "No signature was found with the name: x",
        ),
        (
            lambda: door.prediction.Classify(classify_request(0, signature="serving_bytes")),
            (
                "Signature serving_bytes does not belong to Classify: it takes {image_bytes} and gives "
                "{class_id,label,probabilities}; expected {inputs} and {classes,scores}"
            ),
        ),
        (
            lambda: door.prediction.GetModelMetadata(
                get_model_metadata_pb2.GetModelMetadataRequest(model_spec=named())
            ),
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            lambda: door.prediction.GetModelMetadata(
                get_model_metadata_pb2.GetModelMetadataRequest(model_spec=named(), metadata_field=["weights"])
            ),
            "Metadata field weights is not supported",
        ),
        (
            lambda: door.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest()),
            (
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            ),
        ),
    ]:
        assert catch_error(call) == (invalid, message)
    assert catch_error(lambda: door.states(version=9)) == (Code.NOT_FOUND, "Could not find version 9 of model tiny")
    assert catch_error(lambda: door.states(name="x")) == (Code.NOT_FOUND, "Could not find any versions of model x")


def test_an_expired_deadline(door):
    code, _ = catch_error(lambda: door.predict("serving_bytes", {"image_bytes": [make_image(0)]}, timeout=1e-6))
    assert code == Code.DEADLINE_EXCEEDED
    assert door.bright(255) == ([1.0], 1)


# Versions


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_pushed_version_takes_over_and_a_broken_one_does_not(tmp_path):
    tiny_model.write(tmp_path, 1)
    with start_server(build_config(tmp_path)) as (_, door):
        assert door.bright(255) == ([1.0], 1)
        tiny_model.write(tmp_path, 2, gain=0.5)
        wait_until(lambda: door.states() == [(2, "AVAILABLE"), (1, "END")])
        assert door.bright(255) == ([0.5], 2)
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "saved_model.pb").write_bytes(b"none")
        wait_until(lambda: door.states()[0] == (3, "END"))
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=named(version=3))
        (status,) = door.model.GetModelStatus(request).model_version_status
        assert status.status.error_code != 0
        assert "saved_model.pb" in status.status.error_message
        assert door.bright(255) == ([0.5], 2)


def test_a_folder_beyond_64_bits_is_no_version(tmp_path):
    tiny_model.write(tmp_path, 1)
    beyond = tmp_path / "20261126171900123456"  # a time with microseconds
    shutil.copytree(tmp_path / "1", beyond)
    with start_server(build_config(tmp_path)) as (_, door):
        assert door.bright(255) == ([1.0], 1)
        assert door.states() == [(1, "AVAILABLE")]
        tiny_model.write(tmp_path, 2, gain=0.5)
        wait_until(lambda: door.states() == [(2, "AVAILABLE"), (1, "END")])
        assert door.bright(255) == ([0.5], 2)
        health = health_pb2_grpc.HealthStub(door.channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_a_slow_copy_is_served_once_it_is_whole(tmp_path):
    base, source = tmp_path / "tiny", tmp_path / "source"
    base.mkdir()
    source.mkdir()
    tiny_model.write(base, 1)
    whole = tiny_model.write(source, 2, gain=0.5)
    with start_server(build_config(base)) as (_, door):
        shutil.copytree(whole, base / "2", ignore=shutil.ignore_patterns("variables.*"))
        wait_until(lambda: door.states()[0] == (2, "END"))
        assert door.bright(255) == ([1.0], 1)
        before = (base / "2").stat().st_mtime_ns
        shutil.copytree(whole / "variables", base / "2" / "variables", dirs_exist_ok=True)
        assert (base / "2").stat().st_mtime_ns == before
        wait_until(lambda: door.states() == [(2, "AVAILABLE"), (1, "END")])
        assert door.bright(255) == ([0.5], 2)


def test_a_reload_with_a_model_that_cannot_be_loaded_fails_and_changes_nothing(base, tmp_path):
    labeled = build_config(base, labels='version_labels { key: "stable" value: 1 }')
    with start_server(labeled) as (_, door):
        both = build_config(base)
        both.model_config_list.config.add(name="broken", base_path=str(tmp_path), model_platform="tensorflow")
        request = model_management_pb2.ReloadConfigRequest(config=both)
        code, said = catch_error(lambda: door.model.HandleReloadConfigRequest(request))
        assert (code, f"no version to load in {tmp_path}" in said) == (Code.UNKNOWN, True)
        (tmp_path / "1").mkdir()
        code, said = catch_error(lambda: door.model.HandleReloadConfigRequest(request))
        assert (code, "1 model(s) did not become available: {{name: broken, version 1: " in said) == (
            Code.UNKNOWN,
            True,
        )
        assert "\n" not in said
        assert door.bright(255, label="stable") == ([1.0], 1)  # the rejected configuration is without that label
        assert door.states(name="broken") == [(1, "END")]
        health = health_pb2_grpc.HealthStub(door.channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        twice = build_config(base)
        twice.model_config_list.config.add().CopyFrom(twice.model_config_list.config[0])
        request = model_management_pb2.ReloadConfigRequest(config=twice)
        code, said = catch_error(lambda: door.model.HandleReloadConfigRequest(request))
        assert (code, "'tiny' is listed twice" in said) == (Code.INVALID_ARGUMENT, True)
        assert door.bright(255, label="stable") == ([1.0], 1)


def test_reloading_moves_labels(base, tmp_path):
    tiny_model.write(tmp_path, 1)
    tiny_model.write(tmp_path, 2, gain=0.5)
    with start_server(build_config(tmp_path, "all {}", 'version_labels { key: "stable" value: 1 }')) as (_, door):
        assert door.bright(255, label="stable") == ([1.0], 1)
        moved = build_config(tmp_path, "all {}", 'version_labels { key: "stable" value: 2 }')
        response = door.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=moved))
        assert response.status.error_code == 0
        assert door.bright(255, label="stable") == ([0.5], 2)
        absent = build_config(tmp_path, "all {}", 'version_labels { key: "stable" value: 7 }')
        code, said = catch_error(
            lambda: door.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=absent))
        )
        assert (code, "version 7 of model tiny" in said) == (Code.FAILED_PRECONDITION, True)
        assert door.bright(255, label="stable") == ([0.5], 2)


def test_without_a_version_it_is_alive_but_not_healthy(tmp_path):
    with start_server(build_config(tmp_path)) as (_, door):
        stub = health_pb2_grpc.HealthStub(door.channel)
        states = health_pb2.HealthCheckResponse
        assert stub.Check(health_pb2.HealthCheckRequest()).status == states.NOT_SERVING
        tiny_model.write(tmp_path, 1)
        wait_until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == states.SERVING)
        assert door.bright(255) == ([1.0], 1)


# The door itself


def test_a_second_server_on_the_same_port_is_told(base):
    with start_server(build_config(base)) as (server, _):
        second = Options(port=server.port)
        with pytest.raises(ServerError, match=f"127.0.0.1:{server.port} cannot be listened on"):
            LocalServer(build_config(base), second)


def test_an_ipv6_address_is_listened_on_and_told_in_brackets(base):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    with LocalServer(build_config(base), Options(host="::1", port=0)) as server:
        assert server.target == f"[::1]:{server.port}"
        with grpc.insecure_channel(server.target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING


def test_a_stopping_server_answers_what_it_took(base):
    slow = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=500_000, max_enqueued_batches=8, num_batch_threads=1
    )
    with start_server(build_config(base), batching=slow) as (server, door):
        answer = door.prediction.Predict.future(predict_request("serving_bytes", {"image_bytes": [make_image(255)]}))
        wait_until(lambda: server._models._table.by_model["tiny"][1].users == 1)  # it has come in
        server.stop()
        assert tf.make_ndarray(answer.result().outputs["label"]).tolist() == [b"bright"]
        assert catch_error(lambda: door.bright(0))[0] == Code.UNAVAILABLE


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def build_ssl_config(authority, client_verify=False):
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems).decode()
    return SSLConfig(
        server_key=certificate.private_key_pem.bytes().decode(),
        server_cert=chain,
        custom_ca=authority.cert_pem.bytes().decode() if client_verify else "",
        client_verify=client_verify,
    )


def test_tls(base, authority):
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with start_server(build_config(base), trusting, ssl=build_ssl_config(authority)) as (_, door):
        assert door.bright(255) == ([1.0], 1)


def test_mutual_tls_wants_the_clients_certificate(base, authority):
    mine = authority.issue_cert("client@example.org")
    chain = b"".join(pem.bytes() for pem in mine.cert_chain_pems)
    root = authority.cert_pem.bytes()
    known = grpc.ssl_channel_credentials(root, mine.private_key_pem.bytes(), chain)
    with start_server(build_config(base), known, ssl=build_ssl_config(authority, client_verify=True)) as (server, door):
        assert door.bright(255) == ([1.0], 1)
        with grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(root)) as channel:
            assert catch_error(lambda: Door(channel).bright(255))[0] == Code.UNAVAILABLE


def test_eight_clients_and_a_new_version_lose_nothing(tmp_path):
    tiny_model.write(tmp_path, 1)
    batching = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=500, max_enqueued_batches=64, num_batch_threads=2
    )
    seen: list[list] = [[] for _ in range(8)]
    stop = threading.Event()
    with start_server(build_config(tmp_path), batching=batching) as (_, door):

        def ask(answers):
            while not stop.is_set():
                answers.append(door.bright(255))

        clients = [threading.Thread(target=ask, args=(answers,)) for answers in seen]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: all(seen))
            tiny_model.write(tmp_path, 2, gain=0.5)
            wait_until(lambda: all(answers[-1][1] == 2 for answers in seen))
        finally:
            stop.set()
            for each in clients:
                each.join()
        wait_until(lambda: door.states() == [(2, "AVAILABLE"), (1, "END")])  # unloading takes a moment
    for answers in seen:
        versions = [version for _, version in answers]
        assert versions == sorted(versions)
        assert {1, 2} == set(versions)
        assert all(found == [{1: 1.0, 2: 0.5}[version]] for found, version in answers)


def test_clients_prepare_images_as_each_version_tells(tmp_path):
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_model.write(base, 1, store_size=64)
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    large = stream.getvalue()
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 8))
    with (
        LocalServer(build_config(base), Options(port=0, batching=parameters, poll_seconds=3600)) as server,
        Client(server.target, ServedModel("tiny")) as client,
    ):
        for version, store_size in ((1, 64), (2, 48)):
            stored = images.normalize(large, store_size, 10**6).encoded
            ours, theirs = client.predict([large, stored])
            assert (ours.version, client.preparation()) == (version, Preparation(store_size))
            assert ours.probability == theirs.probability
            if version == 1:
                tiny_model.write(base, 2, store_size=48)
            server._models.update()
