"""An upgrade of Kubernetes that is under way: refused at the beginning, told on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.rotation.plan import State
from keyctl.rotation.upgrade import ServerVersion, image_version, upgrade_seen
from tests.support.sim_parts import Watcher
from tests.support.sim_server import MANIFEST_PATH, Spec
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, assert_done, begin, skip_slow_parts, stops


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.example/kube-apiserver:v1.37.1", "1.37.1"),
        ("registry.example:5000/kube-apiserver:v1.37.1@sha256:0123", "1.37.1"),
        ("kube-apiserver:v1.38.0-rc.1", "1.38.0-rc.1"),
        ("registry.example/kube-apiserver-amd64:v1.37.1_vendor.2", "1.37.1"),
        ("registry.example:5000/kube-apiserver", ""),
        ("registry.example/kube-apiserver@sha256:0123", ""),
        ("registry.example/kube-apiserver:latest", ""),
        ("", ""),
    ],
)
def test_the_version_of_an_image_is_in_its_tag(image: str, version: str) -> None:
    assert image_version(image) == version


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        pytest.param([("v1.37.1", "1.37.1"), ("v1.37.1", "1.37.1")], None, id="all alike"),
        pytest.param([("v1.37.1+vendor.1", "1.37.1"), ("v1.37.1", "")], None, id="what a vendor adds is no version"),
        pytest.param([("v1.37.1", ""), ("", "1.36.3")], None, id="what is not known shows nothing"),
        pytest.param([("v1.37.1", ""), ("v1.36.3", "")], "run different versions", id="a minor apart"),
        pytest.param([("v1.37.2", ""), ("v1.37.1", "")], "run different versions", id="a patch apart"),
        pytest.param(
            [("v1.38.0-rc.1", ""), ("v1.38.0", "")], "run different versions", id="a candidate and the release"
        ),
        pytest.param([("v1.37.1", "1.37.1"), ("v1.37.1", "1.37.2")], "on cp2: its manifest", id="a manifest ahead"),
        pytest.param([("v1.37.1", "1.36.3")], "on cp1: its manifest", id="a manifest behind"),
    ],
)
def test_an_upgrade_shows_in_the_versions(servers: list[tuple[str, str]], message: str | None) -> None:
    found = upgrade_seen([ServerVersion(f"cp{n}", *versions) for n, versions in enumerate(servers, 1)])
    assert (found is None) is (message is None)
    if found is not None and message is not None:
        assert found.message.startswith("an upgrade of Kubernetes is under way")
        assert message in found.message


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING], ids=["restart", "reload"])
def test_no_rotation_begins_while_the_servers_are_of_two_versions(specs: tuple[Spec, ...], tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (specs[0], replace(specs[1], version="v1.36.3"), specs[2]))
    error = stops(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "preflight"
    assert error.cause == "cp1 runs v1.37.1, cp2 runs v1.36.3, cp3 runs v1.37.1"
    assert "then run this again" in error.hints[0]
    assert cluster.switch.labels == []


def ahead(cluster: SimCluster, name: str) -> None:
    """The manifest of a server names the next version already."""
    host = cluster.server(name).host
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content.replace(b":v1.37.1", b":v1.37.2"))


def test_no_rotation_begins_while_a_manifest_names_another_version_than_runs(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    ahead(cluster, "cp3")
    error = stops(cluster)
    assert isinstance(error, RefusedError)
    assert error.cause == "the image in the manifest is of v1.37.2, and v1.37.1 runs"
    assert cluster.switch.labels == []


def test_one_that_is_under_way_goes_on_for_that_may_be_what_makes_it_safe_and_says_so(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    ahead(cluster, "cp2")
    cluster.session(watcher=watcher).resume()
    assert_done(cluster, SCENES[2])
    told = [event.message for event in watcher.events if event.message.startswith("warning: ")]
    assert len(told) == 1
    assert "under way on cp2" in told[0]
    assert "v1.37.2" in told[0]


def test_without_an_upgrade_nobody_is_warned(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    cluster.session(watcher=watcher).resume()
    assert [event for event in watcher.events if event.message.startswith("warning: ")] == []
