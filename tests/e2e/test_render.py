"""`atelier render` and `atelier styles add`, as processes, with the real engine on tiny images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e import forked

pytestmark = pytest.mark.slow

QUICK = ("--size", "64", "--set", "scales=[{size: 64, iterations: 3}]")


def catch_error(*arguments: object) -> str:
    """What an unsuccessful command says at its end."""
    done = forked.run_atelier(*arguments)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr[done.stderr.index("atelier: ") :]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `content` (three images) and `styles` (two)."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for folder, names in {"content": "abc", "styles": "xy"}.items():
        (root / folder).mkdir()
        for name in names:
            blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize((96, 72)).save(root / folder / f"{name}.png")
    return root


def read_manifest(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]


def test_a_folder_in_a_folder_of_styles_and_what_changes_later(images: Path, tmp_path: Path) -> None:
    content, styles, output = tmp_path / "content", tmp_path / "styles", tmp_path / "out"
    shutil.copytree(images / "content", content)
    shutil.copytree(images / "styles", styles)
    command = ("render", "--content", content, "--styles", styles, "--output", output, *QUICK)

    first = forked.run_in_new_process(*command)
    assert first.returncode == 0, first.stderr
    assert "6 to render: about " in first.stderr
    assert "MB of memory" in first.stderr
    assert "6 images of 3 contents; 6 rendered" in first.stdout
    assert "unknown" in (output / "gallery.html").read_text()  # the licence of a plain folder
    before = {line["key"]: (output / line["file"]).read_bytes() for line in read_manifest(output)}
    assert len(before) == 6
    for line in read_manifest(output):
        with Image.open(output / line["file"]) as image:
            assert image.size == (64, 48)

    assert "0 rendered" in forked.run_atelier(*command).stdout  # nothing is missing

    lost = output / read_manifest(output)[0]["file"]
    lost.unlink()
    assert "1 rendered" in forked.run_atelier(*command).stdout
    assert {line["key"]: (output / line["file"]).read_bytes() for line in read_manifest(output)} == before

    shutil.copy(images / "content" / "a.png", styles / "z.png")
    assert "9 images of 3 contents; 3 rendered" in forked.run_atelier(*command).stdout

    (content / "cut.png").write_bytes((content / "a.png").read_bytes()[:200])
    above = catch_error(*command)
    assert "3 of 12 images (25.0%) could not be rendered" in above
    assert "cut.png" in above
    assert len(read_manifest(output)) == 9  # what is good is all there
    letters = [json.loads(line) for line in (output / "dead_letters.jsonl").read_text().splitlines()]
    assert [letter["content"] for letter in letters] == ["cut.png"]


def test_two_worker_processes_render_the_same(images: Path, tmp_path: Path) -> None:
    """One pass, which the optimizer refines; without it: tests/components/style_renderer/batch/test_runners.py."""
    found = {}
    for workers in (1, 2):
        output = tmp_path / str(workers)
        styles = ("--styles", "builtin", "--style", "swirls", "--engine", "refined")
        arguments = ("--content", images / "content", *styles, "--output", output, *QUICK, "--format", "png")
        done = forked.run_atelier("render", *arguments, "--workers", workers)
        assert done.returncode == 0, done.stderr
        found[workers] = {
            line["key"]: np.asarray(Image.open(output / line["file"]), int) for line in read_manifest(output)
        }
    assert found[1].keys() == found[2].keys()
    assert len(found[1]) == 3
    for key, image in found[1].items():
        # One thread a process instead of two: sums are taken in another order, and optimization amplifies it.
        assert np.abs(image - found[2][key]).mean() < 1


def test_a_style_that_was_added_is_rendered(images: Path, tmp_path: Path) -> None:
    catalog, style = tmp_path / "styles" / "catalog.yaml", images / "styles" / "x.png"
    facts = ("--title", "Blocks of colour", "--licence", "CC0-1.0", "--catalog", catalog)
    added = forked.run_atelier("styles", "add", style, *facts)
    assert (added.returncode, added.stdout) == (0, f"{catalog}: blocks-of-colour\n"), added.stderr
    assert "blocks-of-colour" in catch_error("styles", "add", style, *facts)  # the same image twice
    content = images / "content"
    done = forked.run_atelier("render", "--content", content, "--styles", catalog, "--output", tmp_path / "out", *QUICK)
    assert done.returncode == 0, done.stderr
    assert {line["style"]["licence"] for line in read_manifest(tmp_path / "out")} == {"CC0-1.0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--content": "missing"}, "missing"),
        ({"--styles": "missing"}, "missing"),
        ({"--style": "z"}, "there is no style z; known here: x, y"),
        (
            {"--set": "style_scael=2"},
            "unknown key style.settings.style_scael; did you mean style.settings.style_scale?",
        ),
        ({"--set": "style_layers={block9: 1}"}, "style_layers names block9: no layer of efficientnet_lite0"),
        ({"--set": "network=vgg19"}, "Keras could not fetch its ImageNet weights"),
    ],
)
def test_invalid_arguments_are_reported(images: Path, tmp_path: Path, changes: dict[str, str], message: str) -> None:
    arguments = {"--content": images / "content", "--styles": images / "styles", "--output": tmp_path / "out"}
    words = [word for pair in (arguments | changes).items() for word in pair]
    said = catch_error("render", *words)
    assert message in said
    assert not list((tmp_path / "out").rglob("*--*--*.jpg"))


def test_an_output_that_is_a_file_is_reported(images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    paths = ("--content", images / "content", "--styles", images / "styles", "--output", tmp_path / "out")
    assert str(tmp_path / "out") in catch_error("render", *paths)
