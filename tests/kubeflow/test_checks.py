"""Values that only the cluster would refuse: none of them is compiled or sent."""

import pytest

from atelier.errors import KubeflowError
from components.style_catalog.style import CatalogError
from kubeflow import checks
from kubeflow import compile as compiler
from kubeflow.replay import replay
from kubeflow.submit import submit
from pipeline.commands.kubeflow import parse_parameters
from tests.kubeflow import readable, replayable, submissions

KFP = {"target": "kfp", "endpoint": "https://host/pipeline", "service_account": "runner"}


def catch_error(check, *arguments, **options):
    with pytest.raises(KubeflowError) as caught:
        check(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def catch_submit_error(parameters=(), **kubeflow):
    """What `submit` says of it, before it asks for credentials or compiles."""
    compile_pipeline = lambda *_: pytest.fail("compiled")  # noqa: E731
    return catch_error(
        submit.submit, submissions.build_settings(**kubeflow), parse_parameters(parameters), compile_pipeline
    )


def catch_compile_error(*overrides, target="vertex"):
    return catch_error(compiler.build_pipeline_job, readable.load_settings(target, *overrides))


# Places


@pytest.mark.parametrize(
    "root", ["gs:/my-bucket", "gs://", "gs:///x", "gs://B/x", "gs://-bucket/x", "gs://my-bucket//x", "GS://bucket/x"]
)
@pytest.mark.parametrize("target", ["vertex", "kfp"])
def test_invalid_buckets_are_rejected(root, target):
    message = catch_compile_error(f"kubeflow.root={root}", target=target)
    assert message.startswith(f"kubeflow.root is {root}: expected gs://BUCKET/FOLDER")
    assert catch_submit_error(**(KFP if target == "kfp" else {}), root=root).startswith(f"kubeflow.root is {root}: ")


@pytest.mark.parametrize("root", ["gs://bucket", "gs://a.b-c_d.example/atelier/", "gs://bucket/ü/x y"])
def test_valid_buckets_are_accepted(root):
    submit.check(submissions.build_settings(root=root))


@pytest.mark.parametrize("source", ["data/photos", "/home/me/photos", "s3://bucket/photos", "gs:/bucket/photos"])
def test_data_that_vertex_cannot_see_is_not_sent(source):
    for key, config in (
        ("data.source", submissions.build_settings().with_source(source)),
        ("kubeflow.schema_file", submissions.build_settings(schema_file=source)),
    ):
        assert catch_error(submit.check, config).startswith(f"{key} is {source}: ")
    for name in ("data_root", "schema_file"):
        assert catch_submit_error([f"{name}={source}"]).startswith(f"parameter {name} is {source}: ")


@pytest.mark.parametrize("place", ["gs://bucket-x", "gs://bucket-x/", "gs://bucket-x/data/"])
def test_a_schema_is_a_file(place):
    assert "expected a file" in catch_compile_error(f"kubeflow.schema_file={place}")
    assert "expected a file" in catch_submit_error([f"schema_file={place}"])


def test_a_mounted_bucket_is_reported_by_its_own_name():
    assert "gs://my-bucket/photos" in catch_submit_error(["data_root=/gcs/my-bucket/photos"])


def test_a_folder_of_this_machine_is_compiled_for_a_replay_but_not_a_relative_one():
    local = ("data.source=/data/photos", "kubeflow.root=/replay")
    checks.check_config(readable.load_settings("vertex", *local), sent=False)
    assert "a node does not run in this folder" in catch_compile_error("data.source=data/photos")
    assert "a node does not run in this folder" in catch_compile_error("kubeflow.root=output", target="kfp")


def test_places_of_kubeflow_pipelines():
    for place in ("s3://bucket/x", "minio://bucket/x", "/mnt/shared"):
        submit.check(submissions.build_settings(**KFP, root=place).with_source(place))
    assert "SCHEME://BUCKET" in catch_submit_error(**KFP, root="s3:///x")
    assert "two slashes" in catch_submit_error(**KFP, root="s3:/bucket")
    assert "two slashes" in catch_submit_error(["data_root=s3:bucket"], **KFP)


@pytest.mark.parametrize(
    "override",
    [
        "style.catalog=styles/catalog.yaml",
        "style.contents=images",
        "trainer={weights: mine.pth, weights_sha256: %s}" % ("0" * 64),
    ],
)
def test_files_of_this_folder_are_in_no_image(override):
    assert "absolute path in the image" in catch_compile_error(override)


def test_styles_that_the_builtin_catalog_lacks():
    with pytest.raises(CatalogError, match="builtin: there is no style swirl; did you mean swirls"):
        compiler.build_pipeline_job(readable.load_settings("vertex", "style.styles=[swirl]"))
    checks.check_config(readable.load_settings("vertex", "style.styles=[swirls, gravel]"), sent=False)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.splits={train: t*, test: s*}", "data.splits names train and test: name eval"),
        ("data.splits.train=", "data.splits.train is ''"),
        ("data.splits={train: /t*, eval: e*, test: s*}", "data.splits.train is '/t*'"),
        ("data.splits.train=../t*", "data.splits.train is '../t*'"),
    ],
)
def test_splits(override, message):
    assert catch_compile_error(override).startswith(message)


