"""Beam's local runner with what it lacks: worker processes that end with it, and a run that ends with its workers.

Beam's own waits for ever for a worker process that has died, at its start or later, and leaves its workers behind
where it is ended itself.

Needed with Beam 2.77. It can go when a pipeline on Beam's FnApiRunner with `--direct_running_mode=multi_processing`
raises an error after `kill -9` of one of its workers, and no worker is left after `kill -9` of the pipeline.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from apache_beam.options import pipeline_options
from apache_beam.pipeline import Pipeline
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import fn_api_runner
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.runner import PipelineResult
from google.protobuf import json_format, text_format

from atelier.errors import BeamError
from atelier.processes import loopback
from compat import child_processes

UPSTREAM = {"apache-beam": "2.77.0"}

_DIED = "a Beam worker process ended early"
_GRACE_S = 5.0
"""For a worker without work to end by itself."""
_START = (
    "import sys\n"
    "from compat import child_processes\n"
    "child_processes.start_worker(int(sys.argv[1]))\n"
    "from apache_beam.runners.worker import sdk_worker_main\n"
    "sdk_worker_main.main(sys.argv)\n"
)


class LocalRunner(fn_api_runner.FnApiRunner):
    """Runs a pipeline on this machine, in as many worker processes as the options name."""

    def run_pipeline(self, pipeline: Pipeline, options: pipeline_options.PipelineOptions) -> PipelineResult:
        """Runs a pipeline to its end.

        Raises:
          BeamError: a worker process has died; the message says how.
        """
        loopback.bypass_proxies()
        try:
            return super().run_pipeline(pipeline, options)
        except RuntimeError as error:
            if str(error).startswith(_DIED):
                raise BeamError(str(error)) from None
            raise


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class Worker(worker_handlers.GrpcWorkerHandler):
    """One worker process; Beam makes this class for each in place of its own."""

    def __init__(self, _command: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        """Takes what Beam gives to its own class."""
        super().__init__(state, provision_info, grpc_server)
        self._thread = threading.Thread(target=self._run, name="run_worker")
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        self._lock = threading.Lock()
        self._closing = False
        self._failure = ""
        self._push = self.control_conn.push
        self.control_conn.push = self._push_or_fail

    def start_worker(self) -> None:
        """Starts the process, from a thread that lives as long: the kernel ends the child with its parent's thread."""
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Lets the process end; one that works on is ended: what it does is of no use any more."""
        self._closing = True
        grace = 0.0 if sys.exc_info()[0] else _GRACE_S
        with self._kill_after(grace):
            super().close()

    def stop_worker(self) -> None:
        """Waits for the end of the process."""
        self._thread.join()

    @contextlib.contextmanager
    def _kill_after(self, seconds: float) -> Iterator[None]:
        killer = threading.Timer(seconds, self._kill)
        killer.daemon = True
        killer.start()
        try:
            yield
        finally:
            killer.cancel()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()

    def _run(self) -> None:
        try:
            self._process = self._start()
        except OSError as error:
            self._fail(f"{_DIED}: it cannot be started: {error.strerror}")
            return
        finally:
            self._started.set()
        last: deque[str] = deque(maxlen=1)
        reader = threading.Thread(target=self._pass_on, args=(self._process, last), daemon=True)
        reader.start()
        code = self._process.wait()
        reader.join(1.0)  # a process that it has started may hold the stream open
        if not self._closing:
            self._fail(f"{_DIED}, {child_processes.describe_end(code)}" + (f": {last[0]}" if last else ""))

    def _start(self) -> "subprocess.Popen[bytes]":
        info = self.provision_info.provision_info
        environment = {
            **os.environ,
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(self.control_api_service_descriptor()),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(self.logging_api_service_descriptor()),
            "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
            "WORKER_ID": self.worker_id,
        }
        command = [sys.executable, "-c", _START, str(os.getpid())]
        with worker_handlers.SUBPROCESS_LOCK:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def _pass_on(self, process: "subprocess.Popen[bytes]", last: "deque[str]") -> None:
        """Writes what the process says to standard error, which leads to the log, and keeps its last words."""
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                os.write(2, line)
                if text := line.decode(errors="replace").strip():
                    last.append(text)

    def _push_or_fail(self, request: Any) -> Any:
        future = self._push(request)
        if future is not None:
            with self._lock:
                if self._failure:
                    future.set(_build_error_response(request.instruction_id, self._failure))
        return future

    def _fail(self, reason: str) -> None:
        """Answers in the worker's place all that was and will be asked of it: Beam waits for answers only."""
        with self._lock:
            self._failure = reason
            for number, future in list(self.control_conn._futures_by_id.items()):
                future.set(_build_error_response(number, reason))


def _build_error_response(number: str, reason: str) -> beam_fn_api_pb2.InstructionResponse:
    return beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=reason)
