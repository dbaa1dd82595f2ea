"""`run_fn`, as TFX calls it, on tiny data and with a tiny network; once with the real export."""

import csv
import json
from typing import Any

import numpy as np
import pytest

from atelier.preprocessing import Preprocessing
from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import CLASSES, EVAL_COUNTS, SIZE, TRAIN_COUNTS
from trainer.settings import Augmentation, Trainer

with deferred_imports():
    import keras
    import tensorflow as tf

    from tests import object_store
    from tests.trainer.callbacks import Kill, KilledError, Rates
    from tests.trainer.tiny_backbone import build_tiny_backbone
    from trainer import backbones, export, signatures, train
    from trainer.training import optimization, precision, task

pytestmark = pytest.mark.slow

TRAIN, EVAL, BATCH = sum(TRAIN_COUNTS), sum(EVAL_COUNTS), 16
STEPS = -(-TRAIN // BATCH)


class Training:
    """`run_fn` with its surroundings, and what it did."""

    def __init__(self, transformed, folder, label_key="image/class/label"):
        self._transformed, self._folder, self._label_key = transformed, folder, label_key
        self.state = folder / "state"
        self.artifacts = str(folder)
        self.added, self.fits, self.built, self.exported = [], [], [], []

    def __call__(self, *, state_dir=None, **settings):
        """Runs, and returns `training.json`."""
        defaults: dict[str, Any] = {
            "batch_size": BATCH,
            "head_epochs": 3,
            "fine_tune_at": 1,
            "mixed_precision": "float32",
        }
        trainer = Trainer(**(defaults | settings), flip_on_the_fly=True).model_dump()
        fn_args = self._transformed.build_fn_args(
            trainer=trainer,
            image={"size": SIZE, "resize": "crop"},
            data={"image_key": "image/encoded", "label_key": self._label_key},
            augmentation=Augmentation().model_dump(),
            preprocessing={"size": SIZE, "resize": "crop", "store_size": 512},
            state_dir=str(self.state) if state_dir is None else state_dir,
            provenance={"code": "1234"},
        )
        fn_args.serving_model_dir = f"{self.artifacts}/model/Format-Serving"
        fn_args.model_run_dir = f"{self.artifacts}/run"
        train.run_fn(fn_args)
        with tf.io.gfile.GFile(f"{self.artifacts}/run/training.json") as file:
            return json.loads(file.read())

    @property
    def model(self):
        """The network that was exported."""
        return self.exported[-1]["model"]

    def measure_accuracy(self):
        """Of the exported network on the eval split."""
        pixels, labels = self._transformed.read_pixels("eval"), self._transformed.read_labels("eval")
        return np.mean(self.model.predict(pixels.astype(np.float32), verbose=0).argmax(axis=1) == labels)


def surround(training, patch, real_export=False):
    """Puts the tiny network in, leaves the export's work out if told so, and writes down what goes by."""
    keras_fit = keras.Model.fit

    def build(*args, **options):
        backbone = build_tiny_backbone(*args, **options)
        before = read_weights(backbone.model)
        training.built.append({"policy": keras.config.dtype_policy().name, "initial": before, **options})
        return backbone

    def fit(model, *args, callbacks, **options):
        training.fits.append({"phase": model.name, "loss": model.loss, "class_weight": options["class_weight"]})
        return keras_fit(model, *args, callbacks=[*callbacks, *training.added], **options)

    def write(model, directory, **options):
        training.exported.append({"model": model, "directory": directory, **options})

    patch.setattr(backbones, "build", build)
    patch.setattr(keras.Model, "fit", fit)
    if not real_export:
        patch.setattr(export, "export", write)
    return training


@pytest.fixture
def training(transformed, tmp_path, monkeypatch):
    return surround(Training(transformed, tmp_path), monkeypatch)


@pytest.fixture(scope="module")
def trained(transformed, tmp_path_factory):
    """One training with everything on; most of what follows looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        training = surround(Training(transformed, tmp_path_factory.mktemp("trained")), patch)
        training.added = [Rates()]
        training.written = training(
            fine_tune_epochs=4,
            fine_tune_at=1,
            fine_tune_learning_rate=0.02,
            warmup_fraction=0.25,
            label_smoothing=0.3,
            class_weights=True,
            patience=9,
        )
    return training


def read_weights(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def find_changed(before, after):
    """Names of the layers whose weights differ."""
    return {
        name
        for name in before
        if any((one != other).any() for one, other in zip(before[name], after[name], strict=True))
    }


# From end to end


def test_artifacts_may_lie_in_an_object_store(transformed, tmp_path, monkeypatch):
    training = surround(Training(transformed, tmp_path), monkeypatch, real_export=True)
    training.artifacts = "ram://trainer"
    training(fine_tune_epochs=1)
    written = object_store.list_files("ram://trainer")
    assert "model/model.keras" in written
    assert "model/Format-Serving/assets.extra/tf_serving_warmup_requests" in written
    assert {path.split("/")[1] for path in written if ".tfevents." in path} == {"head", "fine_tune"}
    assert list(tf.saved_model.load("ram://trainer/model/Format-Serving").signatures) == list(signatures.SIGNATURES)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob("ram*"))


def test_from_transform_to_saved_model_in_mixed_precision(transformed, tmp_path, monkeypatch):
    training = surround(Training(transformed, tmp_path), monkeypatch, real_export=True)
    written = training(fine_tune_epochs=1, fine_tune_learning_rate=0.02, mixed_precision="mixed_bfloat16")
    assert written["precision"] == "mixed_bfloat16"
    assert [built["policy"] for built in training.built] == ["mixed_bfloat16", "float32"]
    assert keras.config.dtype_policy().name == "float32"
    assert not list(training.state.iterdir())

    run, model = tmp_path / "run", tmp_path / "model"
    events = sorted(file.relative_to(run).parts[:2] for file in run.rglob("events.out.tfevents.*"))
    assert events == [(phase, part) for phase in ("fine_tune", "head") for part in ("train", "validation")]
    assert sorted(file.name for file in model.iterdir()) == ["Format-Serving", "model.keras"]
    assert (model / "Format-Serving" / "assets.extra" / "labels.txt").read_text().splitlines() == list(CLASSES)

    exported = keras.models.load_model(model / "model.keras", compile=False)
    assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    assert {weight.dtype for weight in exported.weights} == {"float32"}
    assert find_changed(training.built[0]["initial"], read_weights(exported)) == {"block1a_conv", "top_conv"}
    pixels = transformed.read_pixels("eval")
    served = tf.saved_model.load(str(model / "Format-Serving")).signatures["serving_pixels"](tf.constant(pixels))
    assert served["probabilities"].dtype == tf.float32
    probabilities = exported.predict(pixels.astype(np.float32), verbose=0)
    np.testing.assert_allclose(served["probabilities"], probabilities, atol=1e-5)


# One training, looked at from all sides


def test_what_the_network_is_given(trained, transformed):
    # Once to train, once to export: the same network both times.
    assert len(trained.built) == 2
    pixels = transformed.read_pixels("train").astype(np.float64)
    for built in trained.built:
        assert (built["weights_sha256"], built["policy"]) == ("", "float32")
        np.testing.assert_allclose(built["mean"], pixels.mean(axis=(0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(built["variance"], pixels.var(axis=(0, 1, 2)), rtol=1e-6)


def test_what_the_export_is_given(trained, transformed):
    (given,) = trained.exported
    assert given["model"].output_shape == (None, len(CLASSES))
    assert (given["class_names"], given["image_key"]) == (list(CLASSES), "image/encoded")
    assert given["preprocessing"] == Preprocessing(size=SIZE, resize="crop", store_size=512)
    assert given["provenance"] == {"code": "1234"}
    np.testing.assert_array_equal(given["sample"], transformed.read_pixels("train")[:1])


def test_what_is_written(trained):
    assert trained.written["precision"] == "float32"
    phases = trained.written["phases"]
    assert {name: [row["epoch"] for row in phase["curves"]] for name, phase in phases.items()} == {
        "head": [0, 1, 2],
        "fine_tune": [0, 1, 2, 3],
    }
    cache, curve = phases["head"]["feature_cache"], phases["head"]["curves"]
    assert cache["later_epoch_s"] == pytest.approx(max(row["seconds"] for row in curve[1:]), abs=1e-3)
    assert cache["first_epoch_s"] > curve[0]["seconds"]
    assert not list(trained.state.iterdir())


def test_fine_tuning_changes_kernels_from_its_block_on_and_no_statistics(trained):
    """Gamma, beta, moving mean and variance of batch normalization stay."""
    assert find_changed(trained.built[0]["initial"], read_weights(trained.model)) == {"block1a_conv", "top_conv"}


def test_the_best_weights_are_exported(trained):
    best = max(row["val_accuracy"] for row in trained.written["phases"]["fine_tune"]["curves"])
    assert trained.measure_accuracy() == pytest.approx(best)


def test_learning_rate_by_hand(trained):
    """Warm-up is linear from 0, and cosine decay is (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter, equation 5)."""
    rates = trained.added[0].seen
    step = np.arange(12)
    falling = 0.02 * (1 + np.cos(np.pi * (step - 3) / 9)) / 2
    np.testing.assert_allclose(rates["classifier"], np.where(step < 3, 0.02 * step / 3, falling), atol=1e-7)
    np.testing.assert_allclose(rates["head"], 1e-3, rtol=1e-6)


@pytest.mark.parametrize(("steps", "first", "last"), [(10, 0.5, 0.5 * (1 + np.cos(np.pi * 0.9)) / 2), (1, 0.5, 0.5)])
def test_without_warm_up_the_first_step_has_the_whole_rate(steps, first, last):
    rate = optimization.build_warmup_and_cosine(0.5, steps, 0.0)
    assert float(rate(0)) == pytest.approx(first)
    assert float(rate(steps - 1)) == pytest.approx(last)


def test_label_smoothing_by_hand(trained):
    truth = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    given = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], np.float32)
    smooth = truth * 0.7 + 0.3 / 3  # Szegedy et al. 2016, section 7
    want = -(smooth * np.log(given)).sum(axis=1).mean()
    assert [fit["phase"] for fit in trained.fits] == ["head", "classifier"]
    for fit in trained.fits:
        assert float(fit["loss"](truth, given)) == pytest.approx(want, rel=1e-5)


def test_class_weights_by_hand(trained):
    # 40 images: 20, 12 and 8.
    want = {0: 40 / (3 * 20), 1: 40 / (3 * 12), 2: 40 / (3 * 8)}
    assert [fit["class_weight"] for fit in trained.fits] == [pytest.approx(want)] * 2


@pytest.mark.parametrize("fine_tune_epochs", [0, 9])
def test_auto_measures_real_steps_in_each_format(training, monkeypatch, fine_tune_epochs):
    """The candidates are forced: not every machine has more than one."""
    monkeypatch.setattr(precision, "list_policies", lambda: ("float32", "mixed_bfloat16"))
    seen = []

    def measure(steps):
        for policy, step in steps.items():
            step()
            seen.append(policy)
        return {"float32": 80.0, "mixed_bfloat16": 40.0}

    monkeypatch.setattr(precision, "measure", measure)
    settings = {"mixed_precision": "auto", "batch_size": 2, "head_epochs": 1, "patience": 1}
    written = training(fine_tune_epochs=fine_tune_epochs, **settings)
    assert seen == ["float32", "mixed_bfloat16"]
    assert written["precision"] == "mixed_bfloat16"
    assert written["precision_choice"]["step_ms"] == {"float32": 80.0, "mixed_bfloat16": 40.0}
    assert "fastest" in written["precision_choice"]["reason"]
    # Two that were measured, the one that was trained, and the one that was exported.
    assert [built["policy"] for built in training.built] == ["float32", "mixed_bfloat16", "mixed_bfloat16", "float32"]
    stepped = [fit["phase"] for fit in training.fits]
    assert stepped == ["head"] + ["classifier"] * bool(fine_tune_epochs)


def test_a_measurement_leaves_no_trace_in_the_weights(training, monkeypatch):
    def measure(steps):
        for step in steps.values():
            step()
        return dict.fromkeys(steps, 1.0)

    monkeypatch.setattr(precision, "list_policies", lambda: ("float32", "mixed_bfloat16"))
    monkeypatch.setattr(precision, "measure", measure)
    settings = {"head_epochs": 1, "fine_tune_epochs": 1, "batch_size": 2}
    measured, configured = training(mixed_precision="auto", **settings), training(**settings)
    assert measured["precision"] == configured["precision"] == "float32"
    assert len(training.built) == 4 + 2
    for one, other in zip(*(exported["model"].get_weights() for exported in training.exported), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_without_images_weighs_nothing():
    assert task._compute_class_weights([6, 0, 2]) == {0: 8 / (2 * 6), 1: 0.0, 2: 8 / (2 * 2)}


# Other trainings


def test_the_head_alone_without_weights_by_class_and_without_a_place_for_its_state(training, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    written = training(state_dir="")
    assert list(written["phases"]) == ["head"]
    assert training.fits[0]["class_weight"] is None
    assert find_changed(training.built[0]["initial"], read_weights(training.model)) == set()
    assert not list((tmp_path / "tmp").iterdir())
    assert not training.state.exists()


def test_the_same_seed_gives_the_same_weights_and_another_does_not(training):
    found = []
    for seed in (1, 1, 2):
        training(head_epochs=1, seed=seed)
        found.append(training.model.get_weights())
    for one, again in zip(found[0], found[1], strict=True):
        np.testing.assert_array_equal(one, again)
    assert abs(found[0][0] - found[2][0]).max() > 1e-2


def test_a_killed_training_goes_on_and_keeps_its_curves(training, monkeypatch):
    settings = {"fine_tune_epochs": 4, "warmup_fraction": 0.25, "patience": 9}
    training.added = [Kill(1, "classifier")]
    with pytest.raises(KilledError):
        training(**settings)
    assert [fit["phase"] for fit in training.fits] == ["head", "classifier"]
    (state,) = {folder.parent for folder in training.state.glob("*/head")}
    head = list(csv.DictReader((state / "head" / "epochs.csv").read_text().splitlines()))

    # The next one fails in the export.
    rates, write = Rates(), export.export

    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(export, "export", fail)
    monkeypatch.setattr(keras.Model, "predict_on_batch", None)  # features are there: nothing may be computed again
    training.added, training.fits = [rates], []
    with pytest.raises(OSError, match="no space left"):
        training(**settings)
    # The head is done, fine-tuning goes on with its third epoch and the learning rate of that.
    assert [fit["phase"] for fit in training.fits] == ["classifier"]
    want = 1e-4 * (1 + np.cos(np.pi * (np.arange(6, 12) - 3) / 9)) / 2
    np.testing.assert_allclose(rates.seen["classifier"], want, atol=1e-9)

    # And the last one only exports.
    monkeypatch.setattr(export, "export", write)
    training.fits = []
    curves = {name: phase["curves"] for name, phase in training(**settings)["phases"].items()}
    assert training.fits == []
    assert curves["head"] == [{key: float(value) for key, value in row.items()} for row in head]
    assert [row["epoch"] for row in curves["fine_tune"]] == [0, 1, 2, 3]
    assert training.measure_accuracy() == pytest.approx(max(row["val_accuracy"] for row in curves["fine_tune"]))
    assert not list(training.state.iterdir())


def test_another_configuration_or_other_data_do_not_go_on_with_this_state(transformed):
    def compute_state(tuned=None, **changes):
        fn_args = transformed.build_fn_args(trainer={"seed": changes.pop("seed", 0)}, state_dir="/state")
        for name, value in changes.items():
            setattr(fn_args, name, value)
        return train._compute_digest(fn_args, tuned or {})

    assert compute_state() == compute_state()
    different = [
        compute_state(),
        compute_state(seed=1),
        compute_state(train_files=["a/*"]),
        compute_state(eval_files=["a/*"]),
    ]
    different += [compute_state(transform_graph_path="other"), compute_state({"dropout": 0.5})]
    assert len(set(different)) == 6


def test_eval_labels_that_no_training_image_has_are_named(training, text_transformed):
    training._transformed, training._label_key = text_transformed, "kind"
    with pytest.raises(ValueError, match=r"eval: the ids -1 are not among the 2 classes, 0 to 1"):
        training()
