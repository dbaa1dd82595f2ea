"""Pusher: TFX's, except that a version appears under its name only when it is whole."""

from tfx import v1 as tfx
from tfx.dsl.components.base import executor_spec

from components.pusher import executor


class Pusher(tfx.components.Pusher):
    """TFX's Pusher with an executor that renames a finished copy into place."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
