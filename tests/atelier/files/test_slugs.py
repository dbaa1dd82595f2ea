"""Names made from texts of any kind."""

import pytest

from atelier.files.slugs import make_slug, make_unique_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Köln/Straße 5.JPEG", "straße-5"),
        ("Café.png", "cafe"),
        ("Cafe\u0301.png", "cafe"),
        ("a--b__c.png", "a-b-c"),
        ("../../etc/passwd", "passwd"),
        ("<script>alert(1)</script>", "script"),
        (".jpg", "jpg"),
        ("画像.png", "画像"),
        ("写真 2.png", "写真-2"),
        ("Кошка/Ёж №5.png", "ёж-no5"),
        ("हिन्दी.png", "हिन्दी"),
        ("한글.png", "한글"),
        ("\udcff.png", "image"),
        ("猫" * 300 + ".png", "猫" * 40),
        ("x" * 300 + ".png", "x" * 60),
        ("", "image"),
    ],
)
def test_names_of_files_are_plain(name, expected):
    assert make_slug(name) == expected


def test_an_id_is_ascii_unique_and_never_empty():
    assert make_unique_id("Café Nuit", (), "style") == "cafe-nuit"
    assert make_unique_id("cafe nuit!", {"cafe-nuit", "cafe-nuit-2"}, "style") == "cafe-nuit-3"
    assert make_unique_id("日本", (), "style") == "style"
    long = make_unique_id("a" * 99, (), "style")
    assert long == "a" * 60
    assert make_unique_id("a" * 99, {long}, "style") == "a" * 60 + "-2"
