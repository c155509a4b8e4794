"""`--abort` from every state: every file is as it was, to the byte, and no value is under the key that was given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support import seal
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes, control_planes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed
from tests.support.server_flags import encrypt_by_hand, limit_requests
from tests.support.shell import Shell

pytestmark = pytest.mark.live

OLD = seal.key("old")
# The limit of a request, and so each settle; short, for this file waits for them again and again.
SECONDS = 4
STATES = (
    "generated",
    "adding",
    "readable",
    "promoting",
    "switched",
    "rewriting",
    "verified",
    "resecured",
    "retiring",
)


def files(lab: Lab) -> dict[str, bytes]:
    """Everything in the folders of every server's manifest and configuration."""
    places = [
        place
        for server in lab.topology.servers
        for place in (lab.layout.server(server.name).manifest, lab.layout.server(server.name).encryption_config)
    ]
    return {str(file): file.read_bytes() for place in places for file in place.parent.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def plane(etcd_server: EtcdAccess, home: Path) -> Iterator[Seeded]:
    """Two API servers that write Secrets under OLD. Every test leaves them as they were."""
    with control_planes(etcd_server, home) as start:
        lab = start(2)
        limit_requests(lab, SECONDS, home / "keyctl.yaml")
        encrypt_by_hand(lab, OLD, ("secrets",))
        yield seed(lab, home / "state", 20)


@pytest.fixture
def shell(plane: Seeded, home: Path) -> Iterator[Shell]:
    """At home, where the cluster file is; nothing that a test makes keyctl say or write has a key in it."""
    shell = Shell(home)
    yield shell
    configs = (plane.lab.layout.server(server.name).encryption_config for server in plane.lab.topology.servers)
    assert leaks(key_texts(configs), shell.said, (home / "state").rglob("*.jsonl")) == []
    assert wrong_hints(shell.said) == []


@pytest.mark.parametrize("state", STATES)
def test_abort_leaves_everything_as_before_the_rotation(plane: Seeded, shell: Shell, state: str) -> None:
    before = files(plane.lab)
    paused = shell.keyctl("rotate", "--yes", "--pause-after", state)
    assert paused.code == 6, paused.stderr
    assert "paused in state" in paused.stderr
    assert (files(plane.lab) != before) is (state != "generated")

    aborted = shell.keyctl("rotate", "--abort", "--yes")
    assert aborted.code == 0, aborted.stderr
    assert files(plane.lab) == before
    assert heads_of(plane.lab, "secrets") == {f"k8s:enc:aescbc:v1:{OLD.name}:".encode()}
    assert plane.changed() == {}
    assert shell.keyctl("verify-secrets").code == 0


def test_abort_of_enable_leaves_no_flag_no_file_and_no_encrypted_value(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    lab, shell = control_plane(1), Shell(tmp_path)
    limit_requests(lab, SECONDS, tmp_path / "keyctl.yaml")
    lab.restart("cp1")
    seeded = seed(lab, shell.state, 6)
    before, plain = files(lab), heads_of(lab, "secrets")
    paused = shell.keyctl("enable", "--yes", "--allow-downtime", "--pause-after", "rewriting")
    assert paused.code == 6, paused.stderr
    assert files(lab) != before
    assert heads_of(lab, "secrets") != plain

    aborted = shell.keyctl("rotate", "--abort", "--yes")
    assert aborted.code == 0, aborted.stderr
    assert files(lab) == before
    assert heads_of(lab, "secrets") == plain
    assert seeded.changed() == {}
    assert shell.keyctl("verify-secrets").code == 13
