"""tools/list_messages.py: what it finds in a source, and in this project's."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def listed(*folders: str) -> list[str]:
    command = [sys.executable, "tools/list_messages.py", *folders]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_errors_options_and_commands_are_listed() -> None:
    lines = listed("pipeline/commands")
    for place, text in [
        ("render.py", "Render only this style. Repeat the option for several styles."),
        ("render.py", "Render images in the styles of a catalog."),
        ("render.py", "atelier render --content images/ --styles builtin"),
        ("kubeflow.py", "--parameter {text}: expected NAME=VALUE, as in min_accuracy=0.95"),
    ]:
        assert any(line.startswith(f"pipeline/commands/{place}:") and text in line for line in lines), text


def test_every_text_of_an_option_is_a_whole_sentence() -> None:
    """It begins with a capital and ends with a full stop, perhaps before its default."""
    helps = [line.split(": ", 1)[1] for line in listed("pipeline/commands")]
    texts = [text.split("  [default")[0] for text in helps if text[:1].isupper()]
    assert len(texts) > 60
    assert [text for text in texts if not text.endswith((".", "}"))] == []
