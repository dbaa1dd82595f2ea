"""Shares of an endpoint's traffic, as they are given on the command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier.errors import KubeflowError
from kubeflow.traffic.endpoint import DeployedModel, Endpoint

ID_PREFIX = "id:"
"""Stands before a name that is an ID, where it may be a version too."""


@dataclass(frozen=True)
class Share:
    """What `--share` was given.

    Attributes:
      name: of a deployed model: its ID, its version or its display name.
      percent: of the traffic, 0..100.
    """

    name: str
    percent: int


def parse_shares(texts: Sequence[str]) -> list[Share]:
    """Reads NAME=PERCENT.

    Raises:
      KubeflowError: one is not of this form, a share is not a whole percent, or they do not add up to 100.
    """
    shares = [_parse_share(text) for text in texts]
    if (total := sum(share.percent for share in shares)) != 100:
        raise KubeflowError(f"--share: the shares add up to {total}: expected 100; what is not named gets 0")
    return shares


def resolve_shares(shares: Sequence[Share], endpoint: Endpoint) -> dict[str, int]:
    """Returns the percentage of each deployed model by its ID; those that are not named get 0.

    Raises:
      KubeflowError: the endpoint has no such deployed model, or a name stands for several of them.
    """
    found: dict[str, Share] = {}
    for share in shares:
        model = _find_model(share.name, endpoint)
        if model.id in found:
            raise KubeflowError(
                f"--share {found[model.id].name} and --share {share.name} both stand for {model}: give it one share"
            )
        found[model.id] = share
    return {model.id: found[model.id].percent if model.id in found else 0 for model in endpoint.models}


def describe_split(split: Mapping[str, int], endpoint: Endpoint) -> str:
    """Returns a split in words, such as `101 (version 1, photos) 90 %, 102 (version 2, photos) 10 %`.

    Args:
      split: percentages by deployed model's ID.
      endpoint: knows what the IDs stand for.
    """
    parts = [f"{model} {split[model.id]} %" for model in endpoint.models if split.get(model.id)]
    known = {model.id for model in endpoint.models}
    parts += [f"{id_} {percent} %" for id_, percent in sorted(split.items()) if percent and id_ not in known]
    return ", ".join(parts) or "no traffic"


def _parse_share(text: str) -> Share:
    name, separator, percent = text.rpartition("=")
    if not separator or not name.strip():
        raise KubeflowError(f"--share {text}: expected NAME=PERCENT, as in 2=10")
    if not re.fullmatch("[0-9]{1,3}", percent) or int(percent) > 100:
        raise KubeflowError(
            f"--share {text}: {percent!r} is not a whole percent from 0 to 100{_suggest_percent(percent)}"
        )
    return Share(name.strip(), int(percent))


def _suggest_percent(percent: str) -> str:
    """Suggests the percent for a fraction, which is how the split client takes its shares."""
    fraction = re.fullmatch(r"0?\.([0-9]{1,2})0*", percent)
    return f" (did you mean {int(fraction[1].ljust(2, '0'))}?)" if fraction else ""


def _find_model(name: str, endpoint: Endpoint) -> DeployedModel:
    if name.startswith(ID_PREFIX):
        readings = [("ID", model) for model in endpoint.models if model.id == name.removeprefix(ID_PREFIX)]
    else:
        readings = [
            (what, model)
            for model in endpoint.models
            for what, value in (("ID", model.id), ("version", model.version), ("display name", model.name))
            if value == name
        ]
    models = {model.id: model for _, model in readings}
    if not models:
        deployed = "; ".join(str(model) for model in endpoint.models) or "none"
        raise KubeflowError(f"--share {name}: {endpoint.name} has no such deployed model; deployed are: {deployed}")
    if len(models) > 1:
        told = " and ".join(f"the {what} of {model}" for what, model in readings)
        raise KubeflowError(
            f"--share {name} is {told}: name one of them by its ID, as in {ID_PREFIX}{next(iter(models))}"
        )
    return next(iter(models.values()))
