"""Where and how both clients connect: their defaults, retries, message sizes, TLS."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from serving.client.errors import ServingError
from serving.client.protos import MODEL_SERVICE, PREDICTION_SERVICE
from serving.client.target import PORT, check_target, is_excluded, is_loopback

TARGET = f"localhost:{PORT}"
"""Where ModelServer listens by default."""
DEADLINE = 30.0
"""Seconds. A batch of large images on a busy CPU takes a few."""
BATCH = 32
"""Images a call."""
MAX_MESSAGE_BYTES = 64 * 2**20
"""Of a request or an answer. gRPC's own limit is 4 MiB for answers; it has none for requests."""
ATTEMPTS = 5
"""The most that gRPC, which retries, allows; with its pauses (0.1, 0.2, 0.4, 0.8 s) a call gives up after 1.5 s."""

_RETRY = {
    "methodConfig": [
        {
            "name": [{"service": PREDICTION_SERVICE}, {"service": MODEL_SERVICE}],
            "retryPolicy": {
                "maxAttempts": ATTEMPTS,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # No other status: it would be the same the next time, or the work may already be done.
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def connect(api: Any, target: str, tls: "Tls | None", gzip: bool, max_message_bytes: int) -> Any:
    """Makes a channel, which connects at the first call.

    Args:
      api: `grpc` or `grpc.aio`.
      target: HOST:PORT.
      tls: encrypts; None: plain text.
      gzip: compresses requests.
      max_message_bytes: of a request or an answer.

    Raises:
      ServingError: `target` is not HOST:PORT, or a file of `tls` cannot be used.
    """
    try:
        check_target(target)
    except ValueError as error:
        raise ServingError(str(error)) from None
    options, compression = build_channel_options(target, max_message_bytes), grpc.Compression.Gzip if gzip else None
    if tls:
        return api.secure_channel(target, tls.read_credentials(), options, compression)
    return api.insecure_channel(target, options, compression)


def build_channel_options(target: str, max_message_bytes: int) -> list[tuple[str, str | int]]:
    """Returns the options of a channel to `target` whose messages have at most `max_message_bytes`, either way."""
    return [
        ("grpc.enable_http_proxy", int(not is_loopback(target) and not is_excluded(target))),
        ("grpc.service_config", json.dumps(_RETRY)),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # What gRPC keeps for a retry: by default 256 KiB, and a larger request would be tried once only.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),
    ]


@dataclass(frozen=True)
class Tls:
    """An encrypted connection; PEM files.

    Attributes:
      ca: certificates of the trusted authorities; None: those that gRPC includes.
      cert: the client's own certificate, with those between it and its authority, for servers that require one (mTLS).
      key: its private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client certificate and its private key go together: give both, or neither")

    def read_credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
          ServingError: a file cannot be read, or is not PEM.
        """
        return grpc.ssl_channel_credentials(_read_pem(self.ca), _read_pem(self.key), _read_pem(self.cert))


def _read_pem(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ServingError(f"{file}: cannot be read: {error.strerror}") from None
    # gRPC would notice, too, but would report it in its log only.
    if b"-----BEGIN " not in content:
        raise ServingError(f"{file}: holds no certificate or key in PEM form (-----BEGIN ...)")
    return content
