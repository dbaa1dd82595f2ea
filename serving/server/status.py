"""What a server answers instead of a result: one of gRPC's status codes and a message."""

import grpc

from atelier.errors import AtelierError


class StatusError(AtelierError):
    """Ends a call with `code`; the message goes to the client as it is."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> StatusError:
    """The request itself is wrong: INVALID_ARGUMENT."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_number(number: int, message: str) -> StatusError:
    """Of a TensorFlow error, whose codes are gRPC's; UNKNOWN where there is no such code."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return StatusError(codes.get(number, grpc.StatusCode.UNKNOWN), message)
