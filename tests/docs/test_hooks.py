"""Types in words, and links of the source tree as links of the site."""

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import Field

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/hooks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Other(pydantic.BaseModel):
    """A part."""


class Inner(pydantic.BaseModel):
    """A section."""

    size: Annotated[int, Field(ge=16, le=65_500)] = 512
    """Pixels."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    words: tuple[Literal["a", "b", "c"], ...] = ("a",)
    """One | several."""
    shares: tuple[int, int, int] = (8, 1, 1)
    by_name: dict[str, float] = {}
    limit: Annotated[int, Field(ge=1)] | None = None
    enabled: bool = False
    pairs: list[tuple[int, float]] = []
    inner: Other | None = None
    free: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("size", "whole number from 16 to 65,500"),
        ("share", "number above 0 below 1"),
        ("words", "list of `a`, `b` or `c`"),
        ("shares", "list of 3: whole number each"),
        ("by_name", "map from text to number"),
        ("limit", "whole number from 1 or `null`"),
        ("enabled", "`true` or `false`"),
        ("pairs", "list of list of 2: whole number, number"),
        ("inner", "[Other](#other) or `null`"),
        ("free", "map from text to any value"),
    ],
)
def test_types_in_words(hooks, key, words):
    field = Inner.model_fields[key]
    assert hooks.describe_type(field.annotation, field.metadata) == words


def test_every_key_of_the_configuration_has_a_reason(hooks):
    rows = [row for row in hooks.build_configuration().splitlines() if row.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.rstrip().endswith("|  |")] == []


def test_reasons_are_the_texts_below_the_keys(hooks):
    assert hooks.read_attribute_docstrings(Inner) == {"size": "Pixels.", "words": "One | several."}


@pytest.mark.parametrize(
    ("link", "page", "source", "expected"),
    [
        ("[a](docs/how-to/install.md#x)", "contributing.md", "CONTRIBUTING.md", "[a](how-to/install.md#x)"),
        ("[b](../../CHANGELOG.md)", "how-to/install.md", "docs/how-to/install.md", "[b](../changelog.md)"),
        ("[`setup.py`](../../setup.py)", "how-to/install.md", "docs/how-to/install.md", "`setup.py`"),
        ("[tools/lock.sh](../../tools/lock.sh)", "how-to/a.md", "docs/how-to/a.md", "`tools/lock.sh`"),
        ("[c](missing.md)", "index.md", "docs/index.md", "[c](missing.md)"),
        ("[d](https://example.org/x)", "index.md", "docs/index.md", "[d](https://example.org/x)"),
    ],
)
def test_links(hooks, link, page, source, expected):
    found = re.sub(hooks._LINK, lambda match: hooks._link_in_the_site(match, ROOT / source, page), link)
    assert found == expected
