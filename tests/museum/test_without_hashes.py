"""Real servers of a version that does not report what it has loaded (Kubernetes 1.33): the whole job all the same."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.rotation.loaded import MARGIN
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed

pytestmark = pytest.mark.live

OLD = "1.33"


def proofs_of_servers(seeded: Seeded) -> list[dict[str, object]]:
    """Every proof of a server in the journal."""
    journal = seeded.state / "keyctl" / seeded.lab.topology.settings.name / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    return [record for record in records if record["kind"] == "proof" and record["of"] == "server"]


def restart_all(lab: Lab) -> None:
    """Restart every server, well after its files were written."""
    time.sleep(MARGIN + 2)
    for server in lab.topology.servers:
        lab.restart(server.name)


def test_servers_without_a_hash_are_known_by_their_start_and_by_canaries(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    seeded = seed(control_plane(2, kubernetes=OLD), tmp_path / "state", 40)
    before = seeded.metadata()
    enabled = seeded.keyctl("enable", "--yes")
    assert enabled.code == 0, enabled.stderr
    (first,) = heads_of(seeded.lab, "secrets")

    rotated = seeded.keyctl("rotate", "--yes")
    assert rotated.code == 0, rotated.stderr
    (second,) = heads_of(seeded.lab, "secrets")
    assert second.startswith(b"k8s:enc:aescbc:v1:key-")
    assert second != first
    assert seeded.keyctl("verify-secrets").code == 0
    assert seeded.changed() == {}
    assert seeded.metadata() == before
    proofs = proofs_of_servers(seeded)
    assert {proof["loadedBy"] for proof in proofs} == {"start"}
    assert all("canary" in proof for proof in proofs)

    (evidence,) = sorted((seeded.state / "keyctl").glob("*/evidence/*"))[1:]
    told = seeded.keyctl("rotate", "--verify-evidence", str(evidence))
    assert told.code == 0, told.stderr
    assert "what it had loaded was shown by start" in told.stdout


def test_servers_without_a_hash_are_known_by_their_reloads(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab = control_plane(2, reload=True, kubernetes=OLD)
    seeded = seed(lab, tmp_path / "state", 40)
    restart_all(lab)
    enabled = seeded.keyctl("enable", "--yes")
    assert enabled.code == 0, enabled.stderr
    (head,) = heads_of(lab, "secrets")
    assert head.startswith(b"k8s:enc:aescbc:v1:key-")
    assert seeded.keyctl("verify-secrets").code == 0
    assert seeded.changed() == {}
    assert {proof["loadedBy"] for proof in proofs_of_servers(seeded)} == {"reload"}
