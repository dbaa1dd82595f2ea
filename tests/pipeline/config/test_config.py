"""The configuration: what it takes, what it refuses, and in which words."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydantic
import pytest
import yaml

from atelier.settings.field_types import LARGEST_SEED
from pipeline.beam import pipeline_options
from pipeline.config import config

ROOT = Path(__file__).resolve().parents[3]
READY = sorted((ROOT / "configs").glob("*.yaml"))
SMALLEST = "name: pets\nevaluator: {min_accuracy: 0.9, max_accuracy_drop: 0.01}\n"
SECTIONS = (
    "name, data, ingest, image, augmentation, trainer, tuner, evaluator, tflite, style, stylizer, beam, metadata, "
    "kubeflow"
)


@pytest.fixture
def write(tmp_path):
    def write_config(text=SMALLEST):
        file = tmp_path / "pets.yaml"
        file.write_text(text)
        return file

    return write_config


@pytest.fixture
def catch_error(write):
    """Loads a config that must be refused; the message without the file's name before it."""

    def load(text=SMALLEST, *overrides):
        file = write(text)
        with pytest.raises(config.ConfigError) as refused:
            config.load(file, overrides)
        lines = str(refused.value).splitlines()
        assert all(line.startswith((f"{file}: ", "--set ")) for line in lines), lines
        return "\n".join(line.removeprefix(f"{file}: ") for line in lines)

    return load


def test_the_smallest_file_gets_every_default(write):
    settings = config.load(write())
    assert settings.name == "pets"
    assert settings.evaluator.min_accuracy == 0.9
    assert settings.data == config.Data()
    assert settings.trainer.backbone == "efficientnet_lite0"
    assert settings.image.size == 224
    assert pipeline_options.build_pipeline_options(settings.beam) == pipeline_options.IN_MEMORY


def test_the_augmentation_defaults_are_the_image_data_generator_recipe(write):
    augmentation = config.load(write()).augmentation
    assert augmentation.rotation == 40
    assert augmentation.width_shift == augmentation.height_shift == augmentation.shear == augmentation.zoom == 0.2
    assert augmentation.horizontal_flip
    assert augmentation.crop_area == 1
    assert augmentation.brightness == augmentation.contrast == augmentation.saturation == augmentation.hue == 0


def test_values_of_the_file_replace_defaults_and_overrides_replace_both(write):
    file = write(SMALLEST + "trainer: {batch_size: 8, head_epochs: 3}\n")
    settings = config.load(file, ["trainer.batch_size=16", "image.size=96", "evaluator.min_accuracy=0.5"])
    assert (settings.trainer.batch_size, settings.trainer.head_epochs) == (16, 3)
    assert settings.image.size == 96
    assert settings.evaluator == config.Evaluator(min_accuracy=0.5, max_accuracy_drop=0.01)


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("trainer.head_learning_rate=1e-4", "trainer", "head_learning_rate", 1e-4),  # to YAML 1.1 a string
        ("trainer.weights_sha256=" + "0" * 63 + "1", "trainer", "weights_sha256", "0" * 63 + "1"),
        ("trainer.class_weights=true", "trainer", "class_weights", True),
        ("data.image_key=a=b", "data", "image_key", "a=b"),
        ("data.splits={train: t*, eval: e*, test: s*}", "data", "splits", {"train": "t*", "eval": "e*", "test": "s*"}),
        ("data.splits.test=s*", "data", "splits", {"test": "s*"}),
        ("data.split_buckets=[7, 2, 1]", "data", "split_buckets", (7, 2, 1)),
        ("evaluator.slices=[]", "evaluator", "slices", ()),
    ],
)
def test_overrides_take_any_yaml_value(write, override, section, key, expected):
    if key == "weights_sha256":  # all digits: YAML would make a number of it
        override = override.replace("=", "='") + "'"
    assert getattr(getattr(config.load(write(), [override]), section), key) == expected


