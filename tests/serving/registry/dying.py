"""Lets a process die at a chosen step of a change of an alias."""

from serving.registry import models_config
from serving.registry.history import History
from serving.registry.model_servers import ModelServer


class KilledError(BaseException):
    """Ends a process without a word."""


def dying_at(fatal, die, patch):
    """Lets the process die before or after a step that leaves something behind; returns the moments so far."""
    moments: list[None] = []

    def step(function):
        def wrapped(*arguments, **keywords):
            reach()
            result = function(*arguments, **keywords)
            reach()
            return result

        return wrapped

    def reach():
        moments.append(None)
        if len(moments) > fatal:
            die()

    patch(History, "_append", step(History._append))
    patch(models_config.ModelsConfig, "write", step(models_config.ModelsConfig.write))
    patch(ModelServer, "reload", step(ModelServer.reload))
    return moments
