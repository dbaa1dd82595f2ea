"""Small files that are replaced as a whole, or not at all."""

import errno
import resource
import signal

import pytest

from atelier.files import replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_and_replaced_and_nothing_lies_beside_it(tmp_path):
    for text in ("é\n", "x"):
        replacing.replace_text(tmp_path / "a", text)
        assert (tmp_path / "a").read_bytes() == text.encode()
    assert names(tmp_path) == ["a"]


def test_what_an_ended_process_left_is_overwritten(tmp_path):
    (tmp_path / ".a.partial").write_text("half of something longer")
    replacing.replace_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "x"


def test_where_nothing_can_be_written_the_file_stays_as_it_was(tmp_path):
    replacing.replace_text(tmp_path / "a", "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            replacing.replace_text(tmp_path / "a", "x" * 11)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a"))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "before"
