"""The engine's worker with limits so low that small images are worked on as the largest ones are."""

import functools
import math

from components.style_renderer.engine import memory
from components.style_renderer.studio import worker
from components.style_renderer.studio.painter import EnginePainter
from components.stylizer import strips, stylizer

if __name__ == "__main__":
    stylizer.IN_ONE_PIECE = strips.IN_MEMORY = 1000
    strips.stylize = functools.partial(strips.stylize, values=500_000)
    memory._estimate_whole = lambda *_: math.inf
    memory._MAX_TILE = 128
    worker.main(EnginePainter)
