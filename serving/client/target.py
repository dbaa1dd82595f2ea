"""The address of a server: checks `HOST:PORT`, and finds the proxy through which gRPC would reach it.

gRPC takes the proxy that `grpc_proxy`, `https_proxy` or `http_proxy` names for every host that `no_grpc_proxy` or
`no_proxy` does not, this machine's own addresses included.
"""

import argparse
import ipaddress
import os
import re
import socket
from collections.abc import Mapping

PORT = 8500
"""ModelServer's port for gRPC; 8501 is the port of its REST API."""

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""In gRPC's order: the first one that is set counts; an empty one means no proxy."""
_GRPC_SCHEMES = ("unix:", "unix-abstract:", "vsock:", "dns:", "ipv4:", "ipv6:", "xds:")
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


def check_target(target: str) -> str:
    """Returns the target if gRPC understands it.

    Raises:
      ValueError: it does not, as with a URL; the message says what to write.
    """
    if target.startswith(_GRPC_SCHEMES):
        return target
    scheme, _, rest = target.rpartition("://")
    address = re.split(r"[/?#]", rest.strip().rpartition("@")[2], maxsplit=1)[0]
    host, port = _split(address)
    if not host:
        raise ValueError(f"{target!r} names no host; write HOST:PORT, such as localhost:{PORT}")
    if port is None:
        raise ValueError(f"{target}: no port; write {_join(host, PORT)}")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f"{target}: {port} is not a port; write {_join(host, PORT)}")
    if address != target:
        encrypted = ", with --tls" if scheme.lower() in ("https", "grpcs") else ""
        raise ValueError(
            f"{target}: expected HOST:PORT and nothing else; write {_join(host, port)}{encrypted} (gRPC's port is "
            f"{PORT} by default, {PORT + 1} is the one for REST)"
        )
    return target


def parse_argument(text: str) -> str:
    """Returns a target of the command line; a type for argparse."""
    try:
        return check_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def is_loopback(target: str) -> bool:
    """Tells whether a target is this machine, in any spelling; a proxy would look for it on its own machine."""
    return all(_is_local(host) for host in _list_hosts(target))


def find_proxy(target: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Returns the variable whose proxy gRPC takes to a target, and the proxy's HOST:PORT; None without one."""
    name = next((name for name in _PROXIES if name in environment), "")
    match = re.match(r"http://(?:[^/@]*@)?([^/?#]+)", environment.get(name, ""), re.IGNORECASE)
    if match is None or is_loopback(target) or is_excluded(target, environment):
        return None
    return name, match[1]


def is_excluded(target: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tells whether `no_grpc_proxy` or `no_proxy` names the target's host; `*` is every host, though not for gRPC."""
    listed = environment.get("no_grpc_proxy", environment.get("no_proxy", ""))
    entries = [entry.strip().lower() for entry in listed.split(",") if entry.strip()]
    hosts = _list_hosts(target)
    return any(entry == "*" or host.endswith(entry) or _is_in(host, entry) for entry in entries for host in hosts)


def _split(address: str) -> tuple[str, str | None]:
    """Returns host and port; an IPv6 address is in brackets, or has no port."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", address)
    if match:
        return match[1], match[2]
    host, colon, port = address.rpartition(":")
    if not colon or ":" in host:
        return address, None
    return host, port


def _join(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _list_hosts(target: str) -> list[str]:
    """Returns the hosts, also those of gRPC's own forms: dns://server/HOST:PORT, ipv4:ADDRESS:PORT,ADDRESS:PORT."""
    address = re.sub(r"^(dns:(//[^/]*/)?|ipv[46]:)", "", target, flags=re.IGNORECASE)
    return [_split(each)[0].lower() for each in address.split(",")]


def _is_local(host: str) -> bool:
    name = host.rstrip(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    address = _parse_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # short forms, such as 127.1
    except (OSError, UnicodeError):
        return None


def _is_in(host: str, network: str) -> bool:
    address = _parse_address(host)
    try:
        return address is not None and "/" in network and address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
