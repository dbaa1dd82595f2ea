from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands.work import serve_models
from serving.server.model_server_config import ModelServerConfigError


def served(folder, name=None):
    models = serve_models.find_config(folder, name).model_config_list.config
    return {model.name: (model.base_path, model.model_platform) for model in models}


def test_a_base_path_is_one_model(tmp_path):
    (tmp_path / "1795522151").mkdir()
    (tmp_path / ".17.partial").mkdir()
    assert served(tmp_path) == {"default": (str(tmp_path), "tensorflow")}
    assert served(tmp_path, "pets") == {"pets": (str(tmp_path), "tensorflow")}


def test_the_default_name_is_the_one_that_clients_ask_for(tmp_path):
    (tmp_path / "1").mkdir()
    assert list(served(tmp_path, None)) == ["default"]
    (tmp_path / "2" / "assets.extra").mkdir(parents=True)
    (tmp_path / "2" / "assets.extra" / "stylization.json").touch()
    assert list(served(tmp_path, None)) == ["stylizer"]
    assert list(served(tmp_path, "mine")) == ["mine"]


def test_a_folder_of_base_paths_is_a_model_each(tmp_path):
    for folder in ("cats/1", "dogs/2", "none/x"):
        (tmp_path / folder).mkdir(parents=True)
    assert served(tmp_path) == {
        "cats": (str(tmp_path / "cats"), "tensorflow"),
        "dogs": (str(tmp_path / "dogs"), "tensorflow"),
    }


def test_the_output_folder_of_a_run_serves_what_a_server_can_load(tmp_path):
    for file in ("serving_model/1/saved_model.pb", "stylizer/2/saved_model.pb", "tflite/3/model.tflite", "run.json"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert list(served(tmp_path)) == ["serving_model", "stylizer"]


def test_a_name_for_a_folder_of_models_is_not_ignored(tmp_path):
    for folder in ("cats/1", "dogs/2"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(ModelServerConfigError, match=r"cats, dogs.*leave out --name"):
        served(tmp_path, "pets")


def test_a_name_beside_a_models_config_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "models.config").touch()
    assert cli.main(["serve", "--model-config-file", str(tmp_path / "models.config"), "--name", "pets"]) == 2
    assert "--name is for --models" in capsys.readouterr().err


def test_a_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    (tmp_path / "models" / "1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert served(Path("models")) == {"default": (str(tmp_path / "models"), "tensorflow")}


def test_what_holds_no_models_is_told(tmp_path):
    with pytest.raises(ModelServerConfigError, match="missing: no such folder"):
        serve_models.find_config(tmp_path / "missing", "default")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelServerConfigError, match="no such folder"):
        serve_models.find_config(tmp_path / "file", "default")
    with pytest.raises(ModelServerConfigError, match="no versions"):
        serve_models.find_config(tmp_path, "default")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("1795714187", "it is itself a version; give the folder above it, {models}"),
        ("007", "it is itself a version; give the folder above it, {models}"),
        ("v1", "it is itself a model; rename it to a number, such as {models}/4, and give the folder above it"),
        ("1.0", "it is itself a model; rename it to a number, such as {models}/4, and give the folder above it"),
        ("20261126171900123456", "it is itself a model; rename it to a number, such as {models}/4"),
    ],
)
def test_a_version_given_as_model_is_told(tmp_path, monkeypatch, name, words):
    models = tmp_path / "models"
    (models / "3").mkdir(parents=True)
    (models / name / "variables").mkdir(parents=True)
    (models / name / "saved_model.pb").touch()
    expected = words.format(models=models)
    with pytest.raises(ModelServerConfigError) as refused:
        serve_models.find_config(models / name, "default")
    assert expected in str(refused.value)
    monkeypatch.chdir(models / name)
    with pytest.raises(ModelServerConfigError) as refused:
        serve_models.find_config(Path(), "default")
    assert expected in str(refused.value)


@pytest.mark.parametrize("name", ["v1", "1.0", "20261126171900123456", "1_000"])
def test_models_whose_folders_are_no_versions_are_told(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "saved_model.pb").touch()
    with pytest.raises(ModelServerConfigError, match=f"'{name}' in it holds a model, but is no number of 64 bits"):
        serve_models.find_config(tmp_path, "default")


@pytest.mark.parametrize("option", ["pad_variable_length_inputs: true", "enable_large_batch_splitting { value: true }"])
def test_batching_that_the_local_server_lacks_is_refused(tmp_path, option):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(f"max_batch_size {{ value: 8 }} {option}")
    with pytest.raises(ModelServerConfigError, match=f"{option.split()[0].rstrip(':')} is beyond the local server"):
        serve_models._read_batching(file)
