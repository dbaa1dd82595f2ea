import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server import model_server_config
from serving.server.model_server_config import BatchingParameters, ModelServerConfigError, MonitoringConfig


@pytest.fixture
def written(tmp_path):
    """Writes a text to a file and returns its path."""

    def write(text, name="some.config"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


PETS = 'name: "pets" base_path: "/models/pets" model_platform: "tensorflow"'
ONLY_3_AND_7 = "model_version_policy { specific { versions: 3 versions: 7 } }"


def models(*configs):
    return f"model_config_list {{ {' '.join(f'config {{ {config} }}' for config in configs)} }}"


def test_models_config_is_read_as_it_is_written(written):
    text = models(
        f'{PETS} {ONLY_3_AND_7} version_labels {{ key: "stable" value: 3 }}',
        'name: "birds" base_path: "gs://bucket/birds" model_type: TENSORFLOW',
    )
    config = model_server_config.read_models_config(written(text))
    assert config == text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert [model.name for model in config.model_config_list.config] == ["pets", "birds"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (models('base_path: "/models/pets" model_platform: "tensorflow"'), "config 1 of the list: no name; add one"),
        (models('name: "pets" model_platform: "tensorflow"'), "model 'pets': no base_path; add the folder"),
        (models('name: "pets" base_path: "pets" model_platform: "tensorflow"'), "base_path 'pets' is relative"),
        (models(PETS, PETS), "model 'pets' is listed twice; give each"),
        (models(PETS.replace("tensorflow", "onnx")), 'model_platform is onnx; write model_platform: "tensorflow"'),
        (models('name: "pets" base_path: "/models/pets"'), "model_platform is missing; write"),
        (models('name: "pets" base_path: "/p" model_type: OTHER'), "model_platform is other; write"),
        (models(f"{PETS} model_type: TENSORFLOW"), "both model_type and model_platform; leave out model_type"),
        (models(f"{PETS} model_version_policy {{ specific {{}} }}"), "specific without versions; add versions: N"),
        (models(f'{PETS} version_labels {{ key: "a-b" value: 1 }}'), "version label 'a-b'; ModelServer takes letters"),
        (models(f'{PETS} version_labels {{ key: "" value: 1 }}'), "version label ''"),
        (
            models(f'{PETS} {ONLY_3_AND_7} version_labels {{ key: "x" value: 2 }}'),
            "label 'x' is for version 2, but only 3, 7 are loaded; add versions: 2",
        ),
        ("", "no model; add model_config_list"),
        ("model_config_list {}", "no model; add model_config_list"),
        ("custom_model_config {}", "custom_model_config is not supported"),
        (
            "model_config_list {\n  config { nam: 'pets' }\n}",
            r':2:12: .* has no field named "nam". Did you mean name\?',
        ),
        ("model_config_list {", r":1:19: Expected"),
        ("{}", r":1:1: "),
    ],
)
def test_a_models_config_that_model_server_refuses_is_refused_with_file_and_remedy(written, text, message):
    path = written(text)
    with pytest.raises(ModelServerConfigError, match=message) as raised:
        model_server_config.read_models_config(path)
    assert str(raised.value).startswith(f"{path}:")


def test_a_label_may_stand_for_any_version_where_the_policy_does_not_name_them(written):
    path = written(models(f'{PETS} version_labels {{ key: "stable" value: 3 }}'))
    assert model_server_config.read_models_config(path).model_config_list.config[0].version_labels["stable"] == 3


def test_a_request_may_take_all_models_away_but_is_checked_like_a_file():
    model_server_config.check(model_server_config_pb2.ModelServerConfig())
    config = text_format.Parse(models(PETS, PETS), model_server_config_pb2.ModelServerConfig())
    with pytest.raises(ModelServerConfigError, match=r"^the request: model 'pets' is listed twice"):
        model_server_config.check(config)


@pytest.mark.parametrize(
    "read",
    [
        model_server_config.read_models_config,
        model_server_config.read_batching_parameters,
        model_server_config.read_ssl_config,
        model_server_config.read_monitoring_config,
    ],
)
def test_a_file_that_is_missing_a_folder_or_binary_is_refused(tmp_path, read):
    with pytest.raises(ModelServerConfigError, match=r"absent\.txt: cannot be read: No such file"):
        read(tmp_path / "absent.txt")
    with pytest.raises(ModelServerConfigError, match="cannot be read: Is a directory"):
        read(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelServerConfigError, match="binary: the file is not text"):
        read(tmp_path / "binary")


def test_batching_parameters_come_without_wrappers(written):
    text = """
        max_batch_size { value: 64 }  batch_timeout_micros { value: 0 }  max_enqueued_batches { value: 3 }
        num_batch_threads { value: 4 }  thread_pool_name { value: "pool" }  pad_variable_length_inputs: true
        allowed_batch_sizes: 8  allowed_batch_sizes: 32
        enable_large_batch_splitting { value: true }  max_execution_batch_size { value: 32 }
    """
    assert model_server_config.read_batching_parameters(written(text)) == BatchingParameters(
        max_batch_size=64,
        batch_timeout_micros=0,
        max_enqueued_batches=3,
        num_batch_threads=4,
        thread_pool_name="pool",
        allowed_batch_sizes=(8, 32),
        pad_variable_length_inputs=True,
        enable_large_batch_splitting=True,
        max_execution_batch_size=32,
    )