def test_an_override_reaches_into_a_section_that_the_file_leaves_empty(write):
    assert config.load(write(SMALLEST + "image:\n"), ["image.size=64"]).image.size == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALLEST + "trainr: {}\n", "unknown key trainr; did you mean trainer?"),
        (SMALLEST + "trainer: {bach_size: 4}\n", "unknown key trainer.bach_size; did you mean trainer.batch_size?"),
        (SMALLEST + "batch_size: 4\n", "unknown key batch_size; did you mean trainer.batch_size?"),
        (SMALLEST + "image: {zzz: 4}\n", "unknown key image.zzz; known here: image.size, image.resize"),
        (SMALLEST + "zzz: 4\n", f"unknown key zzz; known here: {SECTIONS}"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(catch_error, text, message):
    assert catch_error(text) == message


def test_an_unknown_key_is_refused_in_an_override_too(catch_error):
    assert catch_error(SMALLEST, "trainer.bach_size=4") == (
        "unknown key trainer.bach_size; did you mean trainer.batch_size?"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: pets\n", "evaluator is missing (every gate needs its threshold)"),
        (
            "name: pets\nevaluator: {min_accuracy: 0.9}\n",
            "evaluator.max_accuracy_drop is missing (every gate needs its threshold)",
        ),
        ("evaluator: {min_accuracy: 0.9, max_accuracy_drop: 0.1}\n", "name is missing"),
    ],
)
def test_what_must_be_given_is_asked_for(catch_error, text, message):
    assert catch_error(text) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("image.size=16", "image.size is 16: input should be greater than or equal to 32"),
        ("image.size=2048", "image.size is 2048: input should be less than or equal to 1024"),
        ("image.size=large", "image.size is 'large': input should be a valid integer"),
        ("image.size=64.5", "image.size is 64.5: input should be a valid integer"),
        ("image.resize=fit", "image.resize is 'fit': input should be 'crop', 'pad' or 'stretch'"),
        ("ingest.max_bad_fraction=2", "ingest.max_bad_fraction is 2: input should be less than or equal to 1"),
        ("ingest.eval_fraction=0", "ingest.eval_fraction is 0: input should be greater than 0"),
        ("trainer.class_weights=perhaps", "trainer.class_weights is 'perhaps': input should be a valid boolean"),
        ("trainer.head_learning_rate=0", "trainer.head_learning_rate is 0: input should be greater than 0"),
        ("trainer.head_learning_rate=.inf", "trainer.head_learning_rate is inf: input should be a finite number"),
        ("evaluator.min_accuracy=.nan", "evaluator.min_accuracy is nan: input should be a finite number"),
        ("trainer.backbone=resnet50", "trainer.backbone is 'resnet50': input should be 'efficientnet_lite0', "),
        ("trainer.weights_sha256=abc", "trainer.weights_sha256 is 'abc': string should match pattern "),
        ("name=My Pets", "name is 'My Pets': string should match pattern "),
        ("data.split_buckets=[8, 2]", "data.split_buckets.2 is missing"),
        ("data.splits={validation: v*}", "data.splits.validation.[key] is 'validation': input should be 'train', "),
        ("tflite.push=fp16", "tflite.push.0 is 'fp16': input should be 'float', 'dynamic' or 'int8'"),
        ("tflite.push=[int8, fp16]", "tflite.push.1 is 'fp16': input should be 'float', 'dynamic' or 'int8'"),
        ("tflite.push=[]", "tflite.push is []: "),
        ("tflite.push=[int8, float, int8]", "tflite.push is int8, float, int8: name each variant once"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named(catch_error, override, message):
    assert catch_error(SMALLEST, override).startswith(message)


@pytest.mark.parametrize(
    ("override", "key", "allowed"),
    [
        ("trainer.seed=-1", "trainer.seed is -1", "whole number from 0 up to 4294967294"),
        ("trainer.seed=4294967295", "trainer.seed is 4294967295", "up to 4294967294"),
        ("trainer.seed=true", "trainer.seed is True", "whole number from 0"),
        ("trainer.fine_tune_at=99", "trainer.fine_tune_at is 99", "efficientnet_lite0 has the blocks 0 to 8"),
        ("trainer={backbone: efficientnet_v2_s, fine_tune_at: 8}", "trainer.fine_tune_at is 8", "blocks 0 to 7"),
        ("trainer.batch_size=true", "trainer.batch_size is True", "whole number from 1"),
        ("trainer.batch_size='16'", "trainer.batch_size is '16'", "whole number from 1"),
        ("trainer.batch_size=3000000000", "trainer.batch_size is 3000000000", "up to 2147483647"),
        ("trainer.head_learning_rate=1000", "trainer.head_learning_rate is 1000", "number above 0 up to 100"),
        ("trainer.head_learning_rate=.nan", "trainer.head_learning_rate is nan", "number above 0 up to 100"),
        ("trainer.fine_tune_learning_rate=-.inf", "trainer.fine_tune_learning_rate is -inf", "above 0 up to 100"),
        ("trainer.dropout=yes", "trainer.dropout is True", "number from 0 below 1"),
        ("augmentation.copies=1.5", "augmentation.copies is 1.5", "whole number from 0 up to 64"),
        ("image.size=0300", "image.size is '0300'", "whole number from 32 up to 1024"),  # 192 in YAML 1.1
        ("tuner.max_minutes=1:30", "tuner.max_minutes is '1:30'", "number above 0"),  # 90 in YAML 1.1
        ("ingest.store_size=100", "ingest.store_size is 100", "raise it to at least 224"),
        ("ingest.store_size=70000", "ingest.store_size is 70000", "up to 65500"),
        ("ingest.shards=0", "ingest.shards is 0", "from 1 up to 99999"),
        ("data.image_key=", "data.image_key is ''", "at least 1 character"),
        ("data.image_key=image/class/label", "data.image_key and data.label_key are both", "name two features"),
        ("data.split_buckets=[8, 1, true]", "data.split_buckets.2 is True", "whole number from 1"),
        ("tflite.calibration_images=-5", "tflite.calibration_images is -5", "whole number from 1"),
        ("tflite.max_disagreement=5", "tflite.max_disagreement is 5", "number from 0 up to 1"),
        ("evaluator.min_accuracy=95", "evaluator.min_accuracy is 95", "number from 0 up to 1"),
        ("style.size=10", "style.size is 10", "expected 32 to 32768 pixels, or 0"),
        ("style.styles=[Swirls]", "style.styles.0 is 'Swirls'", "pattern"),
        ("style.styles=[no]", "style.styles.0 is False", "in quotes"),
        ("style.contents=", "style.contents is ''", "at least 1 character"),
        ("style.contents=split:validation", "style.contents is 'split:validation'", "train, eval, test"),
        ("style.strengths=[0.5, 0.5]", "style.strengths is [0.5, 0.5]", "give each strength once"),
        ("style.engine=best", "style.engine is 'best'", "fast"),
        ("style={engine: fast, settings: {style_scale: 2.0}}", "style.settings.style_scale", "fast does not use it"),
        ("style={engine: refined, settings: {start: noise}}", "style.settings.start", "refined does not use it"),
        ("style.stylizer=mine.npz", "style.stylizer", "set fast or refined"),
        ("style.settings.content_layers=[block9]", "style.settings: content_layers names block9", "no layer of"),
        (
            "style.settings.scales=[{size: 64, iterations: true}]",
            "style.settings.scales.0.iterations is True",
            "from 1",
        ),
        ("beam.workers=5000", "beam.workers is 5000", "whole number from 1 up to 4000"),
        ("beam.options=[--flink_master host:1]", "beam.options has '--flink_master host:1'", "--NAME=VALUE"),
        ("beam={runner: portable, options: [--job_endpoint=host]}", "beam.options has", "--job_endpoint=HOST:PORT"),
        ("beam={runner: portable, options: ['--job_endpoint=h:99999']}", "beam.options has", "from 1 to 65535"),
        ("beam={runner: spark, options: [--spark_master_url=]}", "beam.options has", "names no place"),
        ("beam={runner: dataflow, temp_location: gs://}", "beam.temp_location is 'gs://'", "gs://BUCKET/FOLDER"),
        ("kubeflow.classes=1", "kubeflow.classes is 1", "at least 2"),
        ("kubeflow.nodes.Trainer.accelerators=2", "kubeflow.nodes.Trainer: accelerators is 2", "name the accelerator"),
        ("kubeflow.nodes.Trainer.cpu=.inf", "kubeflow.nodes.Trainer.cpu is inf", "number from 0"),
        ("kubeflow.nodes.Trainer.cpu=1e300", "kubeflow.nodes.Trainer.cpu is '1e300'", "number from 0 up to 4096"),
        ("kubeflow.nodes.Trainer.memory_gb=1e9", "kubeflow.nodes.Trainer.memory_gb is '1e9'", "up to 65536"),
        ("evaluator.min_accuracy=0_1", "evaluator.min_accuracy is '0_1'", "number from 0 up to 1"),
        ("kubeflow.labels={team: 42}", "kubeflow.labels.team is 42", "in quotes"),
        ("style.styles=swirls", "style.styles is 'swirls'", "a list, as in [a, b]"),
    ],
)
def test_what_a_user_would_learn_only_later_is_said_at_once(catch_error, override, key, allowed):
    message = catch_error(SMALLEST, override)
    assert key in message
    assert allowed in message
    assert "\n" not in message


def test_the_largest_seed_is_one_that_numpy_takes_with_the_tuners_one_added():
    np.random.RandomState(LARGEST_SEED + 1)
    with pytest.raises(ValueError, match="Seed must be between"):
        np.random.RandomState(LARGEST_SEED + 2)


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("trainer.weights_sha256=" + "0" * 63 + "1", "trainer", "weights_sha256", "0" * 63 + "1"),
        ("data.source=photos #2", "data", "source", "photos #2"),
        ("data.source=2026-13-40", "data", "source", "2026-13-40"),
        ("data.source=no", "data", "source", "no"),
        ("data.source=''", "data", "source", ""),
        ("data.splits.test=*test*", "data", "splits", {"test": "*test*"}),
        ("kubeflow.schedule=*/15 * * * *", "kubeflow", "schedule", "*/15 * * * *"),
        ("kubeflow.labels.team=42", "kubeflow", "labels", {"team": "42"}),
        ("kubeflow.project=", "kubeflow", "project", ""),
        ("kubeflow.image='r.example/a:1'", "kubeflow", "image", "r.example/a:1"),
        ("trainer.optimizer=sgd", "trainer", "optimizer", "sgd"),
        ("trainer.head_learning_rate=5E-4", "trainer", "head_learning_rate", 5e-4),
        ("ingest.max_pixels=3_000_000_000", "ingest", "max_pixels", 3_000_000_000),
    ],
)
def test_a_text_is_taken_as_it_is_typed_and_a_number_as_everybody_reads_it(write, override, section, key, expected):
    assert getattr(getattr(config.load(write(), [override]), section), key) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALLEST + "trainer: {seed: 1}\ntrainer: {dropout: 0.1}\n", "trainer is there twice"),
        (SMALLEST + "trainer: {seed: 1, seed: 2}\n", "seed is there twice"),
        (SMALLEST + "data: {source: 2026-13-40}\n", "not YAML: month must be in 1..12"),
        (SMALLEST + "data: " + "[" * 2000 + "]" * 2000, "not YAML: "),
    ],
)
def test_yaml_with_two_meanings_or_none_is_refused(catch_error, text, message):
    found = catch_error(text)
    assert message in found
    assert "\n" not in found


