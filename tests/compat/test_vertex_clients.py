import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = "tfx.extensions.google_cloud_ai_platform.runner"
SDK = "google.cloud.aiplatform"


def read_top_imports(module: str) -> set[str]:
    """The modules that a module of TFX imports when it is imported itself, read from its source."""
    path = Path(str(importlib.metadata.distribution("tfx").locate_file(f"{module.replace('.', '/')}.py")))
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{name.name}" for node in found for name in node.names}


def test_tfx_still_imports_the_sdk_with_its_runner_of_jobs() -> None:
    """Where this fails, upstream has changed it: delete `compat/vertex_clients.py`."""
    package = RUNNER.rpartition(".")[0]
    clients = {f"{package}.prediction_clients", f"{package}.training_clients"}
    assert clients <= read_top_imports(RUNNER)
    for client in clients:
        assert any(name.startswith(SDK) for name in read_top_imports(client))


@pytest.mark.slow  # a fresh import of TFX
def test_the_sdk_is_loaded_when_a_client_is_asked_for() -> None:
    code = f"""
import inspect, sys
from compat import vertex_clients
vertex_clients.load_at_first_use()
from {RUNNER} import prediction_clients, training_clients
inspect.getmodule(sys._getframe())
print({SDK!r} in sys.modules, prediction_clients.__name__)
print(training_clients.get_job_client.__name__, {SDK!r} in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.splitlines() == [
        "False tfx.extensions.google_cloud_ai_platform.prediction_clients",
        "get_job_client True",
    ]
