"""Connections of this machine to itself, which no proxy can pass on."""

import os
from collections.abc import MutableMapping

_HOSTS = ("localhost", "127.0.0.1", "::1")


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Adds the loopback hosts to those that this process and its children reach without a proxy.

    gRPC, with which Beam talks to its workers, takes the proxy that `http_proxy` names for every host, `localhost`
    too. The hosts that the user named stay.

    Args:
      environment: is changed in place.
    """
    lists = {name: environment[name] for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy") if environment.get(name)}
    # The lower-case name counts where both are set, and is the only one that gRPC reads; it must not hide the other.
    lists.setdefault("no_proxy", lists.get("NO_PROXY", ""))
    if "*" in lists["no_proxy"]:
        lists.setdefault("no_grpc_proxy", lists["no_proxy"])  # to gRPC alone, `*` is no host at all
    for name, text in lists.items():
        hosts = [host.strip() for host in text.split(",") if host.strip()]
        if "*" not in hosts or name == "no_grpc_proxy":
            environment[name] = ",".join([*hosts, *(host for host in _HOSTS if host not in hosts)])
