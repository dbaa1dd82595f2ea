"""What steers a rendering: one frozen object, whose defaults stand here and nowhere else.

Importing this module is cheap: the command line and the configuration read it.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NETWORKS = ("efficientnet_lite0", "vgg19")

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scale(_Frozen):
    """One step of a coarse-to-fine rendering."""

    size: Annotated[int, Field(ge=32, le=32768)]
    """Longer side of the picture in pixels."""
    iterations: Annotated[int, Field(ge=1)]
    tv_weight: Weight | None = None
    """Of total variation at this scale; None takes `Settings.tv_weight`."""


class Settings(_Frozen):
    """How a content picture is rendered in a style."""

    network: Literal[NETWORKS] = "efficientnet_lite0"  # type: ignore[valid-type]
    """Feature network; Lite0's weights come from a package and work anywhere."""
    weights: str = "imagenet"
    """`imagenet`, `random` (a fixed seed; for benchmarks), or a weights file, whose SHA-256 must then be given."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    pooling: Literal["max", "average"] = "max"
    """Of vgg19; Gatys et al. found average pooling slightly smoother (section 2)."""
    content_layers: tuple[str, ...] = ()
    """Empty: the network's own."""
    style_layers: dict[str, Weight] = {}
    """Weight in the mean over layers, by layer. Empty: the network's own."""
    content_weight: Weight | None = None
    """None: the network's own; so for `style_weight` and `tv_weight`."""
    style_weight: Weight | None = None
    tv_weight: Weight | None = None
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (
        Scale(size=128, iterations=150),
        Scale(size=256, iterations=100),
        Scale(size=512, iterations=60),
    )
    """From coarse to fine; each starts from the one before, the last one's size is the picture's."""
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Of Adam, in units of 0..255: its first steps move every pixel by so much, and large pictures get few steps."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 gives the content back, 1 the preset in full."""
    style_scale: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Size of the style's strokes: the style picture's longer side by the content's."""
    colors: Literal["style", "luminance", "match"] = "style"
    """`luminance` keeps the content's colours and takes its brightness from the rendering; `match` gives the style
    the content's colours before it is rendered (`colors.py` has the source)."""
    start: Literal["content", "noise"] = "content"
    """A picture of one's own to start from is given to `render` as `start`."""
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's features; losses and image are float32. It is never chosen by the machine: equal settings name
    equal renderings, whichever worker makes them."""
    memory_mb: Annotated[int, Field(ge=512)] = 4096
    """Resident memory that a rendering may take; larger pictures are worked on in tiles."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        sizes = [scale.size for scale in self.scales]
        if sorted(set(sizes)) != sizes:
            raise ValueError(f"scales have the sizes {sizes}: each must be larger than the one before")
        if self.weights not in ("imagenet", "random") and not self.weights_sha256:
            raise ValueError(f"weights names the file {self.weights}: give its weights_sha256 too")
        if self.style_layers and not any(self.style_layers.values()):
            raise ValueError("style_layers gives every layer the weight 0: give one of them more")
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
