"""The section `metadata`: the database of the lineage."""

from typing import Annotated, Any

import pydantic

from atelier.settings.section import Section
from pipeline.metadata import database_url


def _hide_password(value: Any) -> Any:
    if isinstance(value, database_url.SecretUrl):
        return value
    return database_url.SecretUrl(value) if isinstance(value, str) else value and type(value)


def _check_url(value: database_url.SecretUrl) -> database_url.SecretUrl:
    if value:
        database_url.parse_url(value.get_secret_value())
    return value


class Metadata(Section):
    """Where ML Metadata keeps the lineage of the runs."""

    # In this order hiding comes first: a message about what the check rejects quotes what it was given.
    connection: Annotated[
        database_url.SecretUrl, pydantic.AfterValidator(_check_url), pydantic.BeforeValidator(_hide_password)
    ] = database_url.SecretUrl("")
    """`mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE` or `postgresql://...`; "": SQLite, in the output folder.

    A password that is left out is read from the variable ATELIER_METADATA_PASSWORD.
    """

    @pydantic.model_validator(mode="before")
    @classmethod
    def _hide_other_values(cls, values: Any) -> Any:
        """Messages about wrong values quote them, and this one may hold a password: they quote its type instead."""
        return values if isinstance(values, dict | Metadata) else type(values)

    @pydantic.field_serializer("connection")
    def _serialize_connection(self, value: database_url.SecretUrl) -> str:
        """What is written down, as `run.json` is, never holds the password."""
        return str(value)
