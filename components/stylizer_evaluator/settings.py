"""What the gate of a stylizer measures, and what it asks for; the defaults stand here and nowhere else."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from atelier.settings.field_types import Count, Fraction, Integer, Number
from components.style_renderer.engine.settings import Scale, Settings

_Factor = Annotated[Number, Field(gt=0)]


class GateSettings(BaseModel):
    """The stylizer's gate, which compares one pass with the optimizing renderer on held-out images."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    size: Annotated[Integer, Field(ge=64, le=1024)] = 256
    """Longer side in pixels at which images are compared."""
    max_images: Count = 2
    """Held-out images, at most. The optimizer takes 10 to 15 seconds for each in each style, once."""
    max_styles: Annotated[Integer, Field(ge=0)] = 4
    """Styles, at most, evenly spread over the model's, the last one included; 0: all."""
    scales: tuple[Scale, ...] = ()
    """The optimizer's, from coarse to fine; empty: its own."""
    max_style_loss: _Factor = 15.0
    """Of the worst style, in units of the optimizer's style loss, mean over the images."""
    max_content_loss: _Factor = 2.0
    """The same of the content loss."""
    min_ssim: Fraction = 0.98
    """Least structural similarity of an image with itself at a strength of 0."""
    max_tflite_difference: Annotated[Number, Field(ge=0, le=255)] = 1.0
    """Of a float16 TFLite file from the SavedModel, in gray levels, mean over a held-out image."""
    max_megabytes: _Factor = 15.0
    """Of all files that are pushed."""
    max_latency_ms: _Factor = 2000.0
    """Median time of one image of this size, one at a time; it depends on the machine."""

    def configure_optimizer(self, style_size: int) -> Settings:
        """Returns the optimizer's settings: size and scales of the gate, style images at the size of the training.

        Args:
          style_size: longer side in pixels at which the stylizer has looked at style images.
        """
        settings = Settings(scales=self.scales) if self.scales else Settings()
        return settings.with_size(self.size).model_copy(update={"style_scale": style_size / self.size})
