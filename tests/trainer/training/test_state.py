import tempfile

from trainer.training import state


def test_a_training_without_a_folder_for_its_state_removes_what_a_killed_one_has_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "atelier-scratch-training-0" / "features").mkdir(parents=True)
    with state.open_state_directory("") as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
