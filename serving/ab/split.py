"""Which arm of an A/B test answers a request: by a hash of a key, so that the same key always meets the same arm.

The key (a user, a device, a session) is hashed with a salt: the SHA-256 of `SALT:KEY` as a number, modulo 10,000, is
its bucket. The canary takes buckets from 0 upwards. The control group, which the stable version answers too, takes
equally many from 9,999 downwards. It lives in the same hours as the canary and has its size, so that the two can be
compared; the rest of the traffic is not. A larger share only adds keys to both groups.
"""

import hashlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Annotated

import pydantic
import yaml
from pydantic import Field

from atelier.errors import AtelierError
from atelier.settings.field_types import Fraction
from atelier.settings.section import Section

CANARY, CONTROL, REST = "canary", "control", "rest"
BUCKETS = 10_000
_LOOK_S = 1.0
_log = logging.getLogger("atelier.client")


class SplitError(AtelierError):
    """A file of shares cannot be used; the message says where and why."""


class Shares(Section):
    """The content of a file of shares."""

    salt: Annotated[str, Field(min_length=1)]
    """Another salt deals the keys again: choose one for each test."""
    canary: Fraction
    """Share of the keys that the canary answers, in steps of 0.0001. The control group has the same share, or what is
    left where that is more than half."""

    @property
    def canary_buckets(self) -> int:
        """Buckets 0 to this one, exclusive."""
        return round(self.canary * BUCKETS)

    @property
    def control_buckets(self) -> int:
        """The last ones, this many."""
        return min(self.canary_buckets, BUCKETS - self.canary_buckets)

    def choose_arm(self, key: str) -> str:
        """Returns canary, control or rest."""
        bucket = find_bucket(self.salt, key)
        if bucket < self.canary_buckets:
            return CANARY
        return CONTROL if bucket >= BUCKETS - self.control_buckets else REST


def find_bucket(salt: str, key: str) -> int:
    """Returns the bucket of a key, 0 to 9,999."""
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def read_shares(file: Path) -> Shares:
    """Reads a file of shares.

    Raises:
      SplitError: it cannot be read, or a value in it is wrong.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Shares.model_validate(content)
    except OSError as error:
        raise SplitError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SplitError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SplitError(
            f"{file}: {where}: {first['msg']}; write two lines, such as salt: pets-1 and canary: 0.1"
        ) from None


class SharesFile:
    """A file of shares that is read again when it changes; threads may share it."""

    def __init__(self, file: Path) -> None:
        """Reads the file.

        Raises:
          SplitError: it cannot be used.
        """
        self._file = file
        self._lock = threading.Lock()
        self._seen = self._read_stamp()
        self._shares = read_shares(file)
        self._looked = time.monotonic()

    def read_current(self) -> Shares:
        """Returns the shares; the file is looked at once a second, and a broken one leaves those before in force."""
        with self._lock:
            now = time.monotonic()
            if now < self._looked + _LOOK_S:
                return self._shares
            self._looked, stamp = now, self._read_stamp()
            if stamp != self._seen:
                self._seen = stamp
                try:
                    self._shares = read_shares(self._file)
                except SplitError as error:
                    _log.warning("%s; the shares before stay in force", error)
            return self._shares

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._file)  # noqa: PTH116
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
