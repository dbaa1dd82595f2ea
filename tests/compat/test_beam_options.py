import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    from apache_beam.options import pipeline_options
    from apache_beam.options.pipeline_options import (
        DebugOptions,
        DirectOptions,
        PipelineOptions,
        StandardOptions,
        TypeOptions,
    )

    from compat import beam_options

pytestmark = pytest.mark.slow  # imports Beam

FLAGS = ["--runner=FnApiRunner", "--direct_num_workers=3", "--experiments=a", "--no_pipeline_type_check", "--other=1"]


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each parser that was built."""
    built: list[None] = []
    build = pipeline_options._BeamArgumentParser

    def count(*arguments: object, **named: object) -> object:
        built.append(None)
        return build(*arguments, **named)

    monkeypatch.setattr(pipeline_options, "_BeamArgumentParser", count)
    return built


def test_beam_still_parses_at_each_view(parsers: list[None]) -> None:
    """Where this fails, upstream has changed it: delete `compat/beam_options.py`."""
    options = PipelineOptions(FLAGS)
    before = len(parsers)
    for _ in range(3):
        options.view_as(TypeOptions)
    assert len(parsers) - before == 3


def test_equal_flags_are_parsed_once_a_class(parsers: list[None]) -> None:
    own = PipelineOptions.view_as
    with beam_options.parse_once():
        options, others = PipelineOptions(FLAGS), PipelineOptions([*FLAGS])
        before = len(parsers)
        for each in (options, options, others):
            for cls in (TypeOptions, DirectOptions):
                each.view_as(cls)
        assert len(parsers) - before == 2
        assert PipelineOptions(["--runner=other"]).view_as(StandardOptions).runner == "other"
    assert PipelineOptions.view_as is own


def test_views_are_those_of_beam() -> None:
    def read_views() -> list[dict[str, object]]:
        options = PipelineOptions(FLAGS, direct_running_mode="in_memory")
        options.view_as(StandardOptions).streaming = True  # seen by all views of these options
        found = []
        for cls in (StandardOptions, DirectOptions, TypeOptions, DebugOptions, StandardOptions):
            view = options.view_as(cls)
            assert type(view) is cls
            found.append({name: getattr(view, name) for name in view._visible_option_list()})
        return found

    want = read_views()
    assert (want[0]["streaming"], want[1]["direct_num_workers"], want[2]["pipeline_type_check"]) == (True, 3, False)
    assert want[1]["direct_running_mode"] == "in_memory"
    with beam_options.parse_once():
        assert read_views() == want
        assert read_views() == want  # from what is parsed


def test_what_is_added_to_one_pipeline_is_not_in_the_next() -> None:
    with beam_options.parse_once():
        for _ in range(3):
            options = PipelineOptions(FLAGS)
            options.view_as(DebugOptions).add_experiment("b")
            assert options.view_as(DebugOptions).experiments == ["a", "b"]
            assert not options.view_as(StandardOptions).streaming
            options.view_as(StandardOptions).streaming = True
