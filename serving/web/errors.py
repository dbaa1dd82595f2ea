"""What can be wrong with the page's parts."""

from atelier.errors import AtelierError


class WebError(AtelierError):
    """No page can be shown or written: a model, a package, the port or the folder cannot be used."""
