"""Prints every message that a user can read, with its place: errors that are raised, and the texts of the command line.

    python tools/list_messages.py [FOLDER...]

It reads the source only. What a message fills in is shown as `{expression}`.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("atelier", "pipeline", "components", "trainer", "serving", "kubeflow", "compat")
TEXTS_OF_OPTIONS = ("help", "short_help", "epilog", "example", "after_stop")


def list_messages(source: str) -> Iterator[tuple[int, str]]:
    """Yields the line and the text of each message of a module: of raised errors, options and commands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from ((node.lineno, text) for value in node.exc.args if (text := _read_text(value)))
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in TEXTS_OF_OPTIONS and (text := _read_text(keyword.value)):
                    yield keyword.value.lineno, text
        elif isinstance(node, ast.FunctionDef) and _is_command(node):
            yield node.lineno, " ".join((ast.get_docstring(node) or "").split())


def _is_command(node: ast.FunctionDef) -> bool:
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


def _read_text(node: ast.expr) -> str:
    """Returns the text of a literal, of one with values in it, or of several that are added; "" for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _read_text(node.left) + (_read_text(node.right) or f"{{{ast.unparse(node.right)}}}")
    return ""


if __name__ == "__main__":
    for folder in sys.argv[1:] or FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for line, text in sorted(list_messages(file.read_text(encoding="utf-8"))):
                sys.stdout.write(f"{file.relative_to(ROOT)}:{line}: {text}\n")
