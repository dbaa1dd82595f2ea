"""The hosts that are reached without a proxy: the user's, and this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from atelier.processes import loopback

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"no_proxy": "localhost,127.0.0.1,::1"}),
        ({"no_proxy": ""}, {"no_proxy": "localhost,127.0.0.1,::1"}),
        ({"no_proxy": "gcr.io, localhost"}, {"no_proxy": "gcr.io,localhost,127.0.0.1,::1"}),
        # `*` is every host, though not to gRPC.
        ({"no_proxy": "*"}, {"no_proxy": "*", "no_grpc_proxy": "*,localhost,127.0.0.1,::1"}),
        # The lower-case name hides the other one, which held for the user's hosts.
        (
            {"NO_PROXY": "gcr.io"},
            {"NO_PROXY": "gcr.io,localhost,127.0.0.1,::1", "no_proxy": "gcr.io,localhost,127.0.0.1,::1"},
        ),
        (
            {"NO_PROXY": "gcr.io", "no_proxy": "packages.example"},
            {"NO_PROXY": "gcr.io,localhost,127.0.0.1,::1", "no_proxy": "packages.example,localhost,127.0.0.1,::1"},
        ),
        # gRPC reads it instead of no_proxy.
        (
            {"no_grpc_proxy": "gcr.io"},
            {"no_grpc_proxy": "gcr.io,localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1"},
        ),
    ],
)
def test_this_machine_is_added_to_the_users_hosts(before, after):
    environment = dict(before)
    loopback.bypass_proxies(environment)
    assert environment == after
    loopback.bypass_proxies(environment)
    assert environment == after  # a child of a child adds nothing


ECHO = """
import os, sys
from concurrent import futures
os.environ[sys.argv[1]] = "http://127.0.0.1:9"
if sys.argv[2]:
    os.environ["no_grpc_proxy"] = sys.argv[2]
import grpc
from atelier.processes import loopback
loopback.bypass_proxies()
server = grpc.server(futures.ThreadPoolExecutor(1))
port = server.add_insecure_port("[::]:0")
server.start()
for host in ("localhost", "127.0.0.1", "[::1]"):
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
server.stop(None)
"""


@pytest.mark.parametrize(("proxy", "no_grpc_proxy"), [("http_proxy", ""), ("https_proxy", "*"), ("grpc_proxy", "a.b")])
def test_grpc_reaches_this_machine_past_every_proxy(proxy, no_grpc_proxy):
    command = [sys.executable, "-c", ECHO, proxy, no_grpc_proxy]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
