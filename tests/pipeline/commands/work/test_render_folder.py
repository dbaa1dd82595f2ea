"""What `atelier render` reads, and where it refuses to write; the rendering itself is left out."""

import os

import pytest
from PIL import Image

from pipeline import cli
from tests.deferred import deferred_imports

with deferred_imports():
    from components.style_renderer.batch import batch, outcome


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Folders `content` and `styles`, beside which the commands run."""
    for number, name in enumerate(("content/a.png", "content/sub/b.png", "styles/s.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 80), (0, 0, 80 * number)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def render(images, monkeypatch, capsys):
    """Runs the command; gives the exit code, what it says on standard error, and the contents' names."""

    def run(**options):
        read: list[str] = []

        def record_sources(sources, *_, **__):
            read.extend(source.name for source in sources)
            return outcome.Report(0, 0, 0, (), 0.0, "")

        monkeypatch.setattr(batch, "render_batch", record_sources)
        options = {"content": "content", "styles": "styles", "output": "out"} | options
        code = cli.main(["render", *(word for key, value in options.items() for word in (f"--{key}", str(value)))])
        return code, capsys.readouterr().err, read

    return run


@pytest.mark.parametrize("output", ["content/out", "./content/out/", "content/sub/../out", "link", "ABSOLUTE"])
@pytest.mark.parametrize("content", ["content", "content/", "aside"])
def test_the_output_in_the_contents_is_left_out_however_it_is_written(render, images, output, content):
    (images / "content" / "out" / "pictures").mkdir(parents=True)
    (images / "content" / "out" / "pictures" / "old.jpg").write_bytes(b"an earlier rendering")
    (images / "link").symlink_to("content/out")
    (images / "aside").symlink_to(images / "content")
    output = images / "content" / "out" if output == "ABSOLUTE" else output
    assert render(content=content, output=output)[::2] == (0, ["a.png", "sub/b.png"])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"output": "content"}, "--content"),
        ({"output": "."}, "--styles"),  # previews of styles would lie in ./styles
        ({"output": "styles/"}, "--styles"),
        ({"content": "out/pictures", "output": "out"}, "--content"),
        ({"content": "out/thumbnails/deep", "output": "link"}, "--content"),
    ],
)
def test_an_output_over_its_own_inputs_is_refused(render, images, options, key):
    for name in ("pictures", "thumbnails/deep"):
        (images / "out" / name).mkdir(parents=True)
    (images / "link").symlink_to("out")
    code, said, read = render(**options)
    assert (code, read) == (1, [])
    assert key in said
    assert "give another output" in said
    assert said.count("\n") == 1


def test_contents_may_lie_beside_the_results(render, images):
    (images / "out").mkdir()
    (images / "content").rename(images / "out" / "content")
    assert render(content="out/content", output="out")[::2] == (0, ["a.png", "sub/b.png"])


def test_words_beside_folders_of_their_names(render, images):
    (images / "content").rename(images / "photos")
    (images / "styles").rename(images / "builtin")
    for options, word in (
        ({"styles": "./builtin", "content": "photos"}, "photos"),
        ({"content": "./photos"}, "builtin"),
    ):
        code, said, read = render(**({"styles": "builtin"} | options))
        assert (code, read) == (1, [])
        assert f"./{word}" in said
        assert f"builtin:{word}" in said
    assert render(content="./photos", styles="./builtin")[::2] == (0, ["a.png", "sub/b.png"])
    names = ["astronaut.png", "cat.png", "pagoda.jpg"]
    assert render(content="builtin:photos", styles="./builtin")[::2] == (0, names)


def test_names_that_are_not_utf8_and_brackets(render, images):
    name = os.fsdecode(b"caf\xe9 [1]*?")
    (images / "content").rename(images / name)
    (images / name / "a.png").rename(images / name / f"{name}.png")
    code, said, read = render(content=name, output=name + "/out")
    assert (code, said.count("Traceback"), read) == (0, 0, [f"{name}.png", "sub/b.png"])
    code, said, _ = render(content=os.fsdecode(b"gone\xe9"))
    assert code == 1
    assert r"gone\xe9: no such folder" in said


def test_thumbs_db_and_the_like_are_no_contents(render, images):
    for junk in ("Thumbs.db", "sub/desktop.ini", ".DS_Store", "__MACOSX/a.png", "@eaDir/a.png"):
        (images / "content" / junk).parent.mkdir(exist_ok=True)
        (images / "content" / junk).write_bytes(b"1")
    assert render()[2] == ["a.png", "sub/b.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"styles": "content/a.png"}, ["content/a.png", "a folder of images", "atelier styles add"]),
        ({"content": "content/a.png"}, ["content/a.png", "it is a file", "give the folder"]),
        ({"content": "nosuchdir"}, ["nosuchdir", "no such folder"]),
        ({"content": "empty"}, ["empty", "no content images found"]),
    ],
)
def test_what_is_no_folder_of_images_is_told_with_what_to_give(render, images, options, words):
    (images / "empty").mkdir()
    code, said, _ = render(**options)
    assert (code, said.count("\n")) == (1, 1)
    assert all(word in said for word in words)


def test_the_budget_can_be_raised(images, monkeypatch, capsys):
    requests = []

    def record_request(*arguments, **_):
        requests.append(arguments[3])
        return outcome.Report(0, 0, 0, (), 0.0, "")

    monkeypatch.setattr(batch, "render_batch", record_request)
    command = ["render", "--content", str(images / "content"), "--styles", str(images / "styles"), "--output", "out"]
    assert cli.main(command) == cli.main([*command, "--max-bad-fraction", "0.5"]) == 0
    assert [request.max_bad_fraction for request in requests] == [0.1, 0.5]
    assert cli.main([*command, "--max-bad-fraction", "1.5"]) == 2
    assert "'--max-bad-fraction': 1.5 is not in the range 0<=x<=1" in capsys.readouterr().err


def test_the_engine_and_its_stylizer_reach_the_batch(images, monkeypatch):
    requests = []

    def record_request(sources, styles, directory, request, *_, **__):
        requests.append(request)
        return outcome.Report(0, 0, 0, (), 0.0, "")

    monkeypatch.setattr(batch, "render_batch", record_request)
    words = ["render", "--content", "content", "--styles", "styles", "--output", "out"]
    assert cli.main(words) == 0
    assert cli.main([*words, "--engine", "fast"]) == 0
    assert cli.main([*words, "--engine", "refined", "--stylizer", "mine.npz"]) == 0
    assert [request.strengths for request in requests] == [()] * 3
    repeated = ("--strength", "1", "--strength", "0.5", "--strength", "0.50")
    assert cli.main([*words, *repeated]) == 0
    assert requests.pop().strengths == (1.0, 0.5)
    found = [(request.engine, request.stylizer) for request in requests]
    assert found == [("finest", ""), ("fast", ""), ("refined", "mine.npz")]
    assert requests[0].code != requests[1].code


def test_a_stylizer_that_the_engine_does_not_use_is_wrong_usage(render):
    code, said, read = render(stylizer="mine.npz")
    assert (code, read) == (2, [])
    assert "--stylizer" in said
    assert "--engine fast or refined" in said


@pytest.mark.slow
def test_a_style_that_the_base_network_does_not_know_is_one_line(images, capsys):
    words = ["render", "--content", "content", "--styles", "styles", "--output", "out", "--engine", "fast"]
    assert cli.main(words) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "atelier" in line]
    assert "style s:" in line
    assert "atelier styles train" in line
