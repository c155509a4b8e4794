"""The main job on other versions: turn encryption on, change the key, prove it, take a snapshot. docs/versions.md."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from keyctl.lab.topology import EtcdAccess
from keyctl.lab.versions import ETCD_VERSION, KUBERNETES_VERSIONS, parse_version
from tests.museum.test_without_hashes import proofs_of_servers, restart_all
from tests.support.etcd_process import running_etcd
from tests.support.plane import ControlPlanes, control_planes
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import ask
from tests.support.seeded import Seeded, seed
from tests.versions.recipes import BUILT, DEBIAN, DEBIAN_VERSION, LAB, etcd_programs

pytestmark = pytest.mark.live

ETCD_VERSIONS = {**BUILT, DEBIAN: DEBIAN_VERSION, LAB: ETCD_VERSION}
# Kubernetes, etcd: the newest and the oldest of each, and what was usual together.
PAIRS = (("1.37", "3.6"), ("1.37", "3.5"), ("1.33", "3.5"), ("1.28", "3.7"), ("1.28", "3.5"), ("1.28", "3.4"))


@pytest.fixture
def etcd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdAccess]:
    """A real etcd of the minor version asked for."""
    program = etcd_programs(request.param)["etcd"]
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert parse_version(said) == parse_version(ETCD_VERSIONS[request.param])
    folder = tmp_path / "etcd"
    folder.mkdir()
    with running_etcd(folder, trustme.CA(), program=program) as running:
        yield EtcdAccess((running.url,), *(str(path) for path in (running.tls.ca, running.tls.cert, running.tls.key)))


@pytest.fixture
def planes(etcd: EtcdAccess, tmp_path: Path) -> Iterator[ControlPlanes]:
    with control_planes(etcd, tmp_path) as start:
        yield start


@pytest.mark.parametrize(("kubernetes", "etcd"), PAIRS, indirect=["etcd"])
def test_the_main_job_is_done(planes: ControlPlanes, kubernetes: str, tmp_path: Path) -> None:
    lab = planes(2, kubernetes=kubernetes)
    code, told = ask(lab, "GET", "/version")
    assert (code, told["gitVersion"]) == (200, f"v{KUBERNETES_VERSIONS[kubernetes]}")
    seeded = seed(lab, tmp_path / "state", 40)
    before = seeded.metadata()
    assert seeded.keyctl("verify-secrets").code == 13
    done(seeded, "enable", "--yes")
    (first,) = heads_of(lab, "secrets")
    done(seeded, "verify-secrets")

    done(seeded, "rotate", "--yes")
    (second,) = heads_of(lab, "secrets")
    assert second.startswith(b"k8s:enc:aescbc:v1:key-")
    assert second != first
    done(seeded, "verify-secrets")
    assert (seeded.changed(), seeded.metadata()) == ({}, before)

    snapshot = tmp_path / "after.db"
    done(seeded, "snapshot", "save", str(snapshot))
    done(seeded, "snapshot", "verify", str(snapshot))
    verified = json.loads(done(seeded, "verify-secrets", "--snapshot", str(snapshot), "-o", "json"))
    assert verified["summary"]["plaintext"] == 0


@pytest.mark.parametrize(("kubernetes", "etcd"), [("1.28", "3.5")], indirect=["etcd"])
def test_servers_of_the_oldest_version_are_known_by_their_reloads(
    planes: ControlPlanes, kubernetes: str, tmp_path: Path
) -> None:
    lab = planes(2, reload=True, kubernetes=kubernetes)
    seeded = seed(lab, tmp_path / "state", 40)
    restart_all(lab)
    done(seeded, "enable", "--yes")
    (head,) = heads_of(lab, "secrets")
    assert head.startswith(b"k8s:enc:aescbc:v1:key-")
    done(seeded, "verify-secrets")
    assert seeded.changed() == {}
    assert {proof["loadedBy"] for proof in proofs_of_servers(seeded)} == {"reload"}


def done(seeded: Seeded, *arguments: str) -> str:
    """What keyctl printed; it must have ended well."""
    answered = seeded.keyctl(*arguments)
    assert answered.code == 0, answered.stdout + answered.stderr
    return answered.stdout