def test_every_fault_of_a_file_is_told_at_once(catch_error):
    lines = catch_error("name: pets\nimage: {size: 1}\ntflit: {}\n").splitlines()
    assert [line.split()[0] for line in lines] == ["image.size", "evaluator", "unknown"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.batch_size", "expected key=value, as in --set trainer.batch_size=16"),
        ("=4", "expected key=value, as in --set trainer.batch_size=16"),
        ("name.first=x", "name is a value, not a section"),
        ("trainer.batch_size=[1", "the value is not YAML"),
    ],
)
def test_a_malformed_override_is_named(catch_error, override, message):
    assert catch_error(SMALLEST, override) == f"--set {override}: {message}"


def test_a_file_that_is_not_yaml_is_named_with_the_line(catch_error):
    message = catch_error("name: [pets\nevaluator: {\n")
    assert message.startswith("not YAML: ")
    assert "line 2" in message
    assert "\n" not in message


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- a\n- b\n", "list"), ("pets\n", "str")])
def test_a_file_without_keys_is_refused(catch_error, text, kind):
    assert catch_error(text) == f"expected `key: value` lines, found {kind}"


def test_a_missing_file_is_named_and_a_folder_is_no_file(tmp_path):
    with pytest.raises(config.ConfigError) as refused:
        config.load(tmp_path / "none.yaml")
    assert str(refused.value) == f"{tmp_path / 'none.yaml'}: no such file; the ready ones are in configs/"
    with pytest.raises(config.ConfigError, match=f"{tmp_path}: cannot be read: "):
        config.load(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(config.ConfigError, match=r"binary\.yaml: cannot be read: "):
        config.load(tmp_path / "binary.yaml")


def test_eval_and_test_must_leave_something_to_train_on(write, catch_error):
    assert catch_error(SMALLEST, "ingest.eval_fraction=0.5", "ingest.test_fraction=0.5") == (
        "ingest.eval_fraction + ingest.test_fraction must stay below 1: nothing is left to train on"
    )
    config.load(write(), ["ingest.eval_fraction=0.5", "ingest.test_fraction=0.49"])


def test_a_weights_file_needs_its_sha256(write, catch_error):
    assert catch_error(SMALLEST, "trainer.weights=mine.h5") == (
        "trainer.weights names the file mine.h5: give its trainer.weights_sha256 too"
    )
    sha256 = "a" * 64
    given = config.load(write(), ["trainer.weights=mine.pth", f"trainer.weights_sha256={sha256}"]).trainer
    assert (given.weights, given.weights_sha256) == ("mine.pth", sha256)
    assert catch_error(SMALLEST, "trainer.weights=mine.h5", f"trainer.weights_sha256={sha256}") == (
        "trainer.weights is 'mine.h5': the weights file of efficientnet_lite0 ends in .pth"
    )
    keras = ["trainer.backbone=efficientnet_v2_s", "trainer.weights=mine.weights.h5"]
    config.load(write(), [*keras, f"trainer.weights_sha256={sha256}"])
    assert "trainer.weights is empty" in catch_error(SMALLEST, "trainer.weights=")
    assert config.load(write(), ["trainer.weights=none"]).trainer.weights == "none"


def test_what_was_read_cannot_be_changed(write):
    settings = config.load(write())
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        settings.name = "cats"
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        settings.trainer.batch_size = 1


def test_another_source_is_taken_letter_by_letter(write):
    settings = config.load(write(), ["data.label_key=label"])
    changed = settings.with_source("123 # images: new")
    assert changed.data == config.Data(source="123 # images: new", label_key="label")
    assert changed.evaluator == settings.evaluator
    assert settings.data.source == ""


@pytest.mark.parametrize("overrides", [["store_size=64", "shards=3"], ["ingest.store_size=64", "ingest.shards=3"]])
def test_the_section_ingest_alone(overrides):
    assert config.load_ingest(overrides) == config.Ingest(store_size=64, shards=3)
    assert config.load_ingest() == config.Ingest()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("store_siz=64", "--set: unknown key ingest.store_siz; did you mean ingest.store_size?"),
        ("image.size=64", "--set: unknown key ingest.image; "),
        ("store_size=1", "--set: ingest.store_size is 1: input should be greater than or equal to 16"),
        ("store_size", "--set store_size: expected key=value, as in "),
    ],
)
def test_the_section_ingest_refuses_as_the_whole_does(override, message):
    with pytest.raises(config.ConfigError) as refused:
        config.load_ingest([override])
    assert str(refused.value).startswith(message)


