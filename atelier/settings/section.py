"""The base of every section of the configuration."""

import pydantic


class Section(pydantic.BaseModel):
    """A part of the configuration: typed, frozen, and without unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
