"""What stops an ingest."""

from atelier.errors import AtelierError


class SourceError(AtelierError):
    """A source that cannot be ingested; the message names it and the remedy."""


class IngestError(AtelierError):
    """Images that cannot be made into a data set; the message says why and what to do."""
