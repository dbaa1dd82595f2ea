"""A soak of `atelier serve`: load, malformed requests, versions that move, and a server that is killed.

    python -m tests.serving.soak --minutes 10

Clients ask through the A/B split, and check every answer against the version that it names. One request in ten is
malformed, of one kind after the other, and must be answered in TensorFlow Serving's words. Aliases move on and on. In
the middle the server is killed with SIGKILL, and started again, as an orchestrator does.
"""

import argparse
import itertools
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import grpc

from atelier.errors import AtelierError
from serving.ab.answer_log import read_log
from serving.ab.split_client import SplitClient
from serving.client import ServedModel, ServingError
from serving.registry.aliases import Registry
from serving.registry.model_servers import connect_servers
from tests.serving import tiny_model
from tests.serving.door import Door
from tests.serving.malformed import MALFORMED, make_image

CLIENTS = 16
GAINS = {1: 1.0, 2: 0.7}
"""Version 2 calls an image bright from 182 of 255 on, version 1 from 128 on."""
IMAGES = {value: make_image(value) for value in range(0, 256, 5)}
MALFORMED_SHARE = 0.1
DEADLINE_S = 120.0
"""A busy machine may take long: what counts is that no request is lost."""
START_S = 180.0
"""In which the server must answer."""

_BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""


@dataclass
class Findings:
    """What a soak met.

    Attributes:
      seconds: that it took.
      milliseconds: of each good answer.
      malformed: how many malformed requests were answered as they must be, by kind.
      faults: what was wrong; empty in a good soak.
      lost: good requests that the outage cost, by gRPC code.
      moves: changes of an alias that succeeded.
      failed_moves: those that the outage stopped.
      outage: seconds from the kill until the first good answer.
      memory: of each life of the server, its seconds and its resident memory in MiB, once a second.
    """

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    malformed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    failed_moves: list[str] = field(default_factory=list)
    outage: float = 0.0
    memory: list[list[float]] = field(default_factory=list)

    def growth(self) -> list[float]:
        """Returns for each life how much larger the memory is in its last fifth than in its second, as a ratio - 1."""
        found = []
        for samples in self.memory:
            fifth = len(samples) // 5
            if fifth:
                found.append(statistics.median(samples[-fifth:]) / statistics.median(samples[fifth : 2 * fifth]) - 1)
        return found


