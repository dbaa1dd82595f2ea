"""What the site's build adds: pages for files that lie elsewhere in the tree, and tables from the code.

A page asks for a table with a line of its own, such as `<!-- generated: configuration -->`.
"""

import ast
import functools
import inspect
import os
import re
import tempfile
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import click
import pydantic
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo

from atelier.settings.field_types import LARGEST_INT32
from pipeline.terminal.verb import Verb

ROOT = Path(__file__).parents[1]

PAGES_FROM_THE_TREE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "compat/glibc/README.md": "explanation/glibc.md",
    "serving/deploy/README.md": "how-to/tensorflow-serving.md",
}
"""Files that GitHub shows where they lie, and the site as these pages."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_MARKER = re.compile(r"^<!-- generated: (?P<name>[^ ]+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of files outside `docs/`."""
    for source, page in PAGES_FROM_THE_TREE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Replaces markers by tables, and makes links of the source tree links of the site.

    Raises:
      PluginError: a marker names a table that does not exist.
    """
    sources = {page: source for source, page in PAGES_FROM_THE_TREE.items()}
    source = ROOT / sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    linked = _LINK.sub(lambda link: _link_in_the_site(link, source, page.file.src_uri), markdown)
    return _MARKER.sub(_build_table, linked)


def _link_in_the_site(link: re.Match[str], source: Path, page: str) -> str:
    """Makes a link to a page relative to this page, and the name of another file of the tree plain text."""
    if re.match("[a-z]+:", link["target"]):
        return link[0]
    target = Path(os.path.normpath(source.parent / link["target"]))
    if not target.is_relative_to(ROOT) or not target.exists():
        return link[0]  # MkDocs reports it
    name = target.relative_to(ROOT).as_posix()
    if name in PAGES_FROM_THE_TREE:
        name = PAGES_FROM_THE_TREE[name]
    elif name.startswith("docs/"):
        name = name.removeprefix("docs/")
    else:
        return link["text"] if "`" in link["text"] or "/" not in link["text"] else f"`{link['text']}`"
    return f"[{link['text']}]({os.path.relpath(name, Path(page).parent)}{link['anchor'] or ''})"


def _build_table(marker: re.Match[str]) -> str:
    if marker["name"] not in _TABLES:
        raise PluginError(f"no generated table is called {marker['name']}; known: {', '.join(_TABLES)}")
    return _TABLES[marker["name"]]()


def build_configuration() -> str:
    """Builds the tables of all keys of the configuration: a heading for each section, a row for each key."""
    from pipeline.config.config import Config

    return "\n\n".join(_build_sections({Config: ""}))


@functools.cache
def build_styles() -> str:
    """Builds the table of the built-in catalog: a row for each style."""
    from components.style_catalog import builtin, catalog

    with tempfile.TemporaryDirectory() as folder:
        entries = catalog.read_entries(builtin.write_catalog(Path(folder)))
    head = "| id | title | artist | license | source |\n|---|---|---|---|---|"
    keys = ("title", "artist", "licence", "source")
    return "\n".join(
        [head, *(f"| `{each['id']}` | {' | '.join(_format_cell(each[key]) for key in keys)} |" for each in entries)]
    )


def build_examples() -> str:
    """Builds the list of the commands' examples: a line for each command."""
    from pipeline.cli import cli

    return "\n".join(["```", *_list_examples(cli), "```"])


def _list_examples(group: click.Group) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _list_examples(command)
        elif isinstance(command, Verb):
            yield command.example


def build_run_json() -> str:
    """Builds the tables of all keys of `run.json`: one for the whole file, and one for each kind of object in it."""
    from pipeline.results.run_json import RunResult

    tables: list[str] = []
    seen: list[type[pydantic.BaseModel]] = [RunResult]
    for model in seen:  # it grows
        reasons = read_attribute_docstrings(model)
        rows = []
        for name, field in model.model_fields.items():
            seen += [each for each in _find_models(field.annotation) if each not in seen]
            kind = describe_type(field.annotation, field.metadata)
            meaning = reasons.get(name) or " ".join(
                inspect.getdoc(each) or "" for each in _find_models(field.annotation)[:1]
            )
            rows.append(f"| `{name}` | {kind} | {_format_cell(meaning)} |")
        text = [f"## {'The file' if model is RunResult else model.__name__}", inspect.cleandoc(model.__doc__ or "")]
        tables += [*text, "\n".join(["| key | type | meaning |\n|---|---|---|", *rows])] if rows else text
    return "\n\n".join(tables)


