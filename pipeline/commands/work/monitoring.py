"""The work of `atelier monitor`."""

import contextlib
import ipaddress
import secrets
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import click

from serving.ab.verdict import Rules
from serving.monitor.errors import MonitorError
from serving.monitor.features import FeatureWindow
from serving.monitor.page.memory import MemoryScrape
from serving.monitor.page.server import LivePage, serve
from serving.monitor.page.watcher import Sources, Watcher
from serving.registry.aliases import Registry

_TOKEN_BYTES = 24


def watch(
    registry: Registry,
    output: Path,
    logs: Sequence[Path],
    rules: Rules,
    *,
    samples: Path | None,
    target: str | None,
    metrics: str | None,
    host: str,
    port: int,
) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
      registry: the versions and their aliases.
      output: output folder of the runs.
      logs: of the answers.
      rules: of the verdict.
      samples: folder of the kept images.
      target: server that computes their features.
      metrics: URL of a server's metrics.
      host: IP address to listen on.
      port: 0 takes a free one.

    Raises:
      AtelierError: the versions cannot be read, or the page cannot be served.
    """
    registry.read_aliases()
    if not registry.models.is_dir():
        raise MonitorError(f"{registry.models}: no such folder; --models takes the folder of the pushed versions")
    token = "" if _is_loopback(host) else secrets.token_urlsafe(_TOKEN_BYTES)
    features = FeatureWindow(samples, target, registry.model) if samples and target else None
    with contextlib.closing(features) if features else contextlib.nullcontext():
        memory = MemoryScrape(_check_url(metrics)) if metrics else None
        page = LivePage(
            Watcher(Sources(registry, output, logs, rules, samples, features, memory)), token=token, host=host
        )
        serve(page, host, port, token, _tell)


def _tell(address: str) -> None:
    click.echo(f"atelier monitor: open {address} in a browser; Ctrl-C or SIGTERM stops it")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise MonitorError(f"--host {host}: expected an IP address, such as 127.0.0.1 or 0.0.0.0") from None


def _check_url(url: str) -> str:
    """Returns the URL of metrics; HOST:PORT alone stands for http://HOST:PORT/metrics."""
    if "//" not in url:
        url = f"http://{url}/metrics"
    try:
        parts = urllib.parse.urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise MonitorError(f"--metrics {url}: expected a URL, such as http://localhost:9090/metrics")
    return url