def test_known_keys_come_with_their_sections_in_order():
    keys = config.list_keys()
    assert keys[:3] == ["name", "data", "data.source"]
    assert keys.index("evaluator") < keys.index("evaluator.min_accuracy") < keys.index("tflite")
    assert "trainer.flip_on_the_fly" in keys
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("file", READY, ids=lambda file: file.stem)
def test_a_ready_config_holds_only_differences_from_the_defaults(file):
    given = yaml.safe_load(file.read_text())
    required = {"name": file.stem, "evaluator": {"min_accuracy": 0, "max_accuracy_drop": 0}}
    defaults = config.Config.model_validate(required).model_dump(mode="json")
    loaded = config.load(file).model_dump(mode="json")
    assert given["name"] == file.stem
    for section in given.keys() - {"name"}:
        for key, value in given[section].items():
            assert holds(loaded[section][key], value), f"{section}.{key}"
            assert defaults[section][key] != value, f"{section}.{key}"


def holds(loaded, given):
    """Whether what was loaded is what was given, defaults aside."""
    if isinstance(given, dict):
        return all(holds(loaded[key], value) for key, value in given.items())
    return loaded == given


def test_there_are_ready_configs_for_the_built_in_data():
    assert {"mnist", "photos"} <= {file.stem for file in READY}
    assert {config.load(ROOT / "configs" / f"{name}.yaml").data.source for name in ("mnist", "photos")} == {
        "mnist",
        "photos",
    }


