"""Which number format the features are computed in."""

from components.style_renderer import networks
from components.style_renderer.settings import Settings
from trainer.precision import cpu_has_bfloat16


def resolve(settings: Settings) -> str:
    """float32 or bfloat16: `auto` takes bfloat16 where the processor has it and the network is known to gain by it.

    It is not measured: on a busy machine another format could win, and equal settings would give different pictures.
    """
    if settings.precision != "auto":
        return settings.precision
    return "bfloat16" if cpu_has_bfloat16() and networks.recipe(settings).gains_by_bfloat16 else "float32"
