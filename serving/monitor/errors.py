"""Errors of monitoring."""

from atelier.errors import AtelierError


class MonitorError(AtelierError):
    """Something cannot be watched or published; the message says what to do."""
