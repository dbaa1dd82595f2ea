"""The stylizer's TFLite files: bytes, time in LiteRT, difference from Keras, and what XNNPACK does not take.

    .venv/bin/python benchmarks/style/stylize_tflite.py

The files take turns, first with one thread, then with two. Processor time says the same on a machine that others use as
well.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

from atelier.files import packaged
from components.stylizer import stylizer
from components.stylizer.exports import tflite

_TIMER = """
import json, statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
ROUNDS, threads, files = 9, int(sys.argv[1]), sys.argv[2:]
runners = {file: Interpreter(file, num_threads=threads) for file in files}
for runner in runners.values():
    runner.allocate_tensors()
    for detail in runner.get_input_details():
        shape = list(detail["shape"])
        values = np.full(shape, 256 if shape == [2] else 1 / shape[-1])
        if detail["dtype"] == np.uint8:
            values = np.random.default_rng(0).integers(0, 256, detail["shape"])
        runner.set_tensor(detail["index"], values.astype(detail["dtype"]))
times = {file: [] for file in files}
for _ in range(ROUNDS + 1):
    for file, runner in runners.items():
        wall, cpu = time.perf_counter(), time.process_time()
        runner.invoke()
        times[file].append((time.perf_counter() - wall, time.process_time() - cpu))
print(json.dumps([[statistics.median(each) for each in zip(*times[file][1:])] for file in files]))
"""


def main() -> None:
    """The command."""
    base = stylizer.load_base()
    image = np.asarray(Image.open(packaged.find("skimage", "data/astronaut.png")).convert("RGB"))
    with tempfile.TemporaryDirectory() as folder:
        cards = tflite.export(base, Path(folder), image)
        files = [f"{folder}/{name}" for name in cards]
        one, two = (
            json.loads(
                subprocess.run([sys.executable, "-c", _TIMER, threads, *files], capture_output=True, check=True).stdout
            )
            for threads in ("1", "2")
        )
    for (name, card), alone, both in zip(cards.items(), one, two, strict=True):
        difference, xnnpack = card["difference"], card["xnnpack"]
        print(
            f"{name:28} {card['bytes'] / 1e3:4.0f} kB; one thread {1e3 * alone[0]:4.0f} ms, "
            f"two {1e3 * both[0]:4.0f} ms; processor {1e3 * alone[1]:4.0f} and {1e3 * both[1]:4.0f} ms; "
            f"{difference['mean']:.3f} gray levels from Keras, {difference['worst']:.3f} in the worst style; "
            f"{xnnpack['parts']} part(s) on XNNPACK, outside {', '.join(xnnpack['outside'])}"
        )


if __name__ == "__main__":
    main()