def test_spans_need_a_driver():
    override = "data.splits={train: 'span-{SPAN}/train/*', eval: 'span-{SPAN:3}/eval/*', test: 'span-{SPAN}/test/*'}"
    assert "only Vertex AI runs it" in catch_compile_error(override, target="kfp")
    checks.check_config(readable.load_settings("vertex", override), sent=False)


# Names


@pytest.mark.parametrize(
    "image",
    ["r.example/a b:1", "r.example/A:1", "r.example/a:", "https://r.example/a", "r.example//a", "a:1:2", "a-/b", "a@b"],
)
def test_invalid_image_names_are_rejected(image):
    assert catch_compile_error(f"kubeflow.image={image}").startswith(
        f"kubeflow.image is {image!r}: expected HOST/FOLDER/NAME"
    )
    assert catch_submit_error(image=image).startswith("kubeflow.image is ")
    assert catch_error(checks.check_image, image, built=True).startswith("kubeflow.image is ")


def test_an_image_may_have_a_port_and_where_it_is_run_a_digest():
    digest = "localhost:5000/team/a_b__c.d--e:v1.0-x@sha256:" + "0" * 64
    checks.check_image(digest)
    checks.check_image(digest.partition("@")[0], built=True)
    catch_error(checks.check_image, digest, built=True)


@pytest.mark.parametrize(
    ("target", "accelerator", "message"),
    [
        ("vertex", "T4", "NVIDIA_TESLA_T4"),
        ("vertex", "nvidia.com/gpu", "NVIDIA_TESLA_T4"),
        ("vertex", "nvidia_tesla_t4", "NVIDIA_TESLA_T4"),
        ("vertex", "ACCELERATOR_TYPE_UNSPECIFIED", "NVIDIA_TESLA_T4"),
        ("kfp", "NVIDIA_TESLA_T4", "nvidia.com/gpu"),
        ("kfp", "gpu", "nvidia.com/gpu"),
        ("kfp", "nvidia.com/", "nvidia.com/gpu"),
    ],
)
def test_accelerators_of_the_other_target_are_rejected(target, accelerator, message):
    found = catch_compile_error(f"kubeflow.nodes.Transform.accelerator={accelerator}", target=target)
    assert found.startswith(f"kubeflow.nodes.Transform.accelerator is {accelerator!r}: ")
    assert message in found
    options = KFP if target == "kfp" else {}
    assert catch_submit_error(**options, nodes={"Transform": {"accelerator": accelerator}}) == found


def test_how_many_accelerators_there_are_in_a_machine():
    for count in (1, 2, 4, 8, 16):
        submit.check(submissions.build_settings(nodes={"Trainer": {"accelerator": "NVIDIA_L4", "accelerators": count}}))
    message = catch_compile_error("kubeflow.nodes.Trainer={accelerator: NVIDIA_L4, accelerators: 3}")
    assert message.startswith("kubeflow.nodes.Trainer.accelerators is 3: ")


@pytest.mark.parametrize("machine", ["a2", "N1-standard-8", "n1 standard 8", "n1-standard-8 "])
def test_machine_types(machine):
    message = catch_compile_error(f"kubeflow.nodes.Trainer.machine_type='{machine}'")
    assert message.startswith(f"kubeflow.nodes.Trainer.machine_type is {machine!r}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("region", "us-central1-a"),
        ("region", "us"),
        ("region", "US-central1"),
        ("project", "My Project"),
        ("project", "p"),
        ("service_account", "nodes"),
        ("service_account", "me@example.com"),
        ("api_endpoint", "https://host/path"),
    ],
)
def test_names_of_google(key, value):
    assert catch_submit_error(**{key: value}).startswith(f"kubeflow.{key} is {value!r}: expected ")


@pytest.mark.parametrize("project", ["my-project", "example.com:my-project", "123456789012"])
def test_projects(project):
    submit.check(submissions.build_settings(project=project))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service_account", "nodes@my-project.iam.gserviceaccount.com"),
        ("service_account", "Runner"),
        ("namespace", "my namespace"),
        ("namespace", "a" * 64),
    ],
)
def test_names_of_kubernetes(key, value):
    assert catch_submit_error(**KFP | {key: value}).startswith(f"kubeflow.{key} is {value!r}: expected ")


