"""Style transfer, side by side with the usual way of doing it.

    .venv/bin/python benchmarks/style/style.py speed --network efficientnet_lite0 --size 512
    .venv/bin/python benchmarks/style/style.py batch
    .venv/bin/python benchmarks/style/style.py optimizers

`speed`: the usual way is Adam on pixels of 0..1, one scale, float32, in one `tf.function` a step, from the content, for
1000 steps, at the best of several learning rates. Ours has to reach the loss that it ends with; the loss is the same
function, in float32. Building and tracing are not counted on either side. Processor seconds are printed too: they say
the same on a machine that others use as well.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import scipy.optimize
import tensorflow as tf
from PIL import Image

from atelier.files import packaged
from components.style_catalog import catalog
from components.style_catalog.style import load_pixels
from components.style_renderer.batch import batch, contents, photographs
from components.style_renderer.engine import canvas, networks, objective, optimizers
from components.style_renderer.engine.callbacks import Iterate
from components.style_renderer.engine.objective import Objective, Weights
from components.style_renderer.engine.render import render
from components.style_renderer.engine.settings import Scale, Settings
from pipeline.beam import pipeline_options


class _Seconds(NamedTuple):
    wall: float
    processor: float
    """Of all threads."""

    @classmethod
    def now(cls) -> "_Seconds":
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> "_Seconds":
        now = self.now()
        return _Seconds(now.wall - self.wall, now.processor - self.processor)

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.processor:.1f} s of processors)"


class _ReachedError(Exception):
    """Ends a rendering whose loss is low enough."""


def compare_speed(network: str, size: int, steps: int, learning_rates: Sequence[float], output: Path) -> None:
    """Prints the seconds of both ways to the same loss, and keeps their images in `output`."""
    settings = Settings(
        network=network,
        weights="random" if network == "vgg19" else "imagenet",
        precision="bfloat16" if network == "vgg19" else "float32",
        scales=(
            Scale(size=size // 4, iterations=150),
            Scale(size=size // 2, iterations=100),
            Scale(size=size, iterations=600),
        ),
    )
    content = np.asarray(Image.open(packaged.find("skimage", "data/chelsea.png")).convert("RGB"))
    style = load_pixels(next(each for each in catalog.open_catalog("builtin") if each.id == "swirls"))
    exact = objective.get_objective(settings, "float32")
    recipe = networks.choose_recipe(settings)
    weights = tf.constant(Weights(recipe.content_weight, recipe.style_weight, recipe.tv_weight), tf.float32)
    height, width = canvas.compute_sides(content.shape, size)
    padded = canvas.pad(canvas.resize(content, height, width), exact.network.stride)
    start = tf.constant(padded[np.newaxis].astype(np.float32))
    contents_, grams = exact.compute_contents(start), exact.compute_style_targets(style, size)

    usual = [_run_adam(exact, start, contents_, grams, weights, steps, rate) for rate in learning_rates]
    for rate, (seconds, loss, _) in zip(learning_rates, usual, strict=True):
        print(f"usual way, learning rate {rate}: {seconds}, loss {loss:.5g}", flush=True)
    usual_s, target, image = min(usual, key=lambda run: run[1])
    Image.fromarray(image[:height, :width]).save(output / f"usual_{network}_{size}.png")

    reached: list[tuple[_Seconds, Iterate]] = []

    def watch(step: Iterate) -> None:
        if step.size == size and step.iteration and step.losses["total"] <= target:
            reached.append((began.since(), step))
            raise _ReachedError

    render(content, [(style, 1.0)], settings.model_copy(update={"scales": _shorten_scales(settings)}))  # traces
    began = _Seconds.now()
    try:
        render(content, [(style, 1.0)], settings, callback=watch)
    except _ReachedError:
        ours_s, step = reached[0]
        image = step.image()
        again = tf.constant(canvas.pad(image, exact.network.stride)[np.newaxis].astype(np.float32))
        loss = float(exact.evaluate(again, contents_, grams, weights)[0][0])
        usual_rounded = float(
            exact.evaluate(tf.constant(image[np.newaxis], tf.float32), contents_, grams, weights)[0][0]
        )
        Image.fromarray(image).save(output / f"ours_{network}_{size}.png")
        print(
            f"ours ({settings.precision}): {ours_s}, iteration {step.iteration} of the last scale, loss "
            f"{loss:.5g} in float32 and whole pixels (the usual way's {usual_rounded:.5g}); "
            f"{ours_s.wall / usual_s.wall:.3f} of the usual way's time, "
            f"{ours_s.processor / usual_s.processor:.3f} of its processor time"
        )
    else:
        print(f"ours: did not reach the loss {target:.5g}")


def _shorten_scales(settings: Settings) -> tuple[Scale, ...]:
    return tuple(scale.model_copy(update={"iterations": 1}) for scale in settings.scales)


def _run_adam(
    exact: Objective,
    start: tf.Tensor,
    contents_: Sequence[tf.Tensor],
    grams: Sequence[tf.Tensor],
    weights: tf.Tensor,
    steps: int,
    learning_rate: float,
) -> tuple[_Seconds, float, np.ndarray]:
    """Seconds, final loss and image of the usual way."""
    image = tf.Variable(start / 255)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-7)
    optimizer.build([image])

    @tf.function
    def step() -> tf.Tensor:
        found, gradient = exact.evaluate(image * 255, contents_, grams, weights)
        optimizer.apply([gradient * 255], [image])
        image.assign(tf.clip_by_value(image, 0, 1))
        return found[0]

    step()  # traces
    image.assign(start / 255)
    began = _Seconds.now()
    for _ in range(steps):
        step()
    seconds = began.since()
    loss = float(exact.evaluate(image * 255, contents_, grams, weights)[0][0])
    return seconds, loss, np.rint(image[0].numpy() * 255).astype(np.uint8)


def measure_batch(size: int) -> None:
    """Prints images per minute of 16 units, with one worker process and with two."""
    styles = catalog.open_catalog("builtin")[:4]
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(photographs.write(str(Path(folder, "photographs"))))
            Image.open(packaged.find("skimage", "data/coffee.png")).save(photos / "coffee.png")
            report = batch.render_batch(
                contents.list_files(str(photos)),
                styles,
                str(Path(folder, "out")),
                batch.Request(size=size),
                batch.make_local_pipelines(pipeline_options.build_process_options(workers)),
            )
        rate = 60 * report.rendered / report.seconds
        print(f"{workers} worker(s): {report.rendered} of {size} px in {report.seconds:.1f} s, {rate:.1f} a minute")


def measure_optimizers(height: int, width: int) -> None:
    """Prints what an optimizer itself costs a call, on a quadratic that costs next to nothing."""
    random = np.random.default_rng(0)
    shape = (1, height, width, 3)
    slopes, middle = (random.uniform(low, high, shape).astype(np.float32) for low, high in ((0.1, 50), (-20, 275)))
    start = random.uniform(0, 255, shape).astype(np.float32)
    calls = 0

    def evaluate_quadratic(image: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        gradient = slopes * (image - middle)
        return 0.5 * float(np.vdot(gradient, image - middle)), gradient

    def run_bounded() -> None:
        def evaluate_flat(unknowns: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = evaluate_quadratic(unknowns.astype(np.float32).reshape(shape))
            return loss, gradient.astype(np.float64).ravel()

        scipy.optimize.minimize(
            evaluate_flat,
            start.astype(np.float64).ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=scipy.optimize.Bounds(np.zeros(start.size), np.full(start.size, 255.0)),
            options={"maxcor": 10, "maxiter": 40, "ftol": 0.0, "gtol": 0.0},
        )

    ways: dict[str, Callable[[], object]] = {
        "L-BFGS-B with its bounds": run_bounded,
        "ours, free unknowns": lambda: optimizers.run_lbfgs(evaluate_quadratic, start, 40, lambda _: False),
    }
    for name, way in ways.items():
        calls, began = 0, time.perf_counter()
        way()
        print(f"{name}: {(time.perf_counter() - began) / calls:.3f} s a call, {calls} calls")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    side_by_side = verbs.add_parser("speed")
    side_by_side.add_argument("--network", choices=tuple(networks.RECIPES), default="efficientnet_lite0")
    side_by_side.add_argument("--size", type=int, default=512)
    side_by_side.add_argument("--steps", type=int, default=1000)
    side_by_side.add_argument("--learning-rates", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    side_by_side.add_argument("--output", type=Path, default=Path("output/benchmarks"))
    units = verbs.add_parser("batch")
    units.add_argument("--size", type=int, default=256)
    verbs.add_parser("optimizers")
    options = parser.parse_args()
    if options.verb == "speed":
        options.output.mkdir(parents=True, exist_ok=True)
        compare_speed(options.network, options.size, options.steps, options.learning_rates, options.output)
    elif options.verb == "batch":
        measure_batch(options.size)
    else:
        measure_optimizers(384, 512)


if __name__ == "__main__":
    main()