def test_what_a_file_leaves_out_has_the_schedulers_default(written):
    parameters = model_server_config.read_batching_parameters(written("# nothing\n"))
    assert parameters == BatchingParameters()
    assert (parameters.max_batch_size, parameters.batch_timeout_micros, parameters.max_enqueued_batches) == (
        1000,
        0,
        10,
    )
    assert parameters.allowed_batch_sizes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size is 0; it must be at least 1"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches is 0; it must be at least 1"),
        ("num_batch_threads { value: -1 }", "num_batch_threads is -1; it must be at least 1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1; it must be at least 0"),
        ("allowed_batch_sizes: 8 allowed_batch_sizes: 4", "allowed_batch_sizes are 8, 4; write them in rising order"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 4", "allowed_batch_sizes are 4, 4; write them in rising order"),
        ("allowed_batch_sizes: 0 allowed_batch_sizes: 4", "allowed_batch_sizes are 0, 4; .* from at least 1"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "end with 4, but max_batch_size is 8; the two must be equal",
        ),
        ("allowed_batch_sizes: 4", "end with 4, but max_batch_size is 1000"),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 } allowed_batch_sizes: 4",
            "end with 4, but max_execution_batch_size is 8",
        ),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 1001 }",
            r"max_execution_batch_size is 1001; it must be 1 to max_batch_size \(1000\)",
        ),
        ("max_batch_size: 32", ":1:17: "),
        ("max_batchsize { value: 3 }", r":1:1: .* Did you mean max_batch_size\?"),
        ("unheard_of: 3", r":1:1: .* It has max_batch_size, batch_timeout_micros"),
    ],
)
def test_batching_parameters_that_model_server_refuses_are_refused(written, text, message):
    path = written(text)
    with pytest.raises(ModelServerConfigError, match=message) as raised:
        model_server_config.read_batching_parameters(path)
    assert str(raised.value).startswith(f"{path}:")


def test_monitoring_is_off_unless_enabled_and_has_model_servers_path(written):
    assert model_server_config.read_monitoring_config(written("")) == MonitoringConfig(enable=False)
    text = "prometheus_config { enable: true }"
    expected = MonitoringConfig(enable=True, path="/monitoring/prometheus/metrics")
    assert model_server_config.read_monitoring_config(written(text)) == expected
    text = 'prometheus_config { enable: true path: "/metrics" }'
    assert model_server_config.read_monitoring_config(written(text)).path == "/metrics"


def test_a_monitoring_path_without_slash_is_refused(written):
    with pytest.raises(ModelServerConfigError, match="path 'metrics' must begin with a slash"):
        model_server_config.read_monitoring_config(written('prometheus_config { path: "metrics" }'))
    with pytest.raises(ModelServerConfigError, match=r":1:21: .* It has enable, path"):
        model_server_config.read_monitoring_config(written("prometheus_config { x: 1 }"))


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pair(authority):
    """Key and certificate of a server, PEM."""
    return _pem(authority.issue_cert("localhost"))


def _pem(issued):
    return issued.private_key_pem.bytes().decode(), issued.cert_chain_pems[0].bytes().decode()


def _ssl_text(key="", certificate="", more=""):
    texts = {"server_key": key, "server_cert": certificate}
    return "".join(f"{name}: {_quoted(text)}\n" for name, text in texts.items() if text) + more


def _quoted(text):
    return '"' + text.replace("\n", r"\n") + '"'


def test_tls_is_read_with_and_without_client_certificates(written, pair, authority):
    plain = model_server_config.read_ssl_config(written(_ssl_text(*pair)))
    assert (plain.server_key, plain.server_cert) == pair
    assert (plain.custom_ca, plain.client_verify) == ("", False)
    assert "PRIVATE KEY" not in repr(plain)
    ca = authority.cert_pem.bytes().decode()
    key, certificate = pair
    text = _ssl_text(key, certificate, f"custom_ca: {_quoted(ca)} client_verify: true")
    mutual = model_server_config.read_ssl_config(written(text))
    assert (mutual.custom_ca, mutual.client_verify) == (ca, True)


def test_tls_that_could_not_be_served_is_refused(written, pair, authority):
    key, certificate = pair
    other_key, _ = _pem(authority.issue_cert("localhost"))
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    broken_key = broken.replace("CERTIFICATE", "PRIVATE KEY")
    cases = [
        (_ssl_text(certificate=certificate), "no server_key; add its PEM text"),
        (_ssl_text(key), "no server_cert; add its PEM text"),
        (_ssl_text("/etc/server.key", certificate), "server_key is not PEM text; paste"),
        (_ssl_text(key, certificate, 'custom_ca: "/etc/ca.crt"'), "custom_ca is not PEM text; paste"),
        (_ssl_text(key, broken), "server_cert is not a readable certificate"),
        (_ssl_text(key, certificate, f"custom_ca: {_quoted(broken)}"), "custom_ca is not a readable certificate"),
        (_ssl_text(broken_key, certificate), "server_key is not the key of server_cert"),
        (_ssl_text(other_key, certificate), "server_key is not the key of server_cert.*MISMATCH"),
        (_ssl_text(key, certificate, "client_verify: true"), "client_verify without custom_ca; add"),
        ("server_kye: ''", r":1:1: .* Did you mean server_key\?"),
    ]
    for text, message in cases:
        with pytest.raises(ModelServerConfigError, match=message):
            model_server_config.read_ssl_config(written(text))


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(written, pair, tmp_path):
    (tmp_path / "key").write_text(pair[0])
    locked = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "key", "-aes128", "-passout", "pass:secret"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "ENCRYPTED" in locked
    with pytest.raises(ModelServerConfigError, match="without a passphrase"):
        model_server_config.read_ssl_config(written(_ssl_text(locked, pair[1])))


def test_reading_needs_no_tensorflow(written):
    path = written("max_batch_size { value: 8 }")
    code = (
        "import sys; from serving.server import model_server_config as c; "
        f"print(c.read_batching_parameters({str(path)!r}).max_batch_size, 'tensorflow' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    assert done.stdout == "8 False\n"
