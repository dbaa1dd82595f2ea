"""The work of `atelier styles train`: styles of a catalog are added to a one-pass stylizer."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from atelier.stylization import StylizerError
from compat.standard_streams import send_to_file
from components.style_catalog import catalog
from components.style_catalog.style import load_pixels
from pipeline.terminal.console import Console


def train_styles(
    name: str, content: Path, output: Path, *, model: Path | None, ids: Sequence[str], minutes: float
) -> str:
    """Trains, and writes the stylizer.

    Args:
      name: of the catalog.
      content: folder of photographs.
      output: file to write.
      model: file of the stylizer that is extended; None takes the base network.
      ids: of the styles to add; empty: all that are in the catalog.
      minutes: how long to train.

    Returns:
      The last line for the terminal.

    Raises:
      CatalogError: the catalog cannot be used, or lacks a style.
      StylizerError: the stylizer cannot be used, or has one of the styles, or `output` cannot be written.
      TrainingError: a photograph cannot be used.
    """
    _check_output(output)
    styles = catalog.select_styles(name, catalog.open_catalog(name), ids)
    with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal, send_to_file(Path(os.devnull)):
        console = Console(terminal)
        from components.stylizer import stylizer
        from components.stylizer.training import adding, train_base

        photographs = list(train_base.read_photographs(content).values())
        base = stylizer.load(model) if model else stylizer.load_base()
        settings = adding.SETTINGS.model_copy(update={"minutes": minutes, "steps": max(1, round(200 * minutes))})

        def show(done: int, losses: Mapping[str, float]) -> None:
            console.say(f"{done} steps: content {losses['content']:.3f}, style {losses['style']:.4f}")

        extended = adding.add_styles(
            base, {style.id: load_pixels(style) for style in styles}, photographs, settings, show
        )
        extended.save(output)
    return f"{output}: {', '.join(style.id for style in styles)}"


def _check_output(output: Path) -> None:
    """Makes the folder of the file: after minutes of training it is too late to find out that there is none."""
    if output.is_dir():
        raise StylizerError(f"{output}: it is a folder; give --output a file, as in {output / 'stylizer.npz'}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise StylizerError(f"{output}: cannot be written: {error.strerror}; give another --output") from None
