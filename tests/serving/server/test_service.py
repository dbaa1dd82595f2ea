"""What the services do between the network and a model, without either."""

import threading
import time
from pathlib import Path
from typing import cast

import grpc
import numpy as np
import pytest

from serving.server.batching import BatchScheduler
from serving.server.model_server_config import BatchingParameters
from serving.server.status import StatusError
from tests.deferred import deferred_imports

with deferred_imports():
    from serving.server import calls
    from serving.server.models import Models
    from serving.server.service import PredictionService
    from serving.server.version_table import Model, State, Version


def test_a_deadline_in_mid_run_lets_the_run_end_before_the_version_is_given_back():
    began, ended = threading.Event(), []

    class Slow:
        def run(self, signature, inputs):
            began.set()
            time.sleep(0.3)
            ended.append(signature)
            return inputs

    class Context:
        def time_remaining(self):
            return 0.1

    batches = BatchScheduler(BatchingParameters(num_batch_threads=1, batch_timeout_micros=0))
    late = PredictionService(cast("Models", None), batches, max_pixels=1)
    version = Version("tiny", 1, Path(), State.AVAILABLE, model=cast("Model", Slow()))
    call = calls.CheckedRequest("slow", {"pixels": np.zeros((1, 2))}, 1, ("pixels",))
    with pytest.raises(StatusError) as caught:
        late._run(version, call, cast("grpc.ServicerContext", Context()))
    assert (caught.value.code, began.is_set(), ended) == (grpc.StatusCode.DEADLINE_EXCEEDED, True, ["slow"])
    batches.close()
