"""What steers a rendering: one frozen object, whose defaults stand here and nowhere else.

Importing this module is cheap: the command line and the configuration read it.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atelier.settings.field_types import Count, Fraction, Integer, Number

EngineName = Literal["finest", "fast", "refined"]
"""By optimization, in one pass of a network, or by optimization that starts from the one pass."""

_IGNORED_BY_REFINED = frozenset({"start", "seed"})
_USED_BY_FAST = frozenset({"scales", "strength", "colors"})

NETWORKS = ("efficientnet_lite0", "vgg19")

MIN_SCALE, MAX_SCALE = 32, 32768
"""Pixels of the longer side."""
LAYERS: Mapping[str, frozenset[str]] = {
    "efficientnet_lite0": frozenset(
        {
            "rescaling",
            *(f"{end}_{layer}" for end in ("stem", "top") for layer in ("conv", "activation")),
            *(
                f"block{stage}{letter}_{layer}"
                for stage, letters in enumerate(("a", "ab", "ab", "abc", "abc", "abcd", "a"), 1)
                for letter in letters
                for layer in (
                    *(("expand_conv", "expand_activation") if stage > 1 else ()),
                    *("dwconv", "activation", "project_conv"),
                    *(("add",) if letter > "a" else ()),
                )
            ),
        }
    ),
    "vgg19": frozenset(
        {
            "caffe",
            *(
                f"block{stage}_{layer}"
                for stage, convolutions in enumerate((2, 2, 4, 4, 4), 1)
                for layer in (*(f"conv{number}" for number in range(1, convolutions + 1)), "pool")
            ),
        }
    ),
}
"""By the network, as `networks.py` builds them."""
_ENDINGS = {"efficientnet_lite0": (".pth",), "vgg19": (".weights.h5", ".h5")}

Weight = Annotated[Number, Field(ge=0, le=3e38)]
"""float32 holds no larger one."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scale(_Frozen):
    """One step of a coarse-to-fine rendering."""

    size: Annotated[Integer, Field(ge=MIN_SCALE, le=MAX_SCALE)]
    """Longer side of the image in pixels."""
    iterations: Count
    """Steps of the optimizer; few suffice on fine scales, which start from a good image."""
    tv_weight: Weight | None = None
    """Of total variation at this scale; None takes `Settings.tv_weight`."""


class Settings(_Frozen):
    """How a content image is rendered in a style."""

    network: Literal[NETWORKS] = "efficientnet_lite0"  # type: ignore[valid-type]
    """Feature network; Lite0's weights come from a package and work anywhere."""
    weights: str = "imagenet"
    """`imagenet`, `random` (a fixed seed; for benchmarks), or a weights file, whose SHA-256 must then be given."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Of the weights file, in hexadecimal; "" with `imagenet` and `random`."""
    pooling: Literal["max", "average"] = "max"
    """Of vgg19; Gatys et al. found average pooling slightly smoother (section 2)."""
    content_layers: tuple[str, ...] = ()
    """Empty: the network's own."""
    style_layers: dict[str, Weight] = {}
    """Weight in the mean over layers, by layer. Empty: the network's own."""
    content_weight: Weight | None = None
    """None: the network's own; so for `style_weight` and `tv_weight`."""
    style_weight: Weight | None = None
    """More gives a stronger style; None: the network's own."""
    tv_weight: Weight | None = None
    """Of total variation: more gives a smoother image; None: the network's own."""
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (
        Scale(size=128, iterations=150),
        Scale(size=256, iterations=100),
        Scale(size=512, iterations=60),
    )
    """From coarse to fine; each starts from the one before, the last one's size is the image's."""
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """L-BFGS reaches the same loss in fewer steps; images in tiles use Adam, which needs less memory."""
    learning_rate: Annotated[Number, Field(gt=0, le=255)] = 1.0
    """Of Adam, in units of 0..255: its first steps move every pixel by so much, and large images get few steps."""
    strength: Fraction = 1.0
    """0 gives the content back, 1 the preset in full."""
    style_scale: Annotated[Number, Field(gt=0, le=8)] = 1.0
    """Size of the style's strokes: the style image's longer side by the content's."""
    colors: Literal["style", "luminance", "match"] = "style"
    """`luminance` keeps the content's colors and takes its brightness from the rendering; `match` gives the style
    the content's colors before it is rendered (`colors.py` has the source)."""
    start: Literal["content", "noise"] = "content"
    """An image of one's own to start from is given to `render` as `start`."""
    seed: Annotated[Integer, Field(ge=0)] = 0
    """Of the noise that a rendering may start from, and of random weights."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's features; losses and image are float32. It is never chosen by the machine: equal settings name
    equal renderings, whichever worker makes them."""
    memory_mb: Annotated[Integer, Field(ge=512)] = 4096
    """Resident memory that a rendering may take; larger images are worked on in tiles."""

    @model_validator(mode="after")
    def _check_consistency(self) -> "Settings":
        sizes = [scale.size for scale in self.scales]
        if sorted(set(sizes)) != sizes:
            raise ValueError(f"scales have the sizes {sizes}: each must be larger than the one before")
        if self.style_layers and not any(self.style_layers.values()):
            raise ValueError("style_layers gives every layer the weight 0: give one of them more")
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0: give one of them more")
        # A style's preset may name the network where these settings do not.
        networks = (self.network,) if "network" in self.model_fields_set else NETWORKS
        known = frozenset().union(*(LAYERS[network] for network in networks))
        for key in ("content_layers", "style_layers"):
            for layer in getattr(self, key):
                if layer not in known:
                    near = difflib.get_close_matches(layer, sorted(known), n=1)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    raise ValueError(f"{key} names {layer}: no layer of {' or '.join(networks)}{hint}")
        if self.weights not in ("imagenet", "random") and not self.weights_sha256:
            raise ValueError(f"weights names the file {self.weights}: give its weights_sha256 too")
        if self.weights in ("imagenet", "random"):
            return self
        endings = [ending for network in networks for ending in _ENDINGS[network]]
        if not self.weights.endswith(tuple(endings)):
            raise ValueError(
                f"weights is {self.weights!r}: expected imagenet, random, or a file that ends in {' or '.join(endings)}"
            )
        return self

    def with_size(self, size: int) -> "Settings":
        """The same at another final size: finer scales are dropped, or added by doubling with half the iterations."""
        scales = [scale for scale in self.scales if scale.size < size]
        if not scales:
            scales = [self.scales[0].model_copy(update={"size": size})]
        while scales[-1].size < size:
            last = scales[-1]
            known = next((scale for scale in self.scales if scale.size > last.size), None)
            step = known or last.model_copy(update={"size": last.size * 2, "iterations": max(1, last.iterations // 2)})
            scales.append(step.model_copy(update={"size": min(size, step.size)}))
        return Settings(**self.model_dump() | {"scales": [scale.model_dump() for scale in scales]})


def find_ignored(engine: EngineName, names: Iterable[str]) -> list[str]:
    """Returns the fields of `Settings` among `names` that an engine does not use."""
    if engine == "fast":
        return sorted(set(names) - _USED_BY_FAST)
    return sorted(set(names) & _IGNORED_BY_REFINED) if engine == "refined" else []
