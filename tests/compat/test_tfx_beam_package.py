import pytest

from pipeline.beam import pipeline_options
from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.components.statistics_gen import executor
    from tfx.utils import dependency_utils

    from compat import tfx_beam_package


def make_executor():
    """TFX packs itself when an executor is made."""
    arguments = list(pipeline_options.IN_MEMORY)
    return executor.Executor(
        executor.Executor.Context(beam_pipeline_args=arguments, tmp_dir="/none", unique_id="1")
    )._beam_pipeline_args


@pytest.fixture
def packed(monkeypatch):
    """An entry for each time that TFX packed itself."""
    calls: list[int] = []

    def pack():
        calls.append(1)
        return "/none/tfx.tar.gz"

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", pack)
    return calls


def test_tfx_still_packs_itself_for_workers_in_this_process(packed):
    """Where this fails, upstream has changed it: delete `compat/tfx_beam_package.py`."""
    assert "--extra_package=/none/tfx.tar.gz" in make_executor()
    assert packed == [1]


def test_it_does_not_while_it_is_left_out(packed):
    with tfx_beam_package.skip_package():
        assert not [argument for argument in make_executor() if "package" in argument]
    assert packed == []
    make_executor()
    assert packed == [1]
