"""Errors that a server answers with: one of gRPC's status codes and a message."""

import grpc

from atelier.errors import AtelierError


class StatusError(AtelierError):
    """Ends a call with `code`; the message goes to the client as it is."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def build_invalid_error(message: str) -> StatusError:
    """Returns INVALID_ARGUMENT: the request itself is wrong."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_number(number: int, message: str) -> StatusError:
    """Returns the error for a TensorFlow error, whose codes are gRPC's; UNKNOWN for any other number."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return StatusError(codes.get(number, grpc.StatusCode.UNKNOWN), message)