@pytest.mark.parametrize(
    ("endpoint", "give"),
    [
        ("https://host/pipeline/#/runs", "give https://host/pipeline"),
        ("https://host:8443/pipeline/?ns=me#/runs/details/1", "give https://host:8443/pipeline"),
        ("https://host/_/pipeline/#/experiments?ns=me", "give https://host/pipeline"),
        ("http://localhost:3000/#/pipelines", "give http://localhost:3000"),
        ("https://host/pipeline/apis/v2beta1", "give https://host/pipeline"),
        ("https://host/pipeline/#", "give https://host/pipeline"),
        ("https://host:port/pipeline", "expected a URL"),
        ("https://ho st/pipeline", "expected a URL"),
        ("https:/host/pipeline", "expected a URL"),
        ("ftp://host/pipeline", "expected a URL"),
    ],
)
def test_an_address_out_of_the_browser(endpoint, give):
    message = catch_submit_error(**KFP | {"endpoint": endpoint})
    assert message.startswith(f"kubeflow.endpoint is {endpoint}")
    assert message.endswith(give) or give in message


def test_labels_are_known_when_it_is_compiled():
    assert catch_compile_error("kubeflow.labels.Team=a").startswith("kubeflow.labels.Team: a label's name")
    assert "labels pods" in catch_compile_error("kubeflow.labels.team=vision-", target="kfp")


# Parameters of a run


@pytest.mark.parametrize("name", ["min_accuracy", "max_accuracy_drop"])
@pytest.mark.parametrize("value", ["95", "-0.1", "1.01", "nan", "inf"])
def test_thresholds_have_the_range_of_their_keys(name, value):
    message = catch_submit_error([f"{name}={value}"])
    assert message.startswith(f"parameter {name} is {value}: expected a number from 0 to 1")
    assert ("did you mean 0.95?" in message) is (value == "95")
    for allowed in ("0", "1", "0.95", "1e-2"):
        checks.check_parameters({name: allowed}, submissions.build_settings().kubeflow, sent=True)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{num_steps: 5}", "expected TrainArgs in JSON"),
        ("", "expected TrainArgs in JSON"),
        ("5", "expected TrainArgs in JSON"),
        ('{"steps": 5}', 'has no field named "steps"'),
        ('{"num_steps": "many"}', "expected TrainArgs in JSON"),
        ('{"num_steps": 3000000000}', "expected TrainArgs in JSON"),
        ('{"num_steps": -1}', "num_steps is -1: expected at least 0"),
        ('{"splits": ["training"]}', "splits has 'training': expected train, eval or test"),
    ],
)
def test_invalid_train_args_are_rejected(value, message):
    found = catch_submit_error([f"train_args={value}"])
    assert found.startswith("parameter train_args")
    assert message in found


def test_a_replay_rejects_invalid_parameters_before_anything_runs(tmp_path):
    texts = {
        name: {"parameterType": "STRING", "isOptional": True} for name in ("data_root", "schema_file", "train_args")
    }
    numbers = {
        name: {"parameterType": "NUMBER_DOUBLE", "isOptional": True} for name in ("min_accuracy", "max_accuracy_drop")
    }
    file = replayable.write(tmp_path, replayable.build_pipeline({"a": replayable.build_task()}, texts | numbers))
    for name, value in (("min_accuracy", "95"), ("train_args", "{num_steps: 5}"), ("data_root", "data/photos")):
        message = catch_error(replay.replay, file, tmp_path / "root", parameters={name: value})
        assert message.startswith(f"parameter {name} is ")
    assert not (tmp_path / "root").exists()


def test_valid_train_args_are_accepted():
    for value in ("{}", '{"splits": ["train"], "num_steps": 100}', '{"numSteps": 0}'):
        checks.check_parameters({"train_args": value}, submissions.build_settings().kubeflow, sent=True)


def test_one_line_through_the_command_line(tmp_path, capfd):
    from pipeline import cli

    config = ["--config", "configs/vertex.yaml"]
    for command in (
        ["submit", *config, "--parameter", "min_accuracy=95"],
        ["submit", *config, "--set", "kubeflow.schedule=99 25 32 13 9"],
        ["submit", *config, "--set", "data.source=data/photos"],
        ["compile", *config, "--output", str(tmp_path / "a.json"), "--set", "kubeflow.root=gs:/my-bucket"],
    ):
        assert cli.main(["kubeflow", *command]) == 1
        said = capfd.readouterr()
        assert said.out == ""
        assert said.err.startswith("atelier: ")
        assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
