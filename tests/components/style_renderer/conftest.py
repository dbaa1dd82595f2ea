"""Three contents, two styles, and a batch over them with the engine that costs nothing."""

import pytest

from tests.components.style_renderer import fake_engine

IN_MEMORY = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "contents" / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (tmp_path / "contents" / name).write_bytes(fake_engine.encode_noise(seed))
    return tmp_path / "contents"


@pytest.fixture
def styles(tmp_path):
    (tmp_path / "styles").mkdir()
    return [fake_engine.make_style(tmp_path / "styles", *pair) for pair in (("red", "#ff0000"), ("blue", "#0000ff"))]


@pytest.fixture
def read_calls(tmp_path, monkeypatch):
    """What the engine was called for since the last time: (style's color, threads, process) a call."""
    log = tmp_path / "rendered.txt"
    log.touch()
    monkeypatch.setenv("RENDERED", str(log))
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)

    def read():
        lines = [tuple(line.split()) for line in log.read_text().splitlines()]
        log.write_text("")
        return lines

    return read


@pytest.fixture
def run(folder, styles, read_calls, tmp_path):
    """Runs a batch into `tmp_path/out`; fields of the request by name."""
    from components.style_renderer.batch import batch, contents

    def render_batch(styles=styles, engine=fake_engine.render, beam_args=IN_MEMORY, sources=None, **request):
        options = {name: request.pop(name) for name in ("output", "progress_to", "threads") if name in request}
        request.setdefault("overrides", {"scales": [{"size": fake_engine.SIZE, "iterations": 1}]})
        return batch.render_batch(
            sources or contents.list_files(str(folder)),
            styles,
            str(tmp_path / "out"),
            batch.Request(**request),
            batch.make_local_pipelines(beam_args),
            engine=engine,
            **options,
        )

    return render_batch
