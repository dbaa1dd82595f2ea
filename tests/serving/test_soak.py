"""A short soak of `atelier serve`; `python -m tests.serving.soak` is the long one."""

import pytest

from tests.deferred import deferred_imports
from tests.serving.malformed import MALFORMED

with deferred_imports():
    from tests.serving import soak

pytestmark = pytest.mark.slow


def test_no_answer_is_wrong_while_versions_move_and_the_server_is_killed(tmp_path):
    found = soak.soak(tmp_path, seconds=6, move_every=0.5)
    assert found.faults == []
    assert found.malformed.keys() == MALFORMED.keys()
    assert found.moves >= 2
    assert found.lost.keys() == {"UNAVAILABLE"}
    assert len(found.memory) == 2  # one a life
    assert "| server killed | once; first answer after" in soak.describe(found)
