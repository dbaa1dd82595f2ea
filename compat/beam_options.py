"""Keeps Beam from parsing its options again at each step of a pipeline that it builds.

`PipelineOptions.view_as` builds an argument parser and parses all flags at each call, and Beam calls it for each
transform and each comparison of two types: a twentieth of the processor time of a small run. Here each class of options
parses the same flags once.

Needed with Beam 2.77. It can go when `view_as` no longer builds a parser: `tests/compat/test_beam_options.py` then
fails.
"""

import contextlib
import copy
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

UPSTREAM = {"apache-beam": "2.77.0"}


@contextlib.contextmanager
def parse_once() -> Iterator[None]:
    """Beam's views are what they always are; until the block ends, those of equal flags are parsed once."""
    from apache_beam.options.pipeline_options import PipelineOptions  # seconds, as all of Beam

    view_as = PipelineOptions.view_as
    parsed: dict[tuple[Any, tuple[str, ...]], Namespace] = {}

    def view_parsed(self: Any, cls: Any) -> Any:
        if self._flags is None:  # which are those of the process
            return view_as(self, cls)
        key = cls, tuple(self._flags)
        if key not in parsed:
            view = view_as(self, cls)
            # As parsed: values that were set afterwards are in the options and not here.
            parsed[key] = copy.deepcopy(view._visible_options)
            return view
        view = cls.__new__(cls)
        view._flags, view._all_options = self._flags, self._all_options
        view._visible_options = parsed[key]
        for name in view._visible_option_list():
            if name not in self._all_options:
                self._all_options[name] = copy.deepcopy(getattr(parsed[key], name))
        return view

    PipelineOptions.view_as = view_parsed
    try:
        yield
    finally:
        PipelineOptions.view_as = view_as
