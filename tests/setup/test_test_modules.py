"""What tests share lies in `conftest.py` or in modules with names of their own."""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_no_test_module_imports_another():
    for file in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            origin = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            parts = [part for name in (origin, *names) for part in name.split(".")]
            if "tests" in parts:
                assert not [part for part in parts if part.startswith("test_")], file
