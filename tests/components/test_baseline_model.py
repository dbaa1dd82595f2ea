"""Which model a candidate has to beat."""

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.types import standard_artifacts

    from components.baseline_model import executor


def make_model(folder):
    model = standard_artifacts.Model()
    model.uri = str(folder)
    return model


@pytest.fixture
def candidate(tmp_path):
    (tmp_path / "candidate" / "Format-Serving" / "variables").mkdir(parents=True)
    (tmp_path / "candidate" / "Format-Serving" / "saved_model.pb").write_text("candidate")
    (tmp_path / "candidate" / "model.keras").write_text("not served")
    return make_model(tmp_path / "candidate")


@pytest.fixture
def serving(tmp_path):
    """A serving directory in which each version says its number."""
    for version in ("9", "10", "1700000000"):
        (tmp_path / "serving" / version / "variables").mkdir(parents=True)
        (tmp_path / "serving" / version / "saved_model.pb").write_text(version)
    return tmp_path / "serving"


def publish(candidate, tmp_path, directory, version):
    """What is published: the model's text, and the two properties."""
    baseline = make_model(tmp_path / "baseline")
    executor.publish(candidate, baseline, str(directory), version)
    text = (tmp_path / "baseline" / "Format-Serving" / "saved_model.pb").read_text()
    return text, baseline.get_int_custom_property("is_candidate"), baseline.get_string_custom_property("version")


def test_where_none_was_pushed_the_candidate_stands_for_itself(candidate, tmp_path):
    assert publish(candidate, tmp_path, tmp_path / "none", "") == ("candidate", 1, "")
    assert not (tmp_path / "baseline" / "model.keras").exists()


def test_latest_without_any_version_is_the_candidate_too(candidate, tmp_path):
    assert publish(candidate, tmp_path, tmp_path / "none", executor.LATEST) == ("candidate", 1, "")


def test_latest_is_the_highest_number_not_the_last_name(candidate, serving, tmp_path):
    assert publish(candidate, tmp_path, serving, executor.LATEST) == ("1700000000", 0, "1700000000")


def test_a_given_version_is_taken(candidate, serving, tmp_path):
    assert publish(candidate, tmp_path, serving, "9") == ("9", 0, "9")


def test_no_baseline_may_be_asked_for_although_there_is_one(candidate, serving, tmp_path):
    assert publish(candidate, tmp_path, serving, "") == ("candidate", 1, "")


@pytest.mark.parametrize("version", ["11", ".", "variables"])
def test_a_missing_version_is_an_error(candidate, serving, tmp_path, version):
    with pytest.raises(FileNotFoundError) as refused:
        publish(candidate, tmp_path, serving, version)
    assert str(refused.value) == f"the baseline, version {version}, is not in {serving}"
    assert not (tmp_path / "baseline").exists()


def test_versions_are_numbers_sorted_as_numbers(serving):
    for name in (".1700000001.partial", "backup", "12a", "1.5", "²", "1_000", "20261126171900123456"):
        (serving / name).mkdir()
    assert executor.list_pushed_versions(str(serving)) == ["9", "10", "1700000000"]
    assert executor.list_pushed_versions(f"{serving}/") == ["9", "10", "1700000000"]
    for name in ("-3", "011"):  # versions to ModelServer, too
        (serving / name).mkdir()
    assert executor.list_pushed_versions(str(serving)) == ["-3", "9", "10", "011", "1700000000"]


def test_a_directory_that_does_not_exist_holds_no_versions(tmp_path):
    assert executor.list_pushed_versions(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "comparable"),
    [
        ("cat\ndog\n", "cat\ndog\n", True),
        ("cat\ndog\n", "ant\ncat\ndog\n", False),
        ("dog\ncat\n", "cat\ndog\n", False),
        ("cat\ndog\n", None, True),
    ],
    ids=["the same", "one fewer", "another order", "unknown"],
)
def test_a_version_with_other_classes_is_no_baseline(candidate, serving, tmp_path, ours, theirs, comparable):
    for folder, labels in ((tmp_path / "candidate" / "Format-Serving", ours), (serving / "10", theirs)):
        (folder / "assets.extra").mkdir()
        if labels:
            (folder / "assets.extra" / "labels.txt").write_text(labels)
    assert publish(candidate, tmp_path, serving, "10") == (("10", 0, "10") if comparable else ("candidate", 1, ""))
