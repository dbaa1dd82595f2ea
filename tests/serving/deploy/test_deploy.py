import http.server
import re
import shutil
import subprocess
import threading
import types
from pathlib import Path

import pytest
import trustme
import yaml
from google.protobuf import text_format
from kubernetes import client as kubernetes_client
from tensorflow_serving.config import model_server_config_pb2

from serving.deploy import write_models_config
from serving.server import model_server_config

DEPLOY = Path(write_models_config.__file__).parent

# tensorflow_serving/model_servers/main.cc
MODEL_SERVER_FLAGS = {
    *("port", "grpc_socket_path", "grpc_channel_arguments", "grpc_max_threads", "enable_grpc_healthcheck_service"),
    *("rest_api_port", "rest_api_num_threads", "rest_api_timeout_in_ms", "rest_api_enable_cors_support"),
    *("enable_batching", "batching_parameters_file", "enable_per_model_batching_parameters"),
    *("model_config_file", "model_config_file_poll_wait_seconds", "model_name", "model_base_path"),
    *("allow_version_labels_for_unavailable_models", "saved_model_tags", "platform_config_file"),
    *("num_load_threads", "num_unload_threads", "max_num_load_retries", "load_retry_interval_micros"),
    *("file_system_poll_wait_seconds", "flush_filesystem_caches", "version", "monitoring_config_file"),
    *("tensorflow_session_parallelism", "tensorflow_session_config_file", "tensorflow_intra_op_parallelism"),
    *("tensorflow_inter_op_parallelism", "per_process_gpu_memory_fraction", "use_alts_credentials", "ssl_config_file"),
    *("enable_model_warmup", "num_request_iterations_for_warmup", "remove_unused_fields_from_bundle_metagraph"),
    *("prefer_tflite_model", "num_tflite_pools", "num_tflite_interpreters_per_pool", "enable_profiler"),
    *("enable_signature_method_name_check", "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled"),
    *("thread_pool_factory_config_file", "mixed_precision", "skip_initialize_tpu"),
    "enable_serialization_as_tensor_content",
}


@pytest.fixture(scope="module")
def service():
    """The one service of compose.yaml that starts without a profile."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (service,) = (each for each in compose["services"].values() if "profiles" not in each)
    return service


@pytest.fixture(scope="module")
def documents():
    """Those of kubernetes.yaml by kind."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return by_kind


