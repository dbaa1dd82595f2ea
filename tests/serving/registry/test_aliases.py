"""Promote and rollback against servers that keep ModelServer's rules for labels, killed at every step, too."""

import contextlib
import json
import subprocess
import sys

import pytest

from atelier.files.change_log import DONE, FAILED, UNDONE
from serving.client import ServingError
from serving.registry import models_config
from serving.registry.aliases import Registry
from serving.registry.errors import RegistryError
from serving.registry.history import History
from serving.registry.model_servers import connect_servers
from serving.server.model_server_config import ModelServerConfigError
from tests.serving.registry.dying import KilledError, dying_at
from tests.serving.registry.label_server import LabelServer


@pytest.fixture
def models(tmp_path):
    for version in (1, 2, 3):
        folder = tmp_path / "models" / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"made up")
    return tmp_path / "models"


@contextlib.contextmanager
def registry_of(models, *fakes, wait=5.0):
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(fake.serving()) for fake in fakes]
        servers = stack.enter_context(connect_servers(targets))
        yield Registry(models, models.parent / "models.config", servers, wait=wait)


def test_the_label_moves_once_every_server_has_the_version(models):
    fakes = LabelServer(1), LabelServer(1)
    with registry_of(models, *fakes) as registry:
        registry.promote(1)
        change = registry.promote(2, why="better", numbers={"accuracy": [0.9, 0.95]})
    both = {"canary": 2, "stable": 2}
    for fake in fakes:
        assert fake.reloads[-2:] == [([1, 2], {"canary": 1, "stable": 1}), ([1, 2], both)]
    assert models_config.read(registry.config_file).read_aliases("default") == both
    assert (change.outcome, change.intent.from_version, change.intent.to_version) == (DONE, 1, 2)
    assert (change.intent.why, change.intent.numbers) == ("better", {"accuracy": [0.9, 0.95]})
    assert "@" in change.who
    assert change.when.endswith("+00:00")


def test_a_canary_leaves_stable_and_goes_back_to_it(models):
    fake = LabelServer(1)
    with registry_of(models, fake) as registry:
        with pytest.raises(RegistryError, match="no stable version"):
            registry.promote(2, alias="canary")
        registry.promote(1)
        registry.promote(2, alias="canary")
        assert fake.labels == {"stable": 1, "canary": 2}
        registry.promote(3)  # a canary of its own stays where it is
        assert fake.labels == {"stable": 3, "canary": 2}
        registry.roll_back(alias="canary")
        assert fake.labels == {"stable": 3, "canary": 3}


def test_rollbacks_take_back_promotions_one_by_one(models):
    fake = LabelServer(1)
    with registry_of(models, fake) as registry:
        for version in (1, 2, 3):
            registry.promote(version)
        assert fake.versions.keys() == {2, 3}  # the version before stays loaded
        assert [registry.roll_back().intent.to_version for _ in range(2)] == [2, 1]
        with pytest.raises(RegistryError, match=r"no version was stable before 1.*--to VERSION"):
            registry.roll_back()
        assert registry.roll_back(3).intent.to_version == 3
        assert fake.labels == {"stable": 3, "canary": 3}
        with pytest.raises(RegistryError, match="already points at version 3"):
            registry.promote(3)


def test_a_version_that_is_not_there_changes_nothing(models):
    fake = LabelServer(1)
    with registry_of(models, fake) as registry, pytest.raises(RegistryError, match="no version 9; there are 1, 2, 3"):
        registry.promote(9)
    assert not registry.config_file.exists()
    assert registry.history.list_changes() == []


def test_a_rejected_reload_leaves_the_old_state_on_every_server(models):
    first, second = LabelServer(1), LabelServer(1)
    with registry_of(models, first, second) as registry:
        registry.promote(1)
        before = registry.config_file.read_text()
        second.rejects = [None, "no memory left"]  # the first step passes
        with pytest.raises(RegistryError, match=r"version 2 failed.*no memory left.*are as before"):
            registry.promote(2)
        assert registry.config_file.read_text() == before
    assert first.labels == second.labels == {"stable": 1, "canary": 1}
    last = registry.history.list_changes()[-1]
    assert last.outcome == FAILED
    assert "no memory left" in last.reason


def test_a_version_that_cannot_be_loaded_is_never_pointed_at(models):
    fake = LabelServer(1)
    fake.unloadable = {2}
    with registry_of(models, fake) as registry:
        registry.promote(1)
        with pytest.raises(RegistryError, match=r"cannot load version 2: its graph is damaged.*as before"):
            registry.promote(2)
    assert (fake.versions, fake.labels) == ({1: 30}, {"stable": 1, "canary": 1})


def test_a_server_that_does_not_answer_is_found_out_before_anything_changes(models):
    fake = LabelServer(1)
    with registry_of(models, fake) as registry:
        registry.promote(1)
        with connect_servers([fake_target(registry), "127.0.0.1:1"]) as servers:
            both = Registry(models, registry.config_file, servers)
            with pytest.raises(ServingError, match=r"no server at 127\.0\.0\.1:1"):
                both.promote(2)
        assert [change.outcome for change in registry.history.list_changes()] == [DONE]
        assert fake.labels == {"stable": 1, "canary": 1}


def fake_target(registry):
    return registry.servers[0].target


