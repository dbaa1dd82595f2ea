"""Artifacts of all runs in one folder: the metadata store that resolvers ask for the latest of a kind."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier import storage
from kubeflow.replay import executor_input as exchange

_INPUT = re.compile(r"\{\{\$\.inputs\.artifacts\['([^']+)'\]\.metadata\['([^']+)'\]\}\}")
_NUMBER = re.compile(r"metadata\.(\w+)\.number_value=([-+.\deE]+)")
_TEXT = re.compile(r'(schema_title|name|metadata\.(\w+)\.string_value)="([^"]*)"')


class ArtifactStore:
    """A file of one line an artifact, to which runs, also two at a time, only add."""

    def __init__(self, file: Path, pipeline: str) -> None:
        """Keeps the artifacts of `pipeline` in `file`, beside those of others."""
        self._file = file
        self._pipeline = pipeline

    def add(self, artifact: pb.RuntimeArtifact) -> None:
        """Makes an artifact known."""
        record = {"pipeline": self._pipeline, "artifact": exchange.to_dict(artifact)}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def query(self, text: str, limit: int, inputs: Mapping[str, Any]) -> list[pb.RuntimeArtifact]:
        """The latest artifacts of this pipeline that fit, the latest first.

        Args:
          text: a resolver's filter: terms such as `schema_title="tfx.Model"` or `state=LIVE`, joined by AND.
          limit: at most so many; 0 is 1, as TFX leaves it.
          inputs: the resolver's own input artifacts, by key, whose metadata the filter may name.

        Raises:
          exchange.ExchangeError: the filter is not understood, or the file is damaged.
        """
        filled = _INPUT.sub(lambda match: _fill_in_metadata(match, inputs), text)
        terms = [_parse_term(term.strip()) for term in filled.split(" AND ")]
        fitting = [artifact for artifact in self._read_artifacts() if all(fits(artifact) for fits in terms)]
        return fitting[::-1][: limit or 1]

    def _read_artifacts(self) -> Iterator[pb.RuntimeArtifact]:
        if not self._file.exists():
            return
        try:
            for line in self._file.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if record["pipeline"] == self._pipeline:
                    yield json_format.ParseDict(record["artifact"], pb.RuntimeArtifact())
        except (OSError, ValueError, KeyError, TypeError, json_format.ParseError) as error:
            raise exchange.ExchangeError(f"{self._file}: cannot be read: {error!r}") from None


def _fill_in_metadata(match: re.Match[str], inputs: Mapping[str, Any]) -> str:
    artifacts = inputs[match[1]].artifacts if match[1] in inputs else []
    return str(artifacts[0].metadata[match[2]]) if artifacts and match[2] in artifacts[0].metadata else ""


def _parse_term(term: str) -> Callable[[pb.RuntimeArtifact], bool]:
    number, text = _NUMBER.fullmatch(term), _TEXT.fullmatch(term)
    if number:
        key, value = number[1], float(number[2])
        return lambda artifact: key in artifact.metadata and artifact.metadata[key] == value
    if text and text[2]:
        key, wanted = text[2], text[3]
        return lambda artifact: key in artifact.metadata and artifact.metadata[key] == wanted
    if text and text[1] == "name":
        return lambda artifact: artifact.name == text[3]
    if text:
        return lambda artifact: exchange.get_type_name(artifact.type) == text[3]
    if term == "state=LIVE":
        return _is_live
    raise exchange.ExchangeError(f"its resolver's filter is not understood: {term}")


def _is_live(artifact: pb.RuntimeArtifact) -> bool:
    """Somebody may have removed the folder of an old run."""
    return storage.is_url(artifact.uri) or Path(artifact.uri).exists()
