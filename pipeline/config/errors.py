"""The error of a configuration that cannot be used."""

from atelier.errors import AtelierError


class ConfigError(AtelierError):
    """A configuration that cannot be used; the message names the file, the key and the remedy."""
