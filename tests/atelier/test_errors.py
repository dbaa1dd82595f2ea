"""Every exception class of the project, found in its source: it derives from `AtelierError`, or has a reason not to."""

import ast
import builtins
from collections import Counter
from pathlib import Path

import pytest

from atelier.errors import AtelierError

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("atelier", "pipeline", "components", "trainer", "serving", "kubeflow", "compat")
OF_PYTHON = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}
OUTSIDE = {
    "CutOffError": "a line of an answer log that is no JSON: its reader catches it, and names the file and the line",
    "_MovedError": "begins a job of the studio anew inside its painter, which catches it",
    "StoppedError": "ends a job inside the studio's worker, which catches it: nobody is shown it",
    "Stopped": "a signal that ends the process: like Ctrl-C it passes every `except Exception`",
}


def exception_classes() -> dict[str, list[str]]:
    """Names of the bases by the name of each class whose bases, at any depth, are exceptions."""
    classes = []
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            classes += [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)]
    bases = {node.name: _bases(node) for node in classes}
    found = {name: bases[name] for name in bases if _is_exception(name, bases)}
    assert max(Counter(node.name for node in classes if node.name in found).values()) == 1, "two classes of one name"
    return found


def _bases(node: ast.ClassDef) -> list[str]:
    """A base of another library, as in `grpc.RpcError`, is known by its last name."""
    return [name for base in node.bases if (name := ast.unparse(base).rpartition(".")[2]) != node.name]


def _is_exception(name: str, bases: dict[str, list[str]]) -> bool:
    return any(root in OF_PYTHON or root.endswith(("Error", "Exception")) for root in _roots(name, bases))


def _roots(name: str, bases: dict[str, list[str]]) -> set[str]:
    if name == "AtelierError" or name not in bases:
        return {name}
    return set().union(*(_roots(base, bases) for base in bases[name]))


def test_every_exception_class_derives_from_the_root() -> None:
    found = exception_classes()
    assert len(found) > 25
    strangers = {name for name in found if "AtelierError" not in _roots(name, found)}
    assert strangers == set(OUTSIDE)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("class A(ValueError): ...", True), ("class A(grpc.RpcError): ...", True), ("class A(Path): ...", False)],
)
def test_classes_are_recognized_by_their_bases(source: str, expected: bool) -> None:
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert _is_exception("A", {"A": _bases(node)}) is expected


def test_the_exit_code_is_1_unless_a_class_says_otherwise() -> None:
    assert AtelierError("broken").exit_code == 1
