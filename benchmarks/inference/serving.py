"""Requests a second and latency of `atelier serve` beside the SavedModel's own signature in this process.

One image a request; requests are built beforehand, as a JPEG photograph for `serving_bytes` and as pixels for
`serving_pixels`. Server and clients share the machine's cores; in this process there are no clients to pay for.
"""

import contextlib
import functools
import io
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_service_pb2_grpc

from atelier.files import packaged
from benchmarks import photos
from benchmarks.measure import Result, Target, at_least, at_most
from benchmarks.processes import ATELIER, ROOT
from benchmarks.turns import take_turns

CLIENTS = (1, 4, 16)
SECONDS = 1.5
"""Of load, for each side in each round."""
START_SECONDS = 180
"""In which the server must answer."""
_PHOTOGRAPH = ("skimage", "data/coffee.png")
"""600 x 400 pixels."""

_Call = Callable[[], object]


@dataclass(frozen=True)
class _Load:
    """What callers met who asked without a pause."""

    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds, as `p99`."""
    p99: float


def run() -> Iterator[Result]:
    """By signature, number of clients, and with and without batching."""
    pushed = photos.run().pushed
    inputs = _build_inputs()
    model = tf.saved_model.load(str(pushed))
    batching = ("--batching-parameters-file", str(ROOT / "serving" / "deploy" / "batching_parameters.txt"))
    with _start_server(pushed.parent) as plain, _start_server(pushed.parent, *batching) as batched:
        for signature, value in inputs.items():
            here = functools.partial(_build_local_call, model.signatures[signature], value)
            there = {
                "no batching": functools.partial(_build_remote_call, plain, signature, value),
                "batching": functools.partial(_build_remote_call, batched, signature, value),
            }
            for clients in CLIENTS:
                yield from _compare(signature, clients, here, there)


def _compare(
    signature: str, clients: int, here: Callable[[], _Call], there: Mapping[str, Callable[[], _Call]]
) -> Iterator[Result]:
    sides = {name: functools.partial(_measure_load, opened, clients) for name, opened in there.items()}
    sides["here"] = functools.partial(_measure_load, here, clients)
    sides["here, 1 thread"] = functools.partial(_measure_load, here, 1)
    found = take_turns(sides)
    rate, p50, p99 = (
        {name: statistics.median(getattr(load, figure) for load in loads) for name, loads in found.items()}
        for figure in ("rate", "p50", "p99")
    )
    # One thread's graph uses all cores already: more of them may only get into each other's way.
    fastest = max(rate["here"], rate["here, 1 thread"])
    for name in there:
        case = f"{signature}, {clients} {'client' if clients == 1 else 'clients'}, {name}"
        rate_target, p50_target = _find_targets(signature, clients, name)
        yield Result("serving", case, rate[name], fastest, "requests/s", rate_target)
        yield Result("serving", f"{case}, p50", p50[name], p50["here"], "ms", p50_target)
        yield Result("serving", f"{case}, p99", p99[name], p99["here"], "ms", None)


def _find_targets(signature: str, clients: int, batching: str) -> tuple[Target | None, Target | None]:
    """Of requests per second, and of p50: for encoded images and the server as it starts by default."""
    if signature != "serving_bytes" or batching != "no batching":
        return None, None
    return at_least(0.9) if clients == max(CLIENTS) else None, at_most(1.3) if clients == 1 else None


def _measure_load(opened: Callable[[], _Call], clients: int) -> _Load:
    """Calls from as many threads as `clients`, each with a call of its own from `opened`."""
    calls = [opened() for _ in range(clients)]
    for call in calls:
        call()  # connects
    seconds: list[float] = []  # appending is atomic
    began = time.perf_counter()

    def ask(call: _Call) -> None:
        while (start := time.perf_counter()) < began + SECONDS:
            call()
            seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return _Load(len(seconds) / (time.perf_counter() - began), float(p50), float(p99))


def _build_inputs() -> dict[str, tuple[str, np.ndarray]]:
    """The input's name and one image, by signature."""
    photograph = Image.open(packaged.find(*_PHOTOGRAPH)).convert("RGB")
    jpeg = io.BytesIO()
    photograph.save(jpeg, "JPEG", quality=90)
    pixels = np.asarray(photograph.resize((photos.SIZE, photos.SIZE)))
    return {
        "serving_bytes": ("image_bytes", np.array([jpeg.getvalue()], object)),
        "serving_pixels": ("pixels", pixels[np.newaxis]),
    }


def _build_local_call(signature: Callable[..., Mapping[str, tf.Tensor]], value: tuple[str, np.ndarray]) -> _Call:
    name, array = value
    return lambda: {key: tensor.numpy() for key, tensor in signature(**{name: tf.constant(array)}).items()}


def _build_remote_call(target: str, signature: str, value: tuple[str, np.ndarray]) -> _Call:
    """A call over a connection of its own."""
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="default", signature_name=signature))
    request.inputs[value[0]].CopyFrom(tf.make_tensor_proto(value[1]))
    channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return lambda: stub.Predict(request, timeout=60)


@contextlib.contextmanager
def _start_server(base: Path, *arguments: str) -> Iterator[str]:
    """`atelier serve` on a free port of the loopback; yields host:port."""
    command = [sys.executable, *ATELIER, "serve", "--port", "0", "--models", str(base), *arguments]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
        try:
            yield _read_address(process, log)
        finally:
            process.terminate()
            process.wait(60)


def _read_address(process: subprocess.Popen, log: Path) -> str:
    """Where the server says that it answers."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if said := re.search(r" at (127\.0\.0\.1:\d+), ", log.read_text(encoding="utf-8")):
            return said[1]
        time.sleep(0.1)
    raise RuntimeError(f"atelier serve does not answer: {log.read_text(encoding='utf-8')[-2000:]}")
