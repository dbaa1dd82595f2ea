"""Facts that several packages share."""

from atelier import layout


def test_every_alias_means_one_split_and_every_split_is_its_own_first_alias():
    aliases = [alias for names in layout.SPLIT_ALIASES.values() for alias in names]
    assert len(aliases) == len(set(aliases)) == len(layout.SPLIT_BY_ALIAS)
    assert [names[0] for names in layout.SPLIT_ALIASES.values()] == list(layout.SPLITS)
    assert layout.SPLIT_BY_ALIAS["val"] == "eval"


def test_the_largest_file_holds_every_pixel_of_16_bit_rgba():
    assert layout.compute_max_file_bytes(1_000) == 8 * 1_000 + 1_048_576
