"""The site, built as `make docs` does: a warning is an error, and no page needs another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_every_key_of_the_configuration_has_a_row(site):
    from pipeline.config import config

    page = (site / "reference/configuration.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>\s*<td><code>([^<]+)</code></td>", page)
    keys = config.list_keys()
    sections = {key.rpartition(".")[0] for key in keys}
    prefixes = ("tuner.space.", "kubeflow.nodes.", "style.settings.scales.", "stylizer.gate.scales.")
    of_values = {key for key in keys if key.startswith(prefixes)}
    assert {key for key in keys if key not in sections | of_values} <= set(rows)
    assert {"tuner.space.dropout", "sampling", "machine_type", "iterations"} <= set(rows)
    assert "whole number from 16 to 65,500" in page


@pytest.mark.slow
def test_pages_of_files_outside_the_folder_are_there(site):
    pages = ("changelog", "contributing", "security", "explanation/glibc", "how-to/tensorflow-serving")
    assert [page for page in pages if not (site / f"{page}.html").is_file()] == []
    assert 'href="how-to/install.html"' in (site / "contributing.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"([^\"]+)\"", page.read_text("utf-8"))
        assert [url for url in loaded if re.match("(https?:)?//", url)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text("utf-8")), style


@pytest.mark.slow
def test_every_command_has_a_section_and_an_example(site):
    page = (site / "reference/commands.html").read_text(encoding="utf-8")
    verbs = {"bench", "ingest", "predict", "render", "run", "serve", "styles", "styles-add", "stylize", "kubeflow"}
    verbs |= {f"kubeflow-{verb}" for verb in ("compile", "image", "replay", "submit", "traffic")}
    assert verbs <= set(re.findall('<h[2-4] id="atelier-([a-z-]+)">', page))
    assert "atelier styles add waves.jpg" in page
    assert "--max-bad-fraction" in page
