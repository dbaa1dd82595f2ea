"""What the component publishes."""

import json

import numpy as np
import pytest
from PIL import Image

from components.style_catalog.style import CatalogError, load_pixels
from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.orchestration import metadata, pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.types.experimental import simple_artifacts

    from components.style_catalog import catalog, executor
    from components.style_catalog.component import StyleCatalog


@pytest.fixture
def artifact(tmp_path):
    dataset = simple_artifacts.Dataset()
    dataset.uri = str(tmp_path / "published")
    return dataset


@pytest.fixture
def three(make_entry, write_catalog):
    entries = [make_entry("wave", 0, 80, 640), make_entry("dunes", 1, preset={"strength": 0.5}), make_entry("coins", 2)]
    return write_catalog(*entries)


@pytest.mark.slow
def test_what_is_published_is_a_catalog_again(three, artifact, tmp_path):
    executor.publish(str(three), "[]", artifact)
    published = catalog.load_catalog(tmp_path / "published" / "catalog.yaml")
    for was, now in zip(catalog.load_catalog(three), published, strict=True):
        assert (was.id, was.sha256, was.licence, was.preset) == (now.id, now.sha256, now.licence, now.preset)
        assert now.file == tmp_path / "published" / "pictures" / f"{was.id}.png"
    assert artifact.get_int_custom_property("count") == 3
    assert artifact.get_string_custom_property("styles") == "wave,dunes,coins"


def test_thumbnails_are_small_jpegs(three, artifact, tmp_path):
    executor.publish(str(three), "[]", artifact)
    thumbnails = tmp_path / "published" / "thumbnails"
    assert sorted(file.name for file in thumbnails.iterdir()) == ["coins.jpg", "dunes.jpg", "wave.jpg"]
    with Image.open(thumbnails / "wave.jpg") as wave, Image.open(thumbnails / "coins.jpg") as coins:
        assert wave.format == "JPEG"
        assert wave.size == (256, 32)  # of 640 x 80
        assert coins.size == (96, 80)  # never enlarged
        original = load_pixels(catalog.load_catalog(three)[0]).astype(float).mean()
        assert np.asarray(wave).mean() == pytest.approx(original, abs=3)


def test_chosen_styles_come_in_the_chosen_order(three, artifact, tmp_path):
    executor.publish(str(three), json.dumps(["coins", "wave", "coins"]), artifact)
    assert [style.id for style in catalog.load_catalog(tmp_path / "published" / "catalog.yaml")] == ["coins", "wave"]
    assert sorted(file.name for file in (tmp_path / "published" / "pictures").iterdir()) == ["coins.png", "wave.png"]


def test_unknown_styles_are_all_named(three, artifact, tmp_path):
    with pytest.raises(CatalogError) as refused:
        executor.publish(str(three), '["wave", "dune", "zzz"]', artifact)
    assert str(refused.value).splitlines() == [
        f"{three}: there is no style dune; did you mean dunes?",
        f"{three}: there is no style zzz; known here: wave, dunes, coins",
    ]
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("styles", ["wave", '"wave"', "[1]", ""])
def test_styles_must_be_a_list_of_ids(three, artifact, styles):
    with pytest.raises(CatalogError, match="it must be a JSON list of ids"):
        executor.publish(str(three), styles, artifact)


def test_a_faulty_catalog_publishes_nothing(artifact, make_entry, write_catalog, tmp_path):
    with pytest.raises(CatalogError, match=r"entry 1 \(a\): licence is missing"):
        executor.publish(str(write_catalog(make_entry("a", licence=""))), "[]", artifact)
    assert not (tmp_path / "published").exists()


def test_a_plain_folder_is_published_too(artifact, make_entry, tmp_path):
    make_entry("a")
    executor.publish(str(tmp_path), "[]", artifact)
    (style,) = catalog.load_catalog(tmp_path / "published" / "catalog.yaml")
    assert (style.id, style.licence) == ("a", "unknown")


def run(three, root):
    """Runs the component under the local runner; the versions that are published then."""
    node = StyleCatalog(
        catalog=str(three), styles="[]", code="none", fingerprint=catalog.compute_fingerprint(str(three))
    )
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="styles",
            pipeline_root=str(root),
            components=[node],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / "metadata.db")),
        )
    )
    return sorted((root / "StyleCatalog" / "published").iterdir())


@pytest.mark.slow
def test_the_component_runs_and_is_cached_until_an_image_changes(three, make_entry, write_catalog, tmp_path):
    root = tmp_path / "root"
    (first,) = run(three, root)
    assert [style.id for style in catalog.load_catalog(first / "catalog.yaml")] == ["wave", "dunes", "coins"]
    assert run(three, root) == [first]
    write_catalog(make_entry("wave", 5))
    _, second = run(three, root)
    assert [style.id for style in catalog.load_catalog(second / "catalog.yaml")] == ["wave"]