def test_reading_a_config_is_light():
    code = (
        "import sys; from pipeline.config import config; config.load('configs/mnist.yaml');"
        "print([name for name in ('tensorflow', 'keras', 'tfx', 'apache_beam', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TUNED = SMALLEST + "tuner: {enabled: true}\n"


def test_the_tuners_space_is_typed_and_says_what_is_searched(write):
    overrides = ["tuner.space.batch_size=[16, 64]", "tuner.space.dropout=null"]
    space = config.load(write(TUNED), overrides).tuner.space
    assert (space.tuned, space.of_fine_tuning) == (("head_learning_rate", "label_smoothing", "batch_size"), ())
    deeper = config.load(write(TUNED), ["tuner.space.fine_tune_at=[0, 4]", "trainer.fine_tune_epochs=2"]).tuner.space
    assert deeper.of_fine_tuning == ("fine_tune_at",)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tuner.space.dropout={min: 0.5, max: 0.1}", "min 0.5 must be below max 0.1"),
        ("tuner.space.dropout={min: 0, max: 1}", "tuner.space.dropout holds 1.0: input should be less than 1"),
        (
            "tuner.space.dropout={min: 0, max: 0.5, sampling: log}",
            "sampling is log, for which min must be above 0, not 0",
        ),
        ("tuner.space.batch_size=[0]", "tuner.space.batch_size.0 is 0: input should be greater than or equal to 1"),
        ("tuner.space.optimizer=[adm]", "tuner.space.optimizer.0 is 'adm': input should be 'adam', 'adamw', 'rmsprop'"),
        ("tuner.space.fine_tune_at=[4]", "tuner.space.fine_tune_at is about fine-tuning, and trainer.fine_tune_epochs"),
        ("tuner.space.batch_size=[16, 16]", "tuner.space.batch_size holds [16, 16]: give each value once"),
        ("tuner.space.batch_size=[true]", "tuner.space.batch_size.0 is True: input should be a valid integer"),
        (
            "tuner.space.head_learning_rate={min: 1e-3, max: 1000}",
            "tuner.space.head_learning_rate holds 1000.0: input should be less than or equal to 100",
        ),
        ("tuner.space.fine_tune_at=[-1]", "tuner.space.fine_tune_at is about fine-tuning"),
        ("tuner.space={head_learning_rate: null, dropout: null, label_smoothing: null}", "tuner.space is empty"),
        ("tuner.space.droput={min: 0, max: 1}", "unknown key tuner.space.droput; did you mean tuner.space.dropout?"),
        ("tuner.space.dropout={mni: 0, max: 1}", "unknown key tuner.space.dropout.mni; did you mean"),
        ("tuner.algorithm=grid", "tuner.algorithm is 'grid': input should be 'hyperband', 'bayesian' or 'random'"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(write, override, message):
    with pytest.raises(config.ConfigError) as refused:
        config.load(write(TUNED), [override])
    assert message in str(refused.value)


def test_a_space_holds_blocks_that_the_backbone_has(write):
    overrides = ["trainer={backbone: efficientnet_v2_b0, fine_tune_epochs: 1}", "tuner.space.fine_tune_at=[4, 8]"]
    with pytest.raises(
        config.ConfigError, match=r"tuner\.space\.fine_tune_at holds 8: efficientnet_v2_b0 has .* 0 to 7"
    ):
        config.load(write(TUNED), overrides)
    assert config.load(write(TUNED), [overrides[0], "tuner.space.fine_tune_at=[4, 7]"]).tuner.space.fine_tune_at == (
        4,
        7,
    )
