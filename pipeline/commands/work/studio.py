"""Puts the studio and the server together."""

import secrets
from collections.abc import Callable
from pathlib import Path

from components.style_renderer.studio import app, security
from components.style_renderer.studio.folder import claim
from serving.web import server


def serve_studio(host: str, port: int, folder: Path, announce: Callable[[str], None]) -> None:
    """Serves the page until a signal.

    Args:
      host: address to listen at.
      port: 0 takes a free one.
      folder: of jobs and images.
      announce: told the page's address.

    Raises:
      AtelierError: the folder or the address cannot be used.
    """
    token = "" if host in security.LOOPBACK else secrets.token_urlsafe(24)

    def tell(address: str) -> None:
        url = f"{address}?token={token}" if token else address
        announce(f"atelier studio: open {url} in a browser; Ctrl-C or SIGTERM stops it")

    with claim(folder):
        studio = app.Studio(folder)
        server.run(app.make_app(studio, token), host, port, tell, on_stop=lambda: studio.runner.tell(None))
