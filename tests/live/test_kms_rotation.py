"""From static keys to a KMS v2 plugin and back, on real servers with a small real plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.kms_plugin import RunningPlugin, running_plugin
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose name is short enough for a socket."""
    return tmp_path_factory.mktemp("kms")


@pytest.fixture
def seeded(control_plane: ControlPlanes, tmp_path: Path) -> Seeded:
    found = seed(control_plane(3), tmp_path / "state", 60)
    enabled = found.keyctl("enable", "--yes")
    assert enabled.code == 0, enabled.stderr
    return found


def to_plugin(plugin: RunningPlugin, *more: str) -> tuple[str, ...]:
    return ("rotate", "--provider", "kms", "--kms-name", "lab", "--kms-endpoint", plugin.endpoint, *more)


def test_static_keys_to_a_plugin_and_back_leave_every_secret_as_it_was(seeded: Seeded, folder: Path) -> None:
    before = seeded.metadata()
    with running_plugin(folder) as plugin:
        assert seeded.keyctl("kms", "check", plugin.endpoint).code in (0, 20)
        planned = seeded.keyctl(*to_plugin(plugin, "--dry-run"))
        assert "three minutes of writes" in planned.stdout
        assert "no control-plane reboot" in planned.stdout
        there = seeded.keyctl(*to_plugin(plugin, "--yes"))
        assert there.code == 0, there.stderr
        assert heads_of(seeded.lab, "secrets") == {b"k8s:enc:kms:v2:lab:"}
        assert not any(b"aescbc" in file for file in seeded.files())
        assert seeded.changed() == {}
        assert seeded.metadata() == before
        proven = json.loads(seeded.keyctl("verify-secrets", "-o", "json").stdout)
        (secrets,) = [found for found in proven["resources"] if found["resource"] == "secrets"]
        asked = json.loads(seeded.keyctl("kms", "check", plugin.endpoint, "-o", "json").stdout)
        assert {group["keyId"] for group in secrets["encrypted"]} == {asked["keyId"]}

        back = seeded.keyctl("rotate", "--provider", "secretbox", "--resources", "secrets", "--yes")
        assert back.code == 0, back.stderr
    (head,) = heads_of(seeded.lab, "secrets")
    assert head.startswith(b"k8s:enc:secretbox:v1:key-")
    assert not any(b"kms" in file for file in seeded.files())
    # The plugin is gone: nothing may need it any more, not even a start.
    seeded.lab.restart("cp1")
    assert seeded.keyctl("verify-secrets").code == 0
    assert seeded.changed() == {}
    assert seeded.metadata() == before


def test_without_the_plugin_nothing_is_written_with_it_and_the_way_back_is_open(seeded: Seeded, folder: Path) -> None:
    (old,) = heads_of(seeded.lab, "secrets")
    with running_plugin(folder, fault="unhealthy") as plugin:
        there = seeded.keyctl(*to_plugin(plugin, "--yes"))
        assert there.code == 6, there.stderr
        back = seeded.keyctl("rotate", "--abort", "--yes")
    assert back.code == 0, back.stderr
    assert heads_of(seeded.lab, "secrets") == {old}
    assert not any(b"kms" in file for file in seeded.files())
    assert seeded.changed() == {}
