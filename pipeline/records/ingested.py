"""Whether the configuration fits the records that an ingest writes."""

from pipeline.config.config import Data
from pipeline.records.dataset import DataError
from pipeline.records.records import FEATURES


def check_keys(data: Data) -> None:
    """Checks that the records of images, once they are ingested, have the features that the configuration names.

    Raises:
      DataError: they lack one.
    """
    for name, key in (("image_key", data.image_key), ("label_key", data.label_key)):
        if key not in FEATURES:
            default = Data.model_fields[name].default
            raise DataError(
                f"data.{name} is {key!r}, but data.source holds images, whose records have {default}: "
                f"leave data.{name} out"
            )
