"""Augmented variants of what Transform stores."""

import json

import numpy as np
import pytest

from pipeline.beam import pipeline_options
from tests.deferred import deferred_imports
from trainer.settings import Augmentation

with deferred_imports():
    import tensorflow as tf
    from tfx.components.transform import executor as tfx_transform
    from tfx.types import artifact_utils, channel_utils, standard_artifacts

    from components.transform import component, executor
    from trainer import augmentation, features
    from trainer.images import lossless

SIZE = 32
SETTINGS = Augmentation(copies=3)


def draw_image(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def make_transformed(seed, label=1):
    """A serialized example as Transform stores it."""

    def make_feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))

    values = {
        features.IMAGE: lossless.encode(tf.constant(draw_image(seed))).numpy(),
        features.LABEL: label,
        features.PIXEL_MEAN: [1.5, 2.5, 3.5],
    }
    named = {key: make_feature(value) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def augment(record, settings=SETTINGS):
    return list(set_up_worker(settings).process(record))


def set_up_worker(settings=SETTINGS, size=SIZE):
    function = executor.Augment(settings, size)
    function.setup()
    return function


def parse(record):
    return tf.train.Example.FromString(record).features.feature


def decode_pixels(record):
    encoded = parse(record)[features.IMAGE].bytes_list.value[0]
    return lossless.decode(tf.constant(encoded), SIZE).numpy()


@pytest.fixture(scope="module")
def variants():
    return augment(make_transformed(0))


def test_there_are_as_many_variants_as_copies_and_all_differ(variants):
    assert len(variants) == 3
    images = [draw_image(0), *map(decode_pixels, variants)]
    assert all(image.shape == (SIZE, SIZE, 3) for image in images)
    assert len({image.tobytes() for image in images}) == 4


def test_all_but_the_image_stays(variants):
    original = parse(make_transformed(0))
    for variant in map(parse, variants):
        assert set(variant) == set(original)
        for key in (features.LABEL, features.PIXEL_MEAN):
            assert variant[key] == original[key]


def test_each_variant_is_the_augmentation_of_the_original_with_its_number(variants):
    encoded = parse(make_transformed(0))[features.IMAGE].bytes_list.value[0]
    for copy, variant in enumerate(variants):
        seed = augmentation.derive_seed(tf.constant(encoded), copy)
        expected = augmentation.augment(tf.constant(draw_image(0)), seed, SETTINGS)
        np.testing.assert_array_equal(decode_pixels(variant), expected)


def test_another_worker_makes_the_same_variants(variants):
    assert [decode_pixels(variant).tobytes() for variant in augment(make_transformed(0))] == [
        decode_pixels(variant).tobytes() for variant in variants
    ]


def test_other_images_get_other_changes():
    horizontal_only = Augmentation(
        copies=1, rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, horizontal_flip=True
    )
    function = set_up_worker(horizontal_only)
    variants = [decode_pixels(next(function.process(make_transformed(seed)))) for seed in range(12)]
    flipped = [np.array_equal(variant, draw_image(seed)[:, ::-1]) for seed, variant in enumerate(variants)]
    same = [np.array_equal(variant, draw_image(seed)) for seed, variant in enumerate(variants)]
    assert 0 < sum(flipped) < 12
    assert sum(flipped) + sum(same) == 12


def test_no_copies_are_no_variants():
    assert augment(make_transformed(0), Augmentation(copies=0)) == []


def test_an_image_of_another_size_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        next(set_up_worker(size=SIZE * 2).process(make_transformed(0)))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the executor where TFX's Transform leaves two training and one test image; images by file."""

    def do(copies):
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path / "examples")
        examples.split_names = artifact_utils.encode_split_names(["train", "test"])

        def write_examples(_, __, output_dict, ___):
            for split, seeds in (("train", (0, 1)), ("test", (2,))):
                folder = tmp_path / "examples" / f"Split-{split}"
                folder.mkdir(parents=True)
                file = str(folder / "transformed_examples-00000-of-00001.gz")
                with tf.io.TFRecordWriter(file, "GZIP") as writer:
                    for seed in seeds:
                        writer.write(make_transformed(seed))

        monkeypatch.setattr(tfx_transform.Executor, "Do", write_examples)
        context = executor.Executor.Context(
            beam_pipeline_args=list(pipeline_options.IN_MEMORY), tmp_dir=str(tmp_path / "tmp"), unique_id="1"
        )
        custom_config = {
            "image_key": "image/encoded",
            "label_key": "image/class/label",
            "size": SIZE,
            "augmentation": Augmentation(copies=copies).model_dump(),
        }
        executor.Executor(context).Do(
            {}, {"transformed_examples": [examples]}, {"custom_config": json.dumps(custom_config)}
        )
        return {
            str(file.relative_to(tmp_path / "examples")): [
                record.numpy() for record in tf.data.TFRecordDataset(str(file), "GZIP")
            ]
            for file in sorted((tmp_path / "examples").rglob("*.gz"))
        }

    return do


@pytest.mark.slow
def test_variants_lie_beside_the_training_images_and_nowhere_else(run):
    files = run(copies=2)
    made = [record for name, records in files.items() if executor.AUGMENTED_PREFIX in name for record in records]
    assert {name.split("/")[0] for name in files if executor.AUGMENTED_PREFIX in name} == {"Split-train"}
    expected = [
        decode_pixels(variant) for seed in (0, 1) for variant in augment(make_transformed(seed), Augmentation(copies=2))
    ]
    assert sorted(decode_pixels(record).tobytes() for record in made) == sorted(image.tobytes() for image in expected)
    assert [len(records) for name, records in files.items() if "transformed_examples" in name] == [1, 2]


@pytest.mark.slow
def test_without_copies_nothing_is_added(run):
    assert set(run(copies=0)) == {
        f"Split-{split}/transformed_examples-00000-of-00001.gz" for split in ("train", "test")
    }


def test_the_component_is_transform_with_our_executor():
    node = component.Transform(
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        schema=channel_utils.as_channel([standard_artifacts.Schema()]),
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config={"size": SIZE, "augmentation": SETTINGS.model_dump()},
    )
    assert node.id == "Transform"
    assert node.executor_spec.executor_class is executor.Executor
    assert json.loads(node.exec_properties["custom_config"]) == {"size": SIZE, "augmentation": SETTINGS.model_dump()}
    assert node.exec_properties["disable_statistics"] == 1