class Server:
    """`atelier serve` in a process of its own, on one port through all its lives."""

    def __init__(self, folder: Path) -> None:
        """Starts it on the versions in `folder`/serving_model."""
        self._folder = folder
        (folder / "batching.txt").write_text(_BATCHING)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        config = self._folder / "models.config"
        models = ("--model-config-file", config) if config.exists() else ("--models", self._folder / "serving_model")
        limits = ("--max-message-mb", 4, "--max-pixels", 10_000_000)
        command = [sys.executable, "-m", "pipeline.cli", "serve", *models, "--port", self.port, *limits]
        command += ["--batching-parameters-file", self._folder / "batching.txt"]
        with (self._folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        with grpc.insecure_channel(self.target) as channel:
            try:
                grpc.channel_ready_future(channel).result(START_S)
            except grpc.FutureTimeoutError:
                self.stop()
                raise RuntimeError(f"no server: {(self._folder / 'server.log').read_text()[-2000:]}") from None

    def stop(self, kind: int = signal.SIGTERM) -> None:
        """Ends it."""
        self.process.send_signal(kind)
        self.process.wait(60)

    def memory(self) -> float:
        """Returns its resident memory in MiB; 0 where it has ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")] or ["0"]
        return int(kilobytes) / 1024


def soak(folder: Path, *, seconds: float, move_every: float = 30.0) -> Findings:
    """Runs one.

    Args:
      folder: an empty one, for models, logs and the log of the changes.
      seconds: of load; the server is killed in their middle.
      move_every: seconds between two changes of an alias.
    """
    models = folder / "serving_model"
    models.mkdir()
    for version, gain in GAINS.items():
        tiny_model.write(models, version, gain, store_size=512)
    (folder / "shares.yaml").write_text("salt: soak\ncanary: 0.5\n")
    server = Server(folder)
    try:
        with connect_servers([server.target]) as servers:
            registry = Registry(models, folder / "models.config", servers, wait=DEADLINE_S)
            registry.promote(1)
            return _Run(folder, server, registry, move_every).run(seconds)
    finally:
        if server.process.poll() is None:
            server.stop()


class _Run:
    def __init__(self, folder: Path, server: Server, registry: Registry, move_every: float) -> None:
        self.folder, self.server, self.registry, self.move_every = folder, server, registry, move_every
        self.found = Findings()
        self.down = threading.Event()
        self.stop = threading.Event()
        self.kinds = itertools.cycle(MALFORMED)
        self.asked = [0] * CLIENTS

    def run(self, seconds: float) -> Findings:
        log = self.folder / "answers.jsonl"
        began = time.monotonic()
        with (
            SplitClient(
                self.server.target,
                ServedModel("default"),
                shares=self.folder / "shares.yaml",
                log=log,
                deadline=DEADLINE_S,
            ) as client,
            grpc.insecure_channel(self.server.target, [("grpc.max_send_message_length", -1)]) as channel,
            ThreadPoolExecutor(CLIENTS + 2) as threads,
        ):
            door = Door(channel)
            work = [threads.submit(self._ask_on, number, client, door) for number in range(CLIENTS)]
            work += [threads.submit(self._move_on), threads.submit(self._measure_memory)]
            try:
                self.stop.wait(seconds / 2)
                while len(self.found.malformed) < len(MALFORMED) or self.found.moves < 2:
                    self.stop.wait(0.1)  # on a busy machine, or in a short soak
                self._kill()
                self.stop.wait(seconds / 2)
            finally:
                self.stop.set()
            for each in work:
                each.result()
        self.found.seconds = time.monotonic() - began
        self._check_logs(log)
        return self.found

    def _ask_on(self, number: int, client: SplitClient, door: Door) -> None:
        drawn = random.Random(number)
        while not self.stop.is_set():
            outage = self.down.is_set()
            try:
                if drawn.random() < MALFORMED_SHARE:
                    self._send_malformed(next(self.kinds), door)
                else:
                    self._send_good(drawn, client, number)
            except (ServingError, grpc.RpcError) as error:
                code = error.code if isinstance(error, ServingError) else error.code()
                name = code.name if code else "none"
                if name == "UNAVAILABLE" and (outage or self.down.is_set()):
                    self.found.lost[name] += 1
                    time.sleep(0.1)
                else:
                    self.found.faults.append(f"{name}: {error}")

    def _send_good(self, drawn: random.Random, client: SplitClient, number: int) -> None:
        value = drawn.choice(sorted(IMAGES))
        began = time.perf_counter()
        prediction = client.predict(IMAGES[value], key=str(drawn.random())).prediction
        self.found.milliseconds.append(1e3 * (time.perf_counter() - began))
        bright = GAINS[prediction.version] * value / 255
        expected = ("bright", bright) if bright > 0.5 else ("dark", 1 - bright)
        if prediction.label != expected[0] or abs(prediction.probability - expected[1]) > 1e-3:
            self.found.faults.append(f"version {prediction.version} calls {value} {prediction}, not {expected}")
        self.asked[number] += 1

    def _send_malformed(self, kind: str, door: Door) -> None:
        signature, values, code, words = MALFORMED[kind]
        inputs = {name: value() if callable(value) else value for name, value in values.items()}
        try:
            door.predict(signature, inputs, timeout=DEADLINE_S, name="default")
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise
            if error.code() is not code or words not in (error.details() or ""):
                self.found.faults.append(f"{kind}: {error.code().name}: {error.details()}")
            self.found.malformed[kind] += 1
        else:
            self.found.faults.append(f"{kind}: it was answered")

    def _move_on(self) -> None:
        drawn = random.Random(0)
        while not self.stop.is_set():
            outage = self.down.is_set()
            try:
                self._move(drawn)
                self.found.moves += 1
            except AtelierError as error:
                told = self.found.failed_moves if outage or self.down.is_set() else self.found.faults
                told.append(str(error))
                self.stop.wait(1)
            else:
                self.stop.wait(self.move_every)

    def _move(self, drawn: random.Random) -> None:
        """A change that leads elsewhere, whichever the last one was, and whether it was completed or taken back."""
        self.registry.settle()
        aliases = self.registry.read_aliases()
        if aliases["canary"] != aliases["stable"]:
            self.registry.roll_back(alias="canary")
        elif aliases["stable"] == 2:
            self.registry.roll_back()
        else:
            self.registry.promote(2, alias=drawn.choice(["canary", "stable"]))

    def _kill(self) -> None:
        self.down.set()
        began = time.monotonic()
        self.server.stop(signal.SIGKILL)
        self.server.start()
        before = sum(self.asked)
        while sum(self.asked) == before:
            time.sleep(0.01)
        self.found.outage = time.monotonic() - began
        # Clients that found nobody wait longer and longer until they connect again, up to gRPC's own limit.
        self.stop.wait(5)
        self.down.clear()

    def _measure_memory(self) -> None:
        process = None
        while not self.stop.wait(1):
            memory = self.server.memory()
            if self.server.process is not process and memory:
                process = self.server.process
                self.found.memory.append([])
            if memory and self.found.memory:
                self.found.memory[-1].append(memory)

    def _check_logs(self, log: Path) -> None:
        answers, _ = read_log(log)
        good = [answer for answer in answers if not answer.error]
        if len(good) != sum(self.asked):
            self.found.faults.append(f"{sum(self.asked)} answers, but {len(good)} in the log")
        changes = self.registry.history.list_changes()  # raises where a record is missing
        if any(not change.outcome for change in changes):
            self.found.faults.append("a change has no outcome")
        if silent := [number for number, asked in enumerate(self.asked) if not asked]:
            self.found.faults.append(f"clients without an answer: {silent}")


def describe(found: Findings) -> str:
    """Returns a table in Markdown."""
    times = statistics.quantiles(found.milliseconds, n=100)
    lives = [f"{statistics.median(each[-len(each) // 5 :]):.0f} MiB" for each in found.memory if each]
    rows = {
        "load": f"{found.seconds:.0f} s, {CLIENTS} clients",
        "answers, all checked": f"{len(found.milliseconds)}, {len(found.milliseconds) / found.seconds:.0f} a second",
        "latency": f"p50 {times[49]:.1f} ms, p99 {times[98]:.1f} ms",
        "malformed requests, each answered with its code": f"{found.malformed.total()} of {len(found.malformed)} kinds",
        "aliases moved": str(found.moves),
        "server killed": f"once; first answer after {found.outage:.1f} s",
        "requests that the outage cost": ", ".join(f"{n} {code}" for code, n in found.lost.items()) or "none",
        "memory of each life": ", ".join(lives),
        "its growth": ", ".join(f"{100 * ratio:+.1f} %" for ratio in found.growth()),
        "wrong answers, other errors": str(len(found.faults)),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main() -> None:
    """Prints the table; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--move-every", metavar="SECONDS", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), seconds=60 * options.minutes, move_every=options.move_every)
    click.echo(describe(found))
    for fault in [*found.faults[:20], *(f"stopped by the outage: {each}" for each in found.failed_moves)]:
        click.echo(fault)
    sys.exit(bool(found.faults) or any(ratio > 0.1 for ratio in found.growth()))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
