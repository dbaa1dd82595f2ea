"""Learns the styles of a catalog, from the base network or from random weights, and goes on where it was stopped."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from atelier.stylization import StylizerError
from components.stylizer import network
from components.stylizer.settings import CatalogSettings, TrainingSettings
from components.stylizer.stylizer import Stylizer, identify
from components.stylizer.training import adding, loop, objective

_LOGGER = logging.getLogger("atelier.stylizer")

VALUES, WHOLE = "values", "whole"
"""The phases: the normalization values of new styles alone, then all weights on all styles."""

Callbacks = Callable[[str, Stylizer], Sequence[keras.callbacks.Callback]]
"""Makes Keras' callbacks for a phase, by its name; the stylizer is the one that is trained."""


def learn_styles(
    styles: Mapping[str, np.ndarray],
    photographs: Sequence[Image.Image],
    settings: CatalogSettings,
    *,
    base: Stylizer | None,
    state: Path,
    callbacks: Callbacks = lambda *_: (),
) -> Stylizer:
    """Returns a stylizer with these styles and no others: those that the base knows come first.

    The base knows a style if it has learned this very image, at the same size, under the same id. If it knows all of
    them, nothing is trained.

    Args:
      styles: images [H, W, 3] uint8 by id.
      photographs: mode RGB, to train on.
      settings: of the training.
      base: where it starts; None starts from random weights.
      state: folder of the training state, which must be the same training's.
      callbacks: see `Callbacks`.

    Raises:
      StylizerError: there is no style.
      TrainingError: there is no photograph, or the loss is no longer a number.
    """
    if not styles:
        raise StylizerError("there is no style to learn: give a catalog that has styles")
    images = {style: identify(image, settings.style_size) for style, image in styles.items()}
    known = [style for style in styles if base is not None and base.images.get(style) == images[style]]
    order = (*known, *(style for style in styles if style not in known))
    _LOGGER.info("%d of %d styles are the base's own", len(known), len(order))
    if base is None:
        keras.utils.set_random_seed(settings.seed)
        model = network.build(len(order), precision=settings.precision)
    else:
        kept = [base.styles.index(style) for style in known]
        model = adding.extend(base.model, kept, len(order) - len(known), precision=settings.precision)
    reached = {style: base.reached[style] for style in known if style in base.reached} if base else {}
    stylizer = Stylizer(model, order, {style: images[style] for style in order}, reached)
    phases = _list_phases(settings, base is None, len(known), len(order))
    if phases:
        state.mkdir(parents=True, exist_ok=True)
        judged = objective.build(
            model,
            [styles[style] for style in order],
            [reached.get(style, objective.TYPICAL) for style in order],
            settings,
            state / "targets.npz",
        )
    for name, first, phase in phases:
        adding.set_trainable(model, values_only=name == VALUES)
        steps = loop.train(
            judged, photographs, phase, state / f"{name}.npz", callbacks(name, stylizer), first_style=first
        )
        _LOGGER.info("%s: %d steps", "normalization values" if name == VALUES else "all weights", steps)
    return stylizer


def _list_phases(
    settings: CatalogSettings, from_random: bool, known: int, count: int
) -> list[tuple[str, int, TrainingSettings]]:
    """Names, the first style that is trained, and settings."""
    if not from_random and known == count:
        return []
    values = None if from_random else settings.plan_values_phase()
    phases = [(VALUES, known, values), (WHOLE, 0, settings.plan_whole_phase())]
    return [(name, first, phase) for name, first, phase in phases if phase is not None]
