"""How many images a call takes, and which of them are still to be asked."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from serving.client.errors import ServingError, parse_largest_batch
from serving.client.predictions import Answer
from serving.client.preparation import Preparation, PreparedImage

FRAMING = 1024
"""Bytes: more than an image's share of a message has besides the image itself."""
_MOST_PREPARATIONS = 4


@dataclass
class Limits:
    """What a call holds at most. A server that takes fewer images lowers `images` from then on."""

    images: int
    message_bytes: int


class Batches:
    """The images of one request of a user, asked batch by batch."""

    def __init__(self, images: Sequence[PreparedImage], limits: Limits) -> None:
        """Starts with no answer."""
        self.images = images
        self.answers: list[Answer] = []
        self._limits = limits
        self._preparations = 1

    def take_batch(self) -> Sequence[PreparedImage]:
        """Returns the first images without an answer, as many as a call holds and at least one; none at the end."""
        waiting = self.images[len(self.answers) :][: self._limits.images]
        sizes = itertools.accumulate(len(image.encoded) + FRAMING for image in waiting)
        count = sum(1 for _ in itertools.takewhile(lambda size: size <= self._limits.message_bytes, sizes))
        return waiting[: max(1, count)]

    def shrink(self, error: ServingError, count: int) -> None:
        """Takes smaller batches from now on.

        Raises:
          ServingError: `error` itself, unless the server says that it takes fewer than the `count` images of the call.
        """
        largest = parse_largest_batch(error)
        if not 1 <= largest < count:
            raise error
        self._limits.images = largest

    def must_prepare_again(self, preparation: Preparation) -> bool:
        """Tells whether the version that answered asks for another preparation than these images had.

        Raises:
          ServingError: the versions that answer change all the time.
        """
        if all(image.preparation == preparation for image in self.images):
            return False
        self._preparations += 1
        if self._preparations > _MOST_PREPARATIONS:
            raise ServingError(
                "versions that prepare images differently answer in turn: ask one of them with --version or --label"
            )
        return True