@pytest.fixture(scope="module")
def pod(documents):
    return documents["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (container,) = pod["containers"]
    return container


@pytest.fixture(scope="module")
def flags(service):
    return dict(flag.removeprefix("--").split("=") for flag in service["command"])


def test_models_config_has_both_labels_for_loaded_versions():
    (model,) = model_server_config.read_models_config(DEPLOY / "models.config").model_config_list.config
    assert model.name == "default"
    assert {"stable", "canary"} <= set(model.version_labels)
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batching_parameters_and_monitoring_are_those_that_the_flags_and_limits_fit(service, flags):
    batching = model_server_config.read_batching_parameters(DEPLOY / "batching_parameters.txt")
    assert batching == model_server_config.BatchingParameters(
        num_batch_threads=2,
        max_batch_size=32,
        batch_timeout_micros=2000,
        max_enqueued_batches=2,
        allowed_batch_sizes=(1, 2, 4, 8, 16, 32),
    )
    assert service["cpus"] == batching.num_batch_threads
    for pool in ("intra", "inter"):
        assert flags[f"tensorflow_{pool}_op_parallelism"] == str(batching.num_batch_threads)
    assert model_server_config.read_monitoring_config(DEPLOY / "monitoring.config").enable


def test_every_flag_is_one_that_model_server_has(flags):
    assert set(flags) <= MODEL_SERVER_FLAGS
    assert flags["enable_batching"] == "true"
    assert flags["allow_version_labels_for_unavailable_models"] == "true"
    assert flags["enable_grpc_healthcheck_service"] == "true"
    assert int(flags["model_config_file_poll_wait_seconds"]) > 0


def test_compose_and_kubernetes_start_the_same_server_alike(service, container):
    assert container["image"] == service["image"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", service["image"])
    assert container["command"] == service["entrypoint"]
    assert container["args"] == service["command"]
    assert float(container["resources"]["limits"]["cpu"]) == service["cpus"]


def test_ports_are_those_of_the_flags(service, container, documents, flags):
    ports = {"grpc": int(flags["port"]), "rest": int(flags["rest_api_port"])}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == ports
    assert {port["targetPort"]: port["port"] for port in documents["Service"]["spec"]["ports"]} == ports
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports.values()]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": ports["grpc"]}
    annotations = documents["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    monitoring = model_server_config.read_monitoring_config(DEPLOY / "monitoring.config")
    assert annotations["prometheus.io/path"] == monitoring.path


def test_files_of_the_flags_are_mounted_where_the_flags_say(service, container, pod, documents, flags):
    models, config = service["volumes"]
    assert (DEPLOY / config["source"]).resolve() == DEPLOY
    assert models["source"] == "${ATELIER_MODELS:-../../output/demo/serving_model}"
    assert models["read_only"]
    assert config["read_only"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": models["target"], "readOnly": True}
    assert mounts["config"] == {"name": "config", "mountPath": config["target"], "readOnly": True}
    (model,) = model_server_config.read_models_config(DEPLOY / "models.config").model_config_list.config
    assert model.base_path == models["target"]

    in_cluster = {"models.config", *documents["ConfigMap"]["data"]}
    files = {Path(value) for name, value in flags.items() if name.endswith("_file")}
    assert files == {Path(config["target"], name) for name in in_cluster}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == set(mounts)
    sources = [source["configMap"]["name"] for source in volumes["config"]["projected"]["sources"]]
    assert sources == [documents["ConfigMap"]["metadata"]["name"], "atelier-serving-models"]
    claim = documents["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": claim, "readOnly": True}


def test_the_config_maps_texts_are_the_files(documents):
    for name, text in documents["ConfigMap"]["data"].items():
        assert text == (DEPLOY / name).read_text(), name


def test_the_server_may_do_little(service, container, pod):
    assert service["user"] == "65534:65534"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert service["mem_limit"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for bound in ("requests", "limits"):
        assert set(container["resources"][bound]) == {"cpu", "memory"}


def test_parts_of_the_cluster_mean_the_same_pods(documents, pod):
    deployment = documents["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert documents["Service"]["spec"]["selector"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    scaler = documents["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["minReplicas"] > documents["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert "replicas" not in deployment["spec"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    wait = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert wait < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("ConfigMap", "V1ConfigMap"),
        ("PersistentVolumeClaim", "V1PersistentVolumeClaim"),
        ("Deployment", "V1Deployment"),
        ("Service", "V1Service"),
        ("HorizontalPodAutoscaler", "V2HorizontalPodAutoscaler"),
        ("PodDisruptionBudget", "V1PodDisruptionBudget"),
    ],
)
def test_kubernetes_client_knows_every_field_and_misses_none(documents, kind, model):
    api = kubernetes_client.ApiClient()
    # Fields that the model does not have would be lost on the way; those that it must have raise.
    known = api._ApiClient__deserialize(documents[kind], model)
    assert api.sanitize_for_serialization(known) == documents[kind]


def test_there_is_no_other_kind_of_document(documents):
    kinds = {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    assert set(documents) == kinds | {"HorizontalPodAutoscaler", "PodDisruptionBudget"}


@pytest.fixture
def status_server():
    """Answers every GET with its `answer`, as ModelServer does for the status of a model; records the `paths`."""
    status = types.SimpleNamespace(paths=[], answer=b"")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status.paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(status.answer)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        status.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield status
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
def test_the_health_check_wants_an_available_version(service, status_server, state, healthy):
    status_server.answer = f'{{"model_version_status": [{{"version": "1", "state": "{state}"}}]}}'.encode()
    first, *command = service["healthcheck"]["test"]
    assert first == "CMD"
    here = [part.replace("/8501", f"/{status_server.port}") for part in command]
    assert here != command
    done = subprocess.run(here, check=False, timeout=60, capture_output=True)
    assert status_server.paths == ["/v1/models/default"]
    assert (done.returncode == 0) is healthy


def test_the_health_check_fails_where_nobody_listens(service):
    command = [part.replace("/8501", "/1") for part in service["healthcheck"]["test"][1:]]
    assert subprocess.run(command, check=False, timeout=60, capture_output=True).returncode != 0


def test_the_recipe_for_ssl_config_makes_one_that_serves(tmp_path):
    example = (DEPLOY / "ssl.config.example").read_text()
    recipe = "\n".join(re.findall(r"^#   (.*)$", example, re.MULTILINE))
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    subprocess.run(["bash", "-c", recipe], check=True, cwd=tmp_path)
    made = model_server_config.read_ssl_config(tmp_path / "ssl.config")
    assert made.server_key == (tmp_path / "server.key").read_text()
    assert made.server_cert == (tmp_path / "server.crt").read_text()
    assert (tmp_path / "ssl.config").stat().st_mode & 0o077 == 0


def test_the_example_is_well_formed_but_no_certificate():
    with pytest.raises(model_server_config.ModelServerConfigError, match="server_cert is not a readable certificate"):
        model_server_config.read_ssl_config(DEPLOY / "ssl.config.example")
    ignored = (DEPLOY / ".gitignore").read_text().split()
    assert ignored == ["ssl.config"]


@pytest.fixture
def pushed(tmp_path):
    """A folder of versions as Pusher leaves it, with a push that was cut off and one that is still empty."""
    models = tmp_path / "serving_model"
    for name in ("1700000009", "1800000001", ".1800000002.partial"):
        (models / name).mkdir(parents=True)
        (models / name / "saved_model.pb").touch()
    (models / "1900000000").mkdir()
    beyond = models / "20261126171900123456"  # no version: ModelServer reads 64 bits
    beyond.mkdir()
    (beyond / "saved_model.pb").touch()
    return models


def run(*arguments):
    write_models_config.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("options", "stable", "canary", "loaded"),
    [
        ([], 1800000001, 1800000001, [1800000001]),
        (["--stable", "1700000009"], 1700000009, 1700000009, [1700000009]),
        (["--stable", "1700000009", "--load", "1800000001"], 1700000009, 1700000009, [1700000009, 1800000001]),
        (["--stable", "1700000009", "--canary", "1800000001"], 1700000009, 1800000001, [1700000009, 1800000001]),
    ],
)
def test_models_config_is_written_from_what_was_pushed(pushed, tmp_path, options, stable, canary, loaded, capsys):
    output = tmp_path / "models.config"
    output.write_text("an older one")
    run(pushed, "--output", output, *options)
    (model,) = model_server_config.read_models_config(output).model_config_list.config
    assert (model.name, model.base_path) == ("default", "/models/default")
    assert dict(model.version_labels) == {"stable": stable, "canary": canary}
    assert list(model.model_version_policy.specific.versions) == loaded
    assert f"stable {stable}, canary {canary}" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models.config", "serving_model"]


def test_the_base_path_may_be_another(pushed, tmp_path):
    run(pushed, "--output", tmp_path / "models.config", "--base-path", pushed)
    config = model_server_config.read_models_config(tmp_path / "models.config")
    assert config.model_config_list.config[0].base_path == str(pushed)


def test_a_stylizer_beside_is_served_too(pushed, tmp_path, capsys):
    output = tmp_path / "models.config"
    for name in ("7", "008", "9", "other"):
        (tmp_path / "stylizer" / name / "assets.extra").mkdir(parents=True)
        (tmp_path / "stylizer" / name / "saved_model.pb").touch()
        if name != "9":  # a classifier
            (tmp_path / "stylizer" / name / "assets.extra" / "stylization.json").touch()
    run(pushed, "--output", output)
    classifier, stylizer = model_server_config.read_models_config(output).model_config_list.config
    assert classifier.name == "default"
    assert (stylizer.name, stylizer.base_path) == ("stylizer", "/models/stylizer")
    assert list(stylizer.model_version_policy.specific.versions) == [8]
    assert dict(stylizer.version_labels) == {"stable": 8, "canary": 8}
    assert "stylizer 8, at /models/stylizer" in capsys.readouterr().out
    run(pushed, "--output", output, "--stylizer-base-path", "/elsewhere")
    assert model_server_config.read_models_config(output).model_config_list.config[1].base_path == "/elsewhere"
    run(pushed, "--output", output, "--no-stylizer")
    assert len(model_server_config.read_models_config(output).model_config_list.config) == 1


def test_the_stylizers_mount_is_where_its_models_config_says(service):
    (stylizing,) = yaml.safe_load((DEPLOY / "compose.stylizer.yaml").read_text())["services"].values()
    (mount,) = stylizing["volumes"]
    text = write_models_config.format_models_config(stable=1, canary=1, stylizer=2)
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    model_server_config.check(config)
    assert mount["target"] == config.model_config_list.config[1].base_path
    assert mount["read_only"]
    assert int(stylizing["mem_limit"][:-1]) > int(service["mem_limit"][:-1])


@pytest.mark.parametrize("option", ["--stable", "--canary", "--load"])
def test_a_version_that_was_not_pushed_is_refused_and_the_old_file_stays(pushed, tmp_path, option):
    output = tmp_path / "models.config"
    output.write_text("an older one")
    with pytest.raises(SystemExit, match="no version 1900000000; there are 1700000009, 1800000001"):
        run(pushed, "--output", output, option, "1900000000")
    assert output.read_text() == "an older one"


def test_a_folder_without_versions_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no version, a numbered folder with saved_model"):
        run(tmp_path, "--output", tmp_path / "models.config")
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").touch()
    with pytest.raises(SystemExit, match=r"7: no version.*it is itself a version; give the folder above it"):
        run(tmp_path / "7", "--output", tmp_path / "models.config")
    shutil.rmtree(tmp_path / "7")
    with pytest.raises(SystemExit, match="none: the folder cannot be listed: No such file or directory"):
        run(tmp_path / "none", "--output", tmp_path / "models.config")
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_model_server_cannot_load_is_wrong_usage(pushed, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(pushed, "--output", tmp_path / "models.config", "--stable", "20261126171900123456")
    assert stopped.value.code == 2
    assert "20261126171900123456: expected a version, an integer of at most 64 bits" in capsys.readouterr().err
    assert not (tmp_path / "models.config").exists()


def test_the_checked_in_placeholders_are_what_the_command_writes():
    text = write_models_config.format_models_config(stable=1, canary=2)
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    model_server_config.check(config)
    assert dict(config.model_config_list.config[0].version_labels) == {"stable": 1, "canary": 2}
