"""Labels of a run, which its cluster takes or refuses as a whole."""

import re

from atelier.errors import KubeflowError
from pipeline.config.sections.kubeflow import Kubeflow

MAX_LABELS = 64


def check(settings: Kubeflow) -> None:
    """Google's rules; Kubernetes', on pods, are narrower in what may be at the end and in letters.

    Raises:
      KubeflowError: names the label, and what is expected.
    """
    if len(settings.labels) > MAX_LABELS:
        raise KubeflowError(f"kubeflow.labels: {len(settings.labels)} labels, and a run has {MAX_LABELS} at most")
    for key, value in settings.labels.items():
        where = f"kubeflow.labels.{key}"
        if not key or not key[0].isalpha() or not _is_label(key):
            raise KubeflowError(
                f"{where}: a label's name is up to 63 lower-case letters, digits, - and _, and begins with a letter"
            )
        if not _is_label(value):
            raise KubeflowError(f"{where} is {value!r}: expected up to 63 lower-case letters, digits, - and _")
        for part in (key, value):
            if settings.target == "kfp" and part and not re.fullmatch("[a-z0-9]([a-z0-9_-]*[a-z0-9])?", part):
                raise KubeflowError(
                    f"{where}: {part!r} labels pods, where it begins and ends with a letter of a-z or a digit"
                )


def _is_label(text: str) -> bool:
    allowed = all(c in "-_" or c.isdecimal() or (c.isalpha() and c == c.lower()) for c in text)
    return len(text) <= 63 and allowed
