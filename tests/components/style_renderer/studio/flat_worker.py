"""A worker whose images are of one gray, the strength's times gravel's share; without TensorFlow it starts in a moment.

A job of size 64 ends at once, one of 65 fails, one of 66 ends the process, and one of 1024 goes on until it is stopped.
"""

import os
import time

import numpy as np

from components.style_renderer.studio import worker
from components.style_renderer.studio.jobs import Place

PAUSE_S = 0.05


class FlatPainter:
    def warm_up(self):
        pass

    def paint(self, task, tell):
        size, first = task.request.size, task.place.iteration + 1 if task.place else 0
        if size == 65:
            raise ValueError("65 is no size for this painter")
        count = 10**6 if size == 1024 else 1 if size == 64 else 3
        controls = task.request.controls
        for iteration in range(first, count + 1):
            if size == 66 and iteration == 2:
                os._exit(3)
            time.sleep(PAUSE_S)
            place = Place(size=size, iteration=iteration, left=count - iteration)
            controls = tell(_draw_gray(task, controls.strength), place, iteration / count, {"total": 1.0})
        return _draw_gray(task, controls.strength)

    def preview(self, task, size):
        return None if [*task.styles] == ["mosaic"] else _draw_gray(task, task.request.strength)

    def estimate(self, task):
        tiles = 1 + sum(map(bool, task.masks))
        return {"seconds": 1.5, "memory_mb": task.request.size, "disk_mb": 0, "disk_free_mb": 1, "tiles": tiles}


def _draw_gray(task, strength):
    size, weights = task.request.size, task.request.regions[0].styles
    share = weights.get("gravel", 0) / sum(weights.values()) if len(task.request.regions) == 1 else 1
    return np.full((size // 2, size, 3), round(255 * strength * share), np.uint8)


if __name__ == "__main__":
    worker.main(FlatPainter)