def _build_sections(prefixes: dict[type[pydantic.BaseModel], str]) -> Iterator[str]:
    """Yields a table for each section, and for each kind of value that has keys of its own, such as an interval."""
    values: list[type[pydantic.BaseModel]] = []
    sections = list(prefixes)
    while sections or values:
        section = sections.pop(0) if sections else values.pop(0)
        prefix = prefixes[section]
        reasons = read_attribute_docstrings(section)
        rows, below = [], []
        for name, field in section.model_fields.items():
            inner = _find_models(field.annotation)
            if inner == [field.annotation]:  # a section: its keys have a table of their own
                prefixes[inner[0]] = f"{prefix}{name}."
                below.append(inner[0])
                continue
            values += [model for model in inner if model not in prefixes]
            prefixes |= dict.fromkeys(inner, "")
            kind = describe_type(field.annotation, field.metadata)
            rows.append(
                f"| `{prefix}{name}` | {kind} | {_format_default(field)} | {_format_cell(reasons.get(name, ''))} |"
            )
        sections = [*below, *sections]
        if rows:
            heading = prefix.rstrip(".") or ("Top level" if section.__name__ == "Config" else section.__name__)
            head = "| key | type | default | meaning and reason |\n|---|---|---|---|"
            yield "\n\n".join([f"## {heading}", inspect.cleandoc(section.__doc__ or ""), "\n".join([head, *rows])])


def read_attribute_docstrings(section: type) -> dict[str, str]:
    """Reads the text below each attribute of a class and its bases, by the attribute's name."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if base is object or base.__module__.startswith("pydantic"):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for line, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(text, ast.Expr):
                found[line.target.id] = inspect.cleandoc(str(ast.literal_eval(text.value)))
    return found


def describe_type(annotation: Any, constraints: typing.Sequence[Any] = ()) -> str:
    """Describes a type in words, with the range of numbers: `whole number from 16 to 65,500`."""
    bounds = list(constraints)
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *more = typing.get_args(annotation)
        bounds += [one for each in more for one in (each.metadata if hasattr(each, "metadata") else [each])]
    items = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return _join_with_or([f"`{item}`" for item in items])
    if origin is list or ... in items:
        return f"list of {describe_type(items[0])}"
    if origin is tuple:
        kinds = [describe_type(item) for item in items]
        return f"list of {len(items)}: {f'{kinds[0]} each' if len(set(kinds)) == 1 else ', '.join(kinds)}"
    if origin is dict:
        return f"map from {describe_type(items[0])} to {describe_type(items[1])}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join("`null`" if item is type(None) else describe_type(item, bounds) for item in items)
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, pydantic.SecretStr):
        return "text"
    names = {Any: "any value", str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return names.get(annotation, str(annotation)) + (_format_range(bounds) if annotation in (int, float) else "")


def _format_range(bounds: list[Any]) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    found = {name: getattr(each, name) for each in bounds for name in words if getattr(each, name, None) is not None}
    if found.get("le") == LARGEST_INT32:
        del found["le"]  # a limit of the format, which says nothing
    return "".join(f" {words[name]} {found[name]:,}" for name in words if name in found)


def _find_models(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """Finds the pydantic models that a type consists of, in their order."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [model for item in typing.get_args(annotation) for model in _find_models(item)]


def _format_default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    return f"`{_to_yaml(field.get_default(call_default_factory=True))}`"


def _to_yaml(value: Any) -> str:
    """Formats a default as one would write it in a configuration."""
    if isinstance(value, pydantic.BaseModel):
        return _to_yaml(value.model_dump(exclude_none=True))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_to_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_to_yaml, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) or '""'


def _format_cell(text: str) -> str:
    """Formats a text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _join_with_or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_TABLES: dict[str, Callable[[], str]] = {
    "configuration": build_configuration,
    "examples": build_examples,
    "run.json": build_run_json,
    "styles": build_styles,
}
