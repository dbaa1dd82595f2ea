"""Imports point one way, as the source says: nothing imports what stands above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUND = {"atelier", "compat"}
MAY_IMPORT = {
    "compat": {"atelier"},
    "atelier": {"compat"},
    "trainer": GROUND,
    "components": GROUND | {"trainer"},
    "pipeline": GROUND | {"trainer", "components"},
    # The command line alone knows everything. It loads kubeflow and benchmarks, which are not installed, by name.
    "pipeline.commands": GROUND | {"trainer", "components", "pipeline", "serving"},
    "pipeline.cli": GROUND | {"pipeline"},
    "serving": GROUND | {"trainer"},
    "kubeflow": GROUND | {"trainer", "components", "pipeline"},
}
"""What each package may import besides itself; a longer name counts before a shorter one."""

NOT_BELOW = {"pipeline.commands", "pipeline.cli"}
"""Nothing but the command line imports these."""

PACKAGES = {name.partition(".")[0] for name in MAY_IMPORT} | {"tests", "benchmarks"}


def imported(source: str) -> Iterator[tuple[int, str]]:
    """The line and the module of each import, at any depth of the source, also those for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_allowed(module: str, other: str) -> bool:
    package = other.partition(".")[0]
    if package not in PACKAGES:
        return True  # of another distribution
    of = max((name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")), key=len)
    above = any(f"{other}.".startswith(f"{name}.") for name in NOT_BELOW)
    return (package in MAY_IMPORT[of] | {of.partition(".")[0]}) and (not above or of in NOT_BELOW)


@pytest.mark.parametrize("package", sorted(PACKAGES & {name.partition(".")[0] for name in MAY_IMPORT}))
def test_nothing_imports_what_stands_above_it(package: str) -> None:
    wrong = []
    for file in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for line, other in imported(file.read_text()):
            if not is_allowed(module, other):
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {other}")
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "other", "allowed"),
    [
        ("trainer.model", "atelier.images", True),
        ("trainer.model", "keras.layers", True),
        ("trainer.model", "components.pusher", False),
        ("components.pusher.executor", "pipeline.config", False),
        ("pipeline.local_runner", "serving.client", False),
        ("pipeline.local_runner", "pipeline.commands.run", False),
        ("pipeline.commands.serve", "serving.server", True),
        ("serving.client.client", "pipeline.ingest", False),
        ("kubeflow.submit.vertex", "pipeline.commands.kubeflow", False),
        ("compat.pillow", "trainer.model", False),
        ("atelier.images", "tests.hanging", False),
    ],
)
def test_the_rule_itself(module: str, other: str, allowed: bool) -> None:
    assert is_allowed(module, other) is allowed
