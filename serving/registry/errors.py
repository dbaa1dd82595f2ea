"""What goes wrong with versions and aliases."""

from atelier.errors import AtelierError


class RegistryError(AtelierError):
    """A version or an alias cannot be used or moved; the message says what is as it was, and what to do."""
