"""Beam's command-line options, from the section `beam` of the configuration."""

from pipeline.orchestration import Beam

# Beam's default DirectRunner tries to download a runner binary first; this one is in the package.
_ON_THIS_MACHINE = "--runner=FnApiRunner"
IN_MEMORY = (_ON_THIS_MACHINE, "--direct_running_mode=in_memory", "--direct_num_workers=1")


def of(settings: Beam) -> tuple[str, ...]:
    """The options of the runner that `settings` names.

    With the defaults everything stays in this process, and nothing is looked for on a network.
    """
    if settings.runner == "direct":
        runner: tuple[str, ...] = processes(settings.workers)
    else:
        raise NotImplementedError(settings.runner)
    return (*runner, *settings.options)


def processes(count: int) -> tuple[str, ...]:
    """The options of `count` worker processes on this machine."""
    if count == 1:
        return IN_MEMORY
    return (_ON_THIS_MACHINE, "--direct_running_mode=multi_processing", f"--direct_num_workers={count}")
