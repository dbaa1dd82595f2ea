"""Files that a configuration names: a missing or another one is known before a run begins."""

import hashlib

import pytest
import yaml
from PIL import Image

from components.style_catalog.style import CatalogError
from pipeline import cli
from pipeline.config import config, file_checks

GATES = {"min_accuracy": 0.8, "max_accuracy_drop": 0.01}


def build_config(**sections):
    return config.Config.model_validate({"name": "pets", "evaluator": GATES, **sections})


def catch_error(**sections):
    with pytest.raises((config.ConfigError, CatalogError)) as caught:
        file_checks.check_files(build_config(**sections))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def describe_weights(path, content=b"weights"):
    return {"weights": str(path), "weights_sha256": hashlib.sha256(content).hexdigest()}


def test_a_weights_file_is_there_and_is_the_one_that_was_meant(tmp_path):
    file = tmp_path / "mine.pth"
    assert catch_error(trainer=describe_weights(file)) == (
        f"trainer.weights is '{file}': the weights file cannot be read: No such file or directory"
    )
    file.write_bytes(b"others")
    message = catch_error(trainer=describe_weights(file))
    assert hashlib.sha256(b"others").hexdigest() in message
    assert hashlib.sha256(b"weights").hexdigest() in message
    file.write_bytes(b"weights")
    file_checks.check_files(build_config(trainer=describe_weights(file)))
    file_checks.check_files(build_config(trainer=describe_weights("gs://bucket/mine.pth")))  # not looked at from here


def test_the_renderers_weights_are_looked_at_where_there_is_a_gallery(tmp_path):
    style = {"settings": describe_weights(tmp_path / "vgg.h5") | {"network": "vgg19"}}
    assert catch_error(style=style | {"enabled": True}).startswith("style.settings.weights is ")
    file_checks.check_files(build_config(style=style))


def test_styles_of_the_builtin_catalog():
    file_checks.check_files(build_config(style={"enabled": True, "styles": ["swirls", "gravel"]}))
    assert catch_error(style={"enabled": True, "styles": ["swirl"]}) == (
        "builtin: there is no style swirl; did you mean swirls?"
    )
    file_checks.check_files(build_config(style={"enabled": False, "styles": ["swirl"]}))


def test_a_catalog_and_its_styles(tmp_path):
    assert "No such file" in catch_error(style={"enabled": True, "catalog": str(tmp_path / "none.yaml")})
    Image.new("RGB", (64, 64)).save(tmp_path / "night.png")
    style = {"enabled": True, "catalog": str(tmp_path)}
    file_checks.check_files(build_config(style=style | {"styles": ["night"]}))
    assert "did you mean night?" in catch_error(style=style | {"styles": ["nigth"]})


def test_contents(tmp_path):
    for given in ("photos", "split:test", "gs://bucket/contents"):
        file_checks.check_files(build_config(style={"enabled": True, "contents": given}))
    assert "no such folder" in catch_error(style={"enabled": True, "contents": str(tmp_path / "none")})
    assert "holds no files" in catch_error(style={"enabled": True, "contents": str(tmp_path)})
    (tmp_path / "a.jpg").touch()
    file_checks.check_files(build_config(style={"enabled": True, "contents": str(tmp_path)}))


def test_contents_are_looked_for_as_the_gallery_looks_for_them(tmp_path):
    linked, junk = tmp_path / "linked", tmp_path / "junk"
    for folder in (linked, junk, tmp_path / "photographs"):
        folder.mkdir()
    (tmp_path / "photographs" / "a.png").write_bytes(b"")
    (linked / "more").symlink_to(tmp_path / "photographs")
    file_checks.check_files(build_config(style={"enabled": True, "contents": str(linked)}))
    (junk / "Thumbs.db").write_bytes(b"")
    assert "holds no files" in catch_error(style={"enabled": True, "contents": str(junk)})


def test_a_stylizer_is_there(tmp_path):
    style = {"enabled": True, "engine": "fast", "stylizer": str(tmp_path / "mine.npz")}
    message = catch_error(style=style)
    assert "style.stylizer" in message
    assert "no such file" in message
    (tmp_path / "mine.npz").touch()
    file_checks.check_files(build_config(style=style))


def test_the_setup_file_of_a_job_that_starts_here(tmp_path):
    beam = {"runner": "spark", "options": ["--job_endpoint=localhost:8099"], "setup_file": str(tmp_path / "setup.py")}
    assert catch_error(beam=beam).startswith("beam.setup_file is ")
    (tmp_path / "setup.py").touch()
    file_checks.check_files(build_config(beam=beam))


def test_a_run_says_so_before_it_touches_anything(tmp_path, capfd):
    file = tmp_path / "pets.yaml"
    file.write_text(
        yaml.safe_dump({"name": "pets", "evaluator": GATES, "trainer": describe_weights(tmp_path / "a.pth")})
    )
    output = tmp_path / "out"
    assert cli.main(["run", "--config", str(file), "--data", "photos", "--output", str(output)]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("atelier: trainer.weights is ")
    assert said.err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize("key", ["contents", "held_out"])
def test_images_of_the_stylizer(tmp_path, key):
    section = {"enabled": True, key: str(tmp_path / "photos")}
    assert catch_error(stylizer=section).startswith(f"stylizer.{key} is '{tmp_path}/photos': no such folder; expected")
    file_checks.check_files(build_config(stylizer=section | {"enabled": False}))
    (tmp_path / "photos").mkdir()
    assert catch_error(stylizer=section) == f"stylizer.{key} is '{tmp_path}/photos': the folder holds no files"
    (tmp_path / "photos" / "a.jpg").write_bytes(b"an image")
    file_checks.check_files(build_config(stylizer=section))


def test_the_stylizers_catalog_is_looked_at_without_a_gallery():
    message = catch_error(stylizer={"enabled": True}, style={"styles": ["swirl"]})
    assert message == "builtin: there is no style swirl; did you mean swirls?"


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"held_out": "split:train"}, "are both 'split:train'"),
        ({"contents": "split:training"}, "the splits are train, eval, test"),
        ({"tflite_sizes": [256, 256]}, "each size once"),
        ({"gate": {"size": 64}, "training": {"style_size": 1024}}, "stylizer.gate.size is 64"),
        ({"training": {"batches": 3}}, "batches"),
    ],
)
def test_a_stylizers_section_that_contradicts_itself(section, fault):
    with pytest.raises(ValueError, match=fault):
        build_config(stylizer=section)