def test_other_models_and_the_base_path_stay(models):
    file = models.parent / "models.config"
    file.write_text("""model_config_list {
      config { name: "cats" base_path: "/models/cats" model_platform: "tensorflow" }
      config { name: "default" base_path: "/models/default" model_platform: "tensorflow"
        model_version_policy { specific { versions: 1 versions: 2 } }
        version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } } }""")
    changed = models_config.read(file).replace("default", "ignored", {1, 2}, {"stable": 2, "canary": 2})
    changed.write()
    again = models_config.read(file)
    assert [(each.name, each.base_path) for each in again.message.model_config_list.config] == [
        ("cats", "/models/cats"),
        ("default", "/models/default"),
    ]
    assert (again.read_aliases("default"), again.list_loaded_versions("default")) == (
        {"stable": 2, "canary": 2},
        [1, 2],
    )


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_dying_at_every_step(models, verb):
    """Whenever it dies, the next call ends with one version everywhere, and the log tells of every change."""
    fake, outcomes = LabelServer(1), []

    def die():
        raise KilledError

    with registry_of(models, fake) as registry:
        registry.promote(1)
        for fatal in range(99):
            registry.promote(3 if verb == "promote" else 2)
            if verb == "promote":
                registry.promote(1)  # now 2 is not loaded
            start, end = (1, 2) if verb == "promote" else (2, 1)
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KilledError):
                moments = dying_at(fatal, die, patch.setattr)
                registry.promote(2) if verb == "promote" else registry.roll_back()
            settled = check_settled(registry, fake)
            version = fake.labels["stable"]
            assert version in (start, end)
            if settled:
                outcomes.append(settled.outcome)
                assert settled.outcome == (DONE if version == end else UNDONE)
            if len(moments) <= fatal:
                break
            if version != 1:
                registry.promote(1)
    assert outcomes.count(DONE) >= 2
    assert outcomes.count(UNDONE) >= 2


def check_settled(registry, fake):
    """Lets the next call settle what is left; checks that file, server and log agree, and that the log has no gap."""
    settled = registry.settle()
    assert models_config.read(registry.config_file).read_aliases("default") == fake.labels
    assert len(set(fake.labels.values())) == 1
    assert all(change.outcome for change in registry.history.list_changes())
    numbers = [json.loads(line)["number"] for line in registry.history.file.read_text().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    return settled


KILLED = """
import os, signal, sys
from pathlib import Path
from serving.registry.aliases import Registry
from serving.registry.model_servers import connect_servers
from tests.serving.registry.dying import dying_at

models, config, target, fatal = sys.argv[1:]
dying_at(int(fatal), lambda: os.kill(os.getpid(), signal.SIGKILL), setattr)
with connect_servers([target]) as servers:
    Registry(Path(models), Path(config), servers).promote(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("fatal", "outcome"), [(5, UNDONE), (8, DONE)])
def test_kill_9(models, fatal, outcome):
    """After the first reload the change is taken back; after the second models.config it is completed."""
    fake = LabelServer(1)
    with registry_of(models, fake) as registry:
        registry.promote(1)
        arguments = [str(each) for each in (models, registry.config_file, fake_target(registry), fatal)]
        assert subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60, check=False).returncode == -9
        with pytest.raises(RegistryError, match=r"promote of stable to version 2, begun .* was interrupted.*--target"):
            Registry(models, registry.config_file, []).settle()
        assert check_settled(registry, fake).outcome == outcome
        assert fake.labels["stable"] == (2 if outcome == DONE else 1)


def test_without_a_file_a_server_that_has_one_is_left_alone(models):
    fake = LabelServer(1, stable=1)
    with (
        registry_of(models, fake) as registry,
        pytest.raises(RegistryError, match=r"stable is version 1.*--model-config-f"),
    ):
        registry.promote(2)
    unknown = LabelServer()
    with registry_of(models, unknown) as registry, pytest.raises(RegistryError, match=r"no model 'default'.*--name"):
        registry.promote(1)
    assert (fake.labels, fake.reloads, unknown.reloads) == ({"stable": 1}, [], [])


def test_dying_in_the_first_promotion_leaves_no_file(models):
    fake = LabelServer(1)

    def die():
        raise KilledError

    with registry_of(models, fake) as registry:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KilledError):
            dying_at(5, die, patch.setattr)  # after the first reload
            registry.promote(2)
        assert registry.config_file.exists()
        assert registry.settle().outcome == UNDONE
        assert not registry.config_file.exists()
        assert registry.promote(2).outcome == DONE


def test_a_file_without_the_model_is_no_file_for_it(models):
    file = models.parent / "models.config"
    file.write_text('model_config_list { config { name: "cats" base_path: "/cats" model_platform: "tensorflow" } }')
    with (
        registry_of(models, LabelServer(1)) as registry,
        pytest.raises(RegistryError, match=r"no model 'default'.*cats"),
    ):
        registry.promote(1)
    assert registry.history.list_changes() == []


@pytest.mark.parametrize("content", ["model_config_list {", b"\xff", None])
def test_a_file_that_cannot_be_read_is_named(models, content):
    file = models.parent / "models.config"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with registry_of(models, LabelServer(1)) as registry, pytest.raises(ModelServerConfigError, match=str(file)):
        registry.promote(1)


def test_a_torn_record_never_counted_and_a_missing_one_is_told(models):
    fake = LabelServer(1)
    with registry_of(models, fake) as registry:
        registry.promote(1)
        with registry.history.file.open("ab") as stream:
            stream.write(b'{"number": 3, "rec')
        registry.promote(2)
        assert [change.intent.to_version for change in registry.history.list_changes()] == [1, 2]
        lines = registry.history.file.read_bytes().splitlines(keepends=True)
        registry.history.file.write_bytes(b"".join([*lines[:1], *lines[2:]]))
        with pytest.raises(RegistryError, match=r"line 3: record 3 follows record 1"):
            registry.history.list_changes()


def test_two_processes_do_not_change_aliases_at_once(models):
    fake = LabelServer(1)
    with (
        registry_of(models, fake) as registry,
        History(registry.history.file).lock(),
        pytest.raises(RegistryError, match="another process"),
    ):
        registry.promote(1)
