"""Facts that travel with a model as JSON: read strictly, into a pydantic model."""

from typing import TypeVar

import pydantic

from atelier.errors import AtelierError

_M = TypeVar("_M", bound=pydantic.BaseModel)


def parse_facts(model: type[_M], text: str | bytes, error_type: type[AtelierError]) -> _M:
    """Parses the JSON of a pydantic model.

    Args:
      model: what the text must hold: exactly its keys, in their types.
      text: JSON.
      error_type: of the error that is raised.

    Raises:
      AtelierError: of `error_type`: the text holds something else. A newer Atelier may have written it: a fact that
        this one does not know must not be passed over.
    """
    try:
        return model.model_validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise error_type(f"{where}: {first['msg'].lower()}; update Atelier if the model is newer") from None
