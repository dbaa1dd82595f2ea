"""What TFX hands over as JSON comes out typed, and is checked where it comes in."""

import json

import pydantic
import pytest

from trainer.settings import (
    Augmentation,
    Interval,
    Space,
    Trainer,
    TrainerConfig,
    TransformConfig,
    Tuner,
    TunerConfig,
)

TRAINING = {
    "data": {"source": "photos", "image_key": "photo", "label_key": "kind", "text_key": "", "splits": {}},
    "image": {"size": 96, "resize": "pad"},
    "augmentation": Augmentation(copies=2).model_dump(mode="json"),
    "trainer": Trainer(batch_size=8, fine_tune_epochs=1).model_dump(mode="json"),
    "state_dir": "",
    "class_names": ["cat", "dog"],
}
PREPROCESSING = {"size": 96, "resize": "pad", "store_size": None}
TRAINER = TRAINING | {
    "preprocessing": PREPROCESSING,
    "provenance": {"code": "12"},
    "ai_platform_training_args": {"project": "p"},
}


@pytest.mark.parametrize("given", [TRAINER, json.dumps(TRAINER)])
def test_the_trainers_config_as_values_and_as_json(given):
    config = TrainerConfig.parse(given)
    assert (config.data.image_key, config.data.label_key, config.data.text_key) == ("photo", "kind", "")
    assert (config.image.size, config.image.resize, config.augmentation.copies) == (96, "pad", 2)
    assert (config.trainer.batch_size, config.trainer.head_epochs) == (8, 20)
    assert (config.class_names, config.provenance) == (("cat", "dog"), {"code": "12"})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.state_dir = "elsewhere"


def test_the_tuners_config_keeps_its_space_through_json():
    tuner = Tuner(enabled=True, space=Space(batch_size=(8, 16), dropout=Interval(min=0.1, max=0.3)))
    config = TunerConfig.parse(json.dumps(TRAINING | {"tuner": tuner.model_dump(mode="json"), "code": "12"}))
    assert config.tuner == tuner
    assert config.tuner.space.tuned == ("head_learning_rate", "dropout", "label_smoothing", "batch_size")


def test_transforms_config():
    given = {"image_key": "photo", "label_key": "kind", "size": 64, "resize": "stretch", "code": ["1", "2"]}
    config = TransformConfig.parse(given)
    assert (config.image_key, config.size, config.resize, config.class_names) == ("photo", 64, "stretch", ())
    assert config.augmentation == Augmentation()


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("augmentation", {"rotatoin": 3}, "rotatoin"),
        ("augmentation", {"zoom": 1.0}, "zoom"),
        ("trainer", {"batch_size": 0}, "batch_size"),
        ("trainer", {"fine_tune_at": 9}, "trainer.fine_tune_at is 9"),
        ("image", {"size": 31}, "size"),
    ],
)
def test_a_wrong_value_is_named_where_it_comes_in(section, values, key):
    with pytest.raises(pydantic.ValidationError, match=key):
        TrainerConfig.parse(TRAINER | {section: values})


def test_what_is_missing_is_named():
    with pytest.raises(pydantic.ValidationError, match=r"preprocessing\n.*\n.*\nprovenance"):
        TrainerConfig.parse(TRAINING)


def test_tuned_values_replace_those_of_the_section_and_are_checked():
    trainer = Trainer(batch_size=8, dropout=0.1).replace_values({"dropout": 0.4, "fine_tune_at": 2})
    assert (trainer.batch_size, trainer.dropout, trainer.fine_tune_at) == (8, 0.4, 2)
    with pytest.raises(pydantic.ValidationError, match="dropout"):
        trainer.replace_values({"dropout": 1.0})


def test_keys_of_fine_tuning_are_told_apart():
    space = Space(fine_tune_at=(2, 4), augmentation_strength=Interval(min=0, max=1), batch_size=(8,))
    assert space.of_fine_tuning == ("fine_tune_at", "augmentation_strength")
    assert Space().of_fine_tuning == ()
