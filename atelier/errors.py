"""The root of all errors that are meant for a user, and those of them that several packages raise."""


class AtelierError(Exception):
    """An error whose message is written for a user: what is wrong, where, and what to do.

    The command line prints the message as one line and ends with `exit_code`: 1 for bad input and for whatever else a
    user can correct, 2 for wrong usage.
    """

    exit_code = 1


class BeamError(AtelierError):
    """Beam cannot run the work: a runner is not installed, a server does not answer, or a worker process died."""


class KubeflowError(AtelierError):
    """A pipeline cannot be compiled, replayed or submitted, or its image cannot be built."""
