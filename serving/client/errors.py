"""Explains failed calls to a user: what is wrong, where, and what to do about it."""

import re
import socket
from dataclasses import dataclass

import grpc

from atelier.errors import AtelierError
from serving.client.target import find_proxy

Code = grpc.StatusCode

# TF Serving's own words, and what they mean. Groups are put in for {0}, {1}.
_SERVERS_WORDS = (
    (
        r"Servable not found for request: Latest\((.*)\)",
        "{target} has no model {0!r}, or no version of it is loaded: choose another with {model}",
    ),
    (
        r"Servable not found for request: Specific\((.*), (\d+)\)",
        "{target} has no version {1} of a model {0!r}: choose another with --version or {model}",
    ),
    (r"Could not find any versions of model (.*)", "{target} has no model {0!r}: choose another with {model}"),
    (r"Could not find version (\d+) of model (.*)", "{target} has no version {0} of a model {1!r}"),
    (
        r"Unrecognized servable version label: (.*)",
        "{target} has no version labeled {0!r} of this model: choose another with --label",
    ),
    (
        r'Serving signature key "(.*)" not found|No signature was found with the name: (.*)',
        "the model at {target} has no signature {0!r}; GetModelMetadata (Client.metadata) lists those that it has",
    ),
    (
        r"input size does not match signature: .*Missing but required: \{(.+)\}",
        "the model at {target} needs {0} as well: `atelier predict` asks classifiers, `atelier stylize` stylizers",
    ),
    (
        r"larger than max \((\d+) vs\. (\d+)\)",
        "{0} bytes are more than the {1} of a message to or from {target}: {less}, or allow more (--max-message-mb)",
    ),
)
# gRPC's words for a connection that does not come about; all of them have the status UNAVAILABLE.
_NO_CONNECTION = (
    (
        r"Connection refused|errors resolving|DNS resolution failed",
        "no server at {target} ({why}): start one with `atelier serve`, or name another with --target HOST:PORT",
    ),
    (r"WRONG_VERSION_NUMBER", "{target} does not speak TLS: connect in plain text, without --tls, --ca and --cert"),
    (
        r"CERTIFICATE_VERIFY_FAILED: (.*?)(?:: OK)?$",
        "the certificate of {target} is not trusted ({0}): name the authority that signed it with --ca FILE",
    ),
    (
        r"Hostname Verification Check failed",
        "the certificate of {target} is for another host: use as --target the name that it was made for",
    ),
    (r"Failed to create security handshaker", "TLS with {target}: the files of --ca, --cert or --key cannot be used"),
    (
        r"Failed parsing HTTP/2",
        "{target} does not speak gRPC: ModelServer's port for it is 8500, while 8501 is the one for REST",
    ),
)
_PROXY = (
    "no way to {target} through the proxy {proxy}, which {variable} names ({why}): add the target's host to "
    "no_proxy, or unset {variable}"
)
# A server that waits for TLS drops a plain connection without a word. So it does, from TLS 1.3 on, with a client whose
# certificate it misses or does not trust: the client's side of the handshake has succeeded by then.
_DROPPED = r"Socket closed|Connection reset"
_REFUSED = "Connection refused"
_UNCONNECTED = ("failed to connect", "errors resolving", "DNS resolution failed")
_TLS_FAULT = r"WRONG_VERSION_NUMBER|CERTIFICATE_VERIFY_FAILED|Hostname Verification Check failed|security handshaker"


class ServingError(AtelierError):
    """A prediction cannot be made; the message is written for a user.

    Attributes:
      code: the gRPC status; None where no server was asked.
    """

    def __init__(self, message: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Remedies:
    """How the caller asks for something else.

    Attributes:
      model: the option for another model.
      less: what to do where a request takes too long.
    """

    model: str = "--model"
    less: str = "send fewer images at once (--batch)"


REMEDIES = Remedies()


def explain_failure(
    error: grpc.RpcError, target: str, deadline: float, encrypted: bool, remedies: Remedies = REMEDIES
) -> ServingError:
    """Returns the error that explains a failed call.

    Args:
      error: of the call.
      target: HOST:PORT.
      deadline: seconds that the call had.
      encrypted: the connection is TLS.
      remedies: those of the caller.
    """
    code, details = error.code(), error.details() or ""
    return ServingError(_describe(code, details, target, deadline, encrypted, remedies), code)


def parse_largest_batch(error: ServingError) -> int:
    """Returns how many images the server takes in a call if the error says that there were more; else 0."""
    match = re.search(r"larger than maximum input batch size (\d+)", str(error))
    return int(match[1]) if match and error.code is Code.INVALID_ARGUMENT else 0


def _describe(
    code: grpc.StatusCode, details: str, target: str, deadline: float, encrypted: bool, remedies: Remedies
) -> str:
    way = find_proxy(target)
    if code is Code.DEADLINE_EXCEEDED:
        passing = f" through the proxy {way[1]}, which {way[0]} names," if way else ""
        return (
            f"no answer from {target}{passing} within {deadline:g} s: allow more (--deadline), or "
            f"{remedies.less}{', or add the host to no_proxy' if way else ''}"
        )
    unconnected = code is Code.UNAVAILABLE and details.startswith(_UNCONNECTED)
    if way and unconnected and not re.search(_TLS_FAULT, details):
        return _PROXY.format(target=target, variable=way[0], proxy=way[1], why=_cut_to_last_words(details))
    dropped = unconnected and re.search(_DROPPED, details)
    hidden = unconnected and _REFUSED in details and _is_listening(target)
    if (dropped or hidden) and not encrypted:
        return f"{target} drops the connection: it speaks TLS (--tls or --ca FILE), or it has just ended (try again)"
    if dropped:
        return (
            f"{target} drops the connection: it asks for a client certificate that it trusts (--cert FILE --key FILE)"
        )
    if hidden:
        return (
            f"no TLS connection with {target}, though it listens: it speaks plain text (no --tls), its certificate is "
            "not trusted here (--ca FILE) or for another host, or it asks for the client's (--cert FILE --key FILE)"
        )
    for pattern, words in _NO_CONNECTION if unconnected else _SERVERS_WORDS:
        if match := re.search(pattern, details):
            groups = [group for group in match.groups() if group is not None]
            return words.format(
                *groups, target=target, model=remedies.model, less=remedies.less, why=_cut_to_last_words(details)
            )
    if code is Code.UNIMPLEMENTED:
        return f"{target} is not TensorFlow Serving, or lacks this call: {details}"
    if code is Code.UNAVAILABLE:
        return f"{target} is not available, after several tries: {details}"
    return f"{target} answers {code.name}: {details}"


def _cut_to_last_words(details: str) -> str:
    return details.rpartition(": ")[2].rstrip("]")


def _is_listening(target: str) -> bool:
    """Tells whether something listens. gRPC reports one of several addresses: ::1 of `localhost`, but not 127.0.0.1."""
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True
