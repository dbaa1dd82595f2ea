"""What starts in a Beam container: installs the code that was staged with --setup_file, then becomes the worker.

The worker sees the libraries of this environment, but not the checkout that is installed into it for development.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import grpc
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
)
from google.protobuf import json_format

INSTALLED = "installed"
_PACKAGE = "workflow.tar.gz"  # Beam's name for it


def start(arguments: argparse.Namespace, folder: Path) -> None:
    """Replaces this process by a worker whose code lies in `folder`/installed/<number>."""
    worker = [("worker_id", arguments.id)]
    with grpc.insecure_channel(arguments.provision_endpoint) as channel:
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = provision.GetProvisionInfo(request, metadata=worker).info
    number = str(os.getpid())
    installed = folder / INSTALLED / number
    package = folder / number / "atelier_tfx-0.1.0.tar.gz"  # installers ask for this form
    package.parent.mkdir()
    package.write_bytes(_staged(arguments.artifact_endpoint, info, worker))
    install = ["uv", "pip", "install", "--offline", "--no-deps", "--no-build-isolation", f"--python={sys.executable}"]
    subprocess.run([sys.executable, "-m", *install, f"--target={installed}", str(package)], check=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(installed), sysconfig.get_path("purelib")]),
        "WORKER_ID": arguments.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{arguments.logging_endpoint}"',
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{arguments.control_endpoint}"',
    }
    # Without `site`, and so without the .pth file that leads to the checkout.
    command = [sys.executable, "-S", "-m", "apache_beam.runners.worker.sdk_worker_main"]
    os.execve(sys.executable, command, environment)  # noqa: S606  # in this process's place, which the pool ends


def _staged(endpoint: str, info: beam_provision_api_pb2.ProvisionInfo, worker: list[tuple[str, str]]) -> bytes:
    with grpc.insecure_channel(endpoint) as channel:
        retrieval = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        request = beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=info.dependencies)
        for artifact in retrieval.ResolveArtifacts(request, metadata=worker).replacements:
            if _PACKAGE.encode() in artifact.role_payload:
                chunks = retrieval.GetArtifact(
                    beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact), metadata=worker
                )
                return b"".join(chunk.data for chunk in chunks)
    raise FileNotFoundError(f"{_PACKAGE} is not among what was staged")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("id", "logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint"):
        parser.add_argument(f"--{option}", required=True)
    start(parser.parse_args(), Path.cwd())
