"""The compose file for a shared metadata database: the facts that matter, and that its words fit together."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline.metadata import database_url

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "serving" / "deploy" / "metadata" / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]


@pytest.fixture(params=["mariadb", "postgresql"])
def service(request):
    return request.param, SERVICES[request.param]


def test_each_is_started_by_its_own_profile(service):
    name, settings = service
    assert settings["profiles"] == [name]
    assert set(SERVICES) == {"mariadb", "postgresql"}


def test_the_images_are_pinned_to_the_release(service):
    _, settings = service
    assert re.fullmatch(r"(mariadb:\d+\.\d+\.\d+|postgres:\d+\.\d+)", settings["image"])


def test_only_this_machine_reaches_them(service):
    name, settings = service
    port = {"mariadb": 3306, "postgresql": 5432}[name]
    assert settings["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_data_outlives_the_container(service):
    name, settings = service
    folder = {"mariadb": "/var/lib/mysql", "postgresql": "/var/lib/postgresql/data"}[name]
    assert settings["volumes"] == [f"{name}:{folder}"]
    assert name in COMPOSE["volumes"]


def test_the_password_comes_from_the_environment_and_must_be_there(service):
    _, settings = service
    passwords = {key: value for key, value in settings["environment"].items() if key.endswith("PASSWORD")}
    passwords.pop("MARIADB_RANDOM_ROOT_PASSWORD", None)
    (value,) = passwords.values()
    assert value.startswith("${ATELIER_METADATA_PASSWORD:?")


def test_health_is_checked_and_resources_are_limited(service):
    _, settings = service
    assert settings["healthcheck"]["test"][0] == "CMD"
    assert settings["healthcheck"]["test"][1] in ("healthcheck.sh", "pg_isready")
    assert settings["cpus"] > 0
    assert settings["mem_limit"]


def test_the_url_in_its_head_is_one():
    (url,) = re.findall(r"metadata\.connection=(\S+)", FILE.read_text())
    server = database_url.parse_url(url)
    environment = SERVICES["postgresql"]["environment"]
    assert (server.kind, server.port) == ("postgresql", 5432)
    assert (server.user, server.database) == (environment["POSTGRES_USER"], environment["POSTGRES_DB"])
