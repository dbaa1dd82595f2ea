"""Words that name something built in, beside paths."""

import pytest

from atelier import builtin_names

WORDS = ("mnist", "photos")


@pytest.mark.parametrize(
    ("given", "word"),
    [("photos", "photos"), ("builtin:mnist", "mnist"), ("./photos", ""), ("photos/", ""), ("Photos", ""), ("", "")],
)
def test_a_word_is_built_in_and_a_path_is_not(given, word):
    assert builtin_names.resolve(given, WORDS) == word
    builtin_names.check(given, WORDS, "--data")  # nothing of that name is here


def test_a_word_beside_a_path_of_its_name_is_refused_with_both_readings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "mnist").write_text("")
    for word in WORDS:
        with pytest.raises(builtin_names.AmbiguousError) as refused:
            builtin_names.check(word, WORDS, "--data")
        for fact in ("--data", str(tmp_path / word), f"./{word}", f"builtin:{word}"):
            assert fact in str(refused.value)
        builtin_names.check(f"./{word}", WORDS, "--data")
        builtin_names.check(f"builtin:{word}", WORDS, "--data")
