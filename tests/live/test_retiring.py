"""After the old key is gone: nothing stands under it in any etcd, old requests get decent answers, the proof is kept.

And the two that stand next to it: one key for two resources, which no rotation may take from one of them only, and
`disable`, which takes the key away and leaves plaintext.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support import seal
from tests.support.cluster_copy import ClusterFile, cluster_copy, untouched
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes, control_planes
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import ask
from tests.support.second_etcd import second_etcd, seen_from
from tests.support.seeded import Answered, Seeded, seed
from tests.support.server_flags import encrypt_by_hand, limit_requests, set_flags
from tests.support.shell import Shell

pytestmark = pytest.mark.live

OLD = seal.key("old")
ROTATE = ("rotate", "--yes", "--allow-downtime")
PLAINTEXT = {b"k8s\0"}
# The limit of a request, and so each settle.
SECONDS = 4


def key_names(lab: Lab) -> list[str]:
    """The names of all keys in the server's file, in order."""
    return re.findall(r"name: (\S+)", lab.layout.server("cp1").encryption_config.read_text())


def head(name: str) -> bytes:
    return f"k8s:enc:aescbc:v1:{name}:".encode()


def told(answer: Answered, code: int, *parts: str) -> None:
    assert answer.code == code, answer.stderr
    assert "hint: " in answer.stderr
    assert "Traceback" not in answer.stderr
    for part in parts:
        assert part in answer.stderr


@dataclass(frozen=True, slots=True)
class Rotated:
    """A cluster whose events are in `other`, with its key changed from `old`; what a client had from before that."""

    seeded: Seeded
    shell: Shell
    other: EtcdAccess
    old: str
    version: str
    token: str

    @property
    def lab(self) -> Lab:
        return self.seeded.lab

    @property
    def state(self) -> Path:
        """Where keyctl keeps what it knows of this cluster."""
        return self.shell.state / "keyctl" / self.lab.topology.settings.name


@pytest.fixture(scope="module")
def rotated(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotated]:
    home = tmp_path_factory.mktemp("home")
    shell = Shell(home)
    with second_etcd(etcd_server, home) as other, control_planes(etcd_server, home) as start:
        lab = start(1)
        set_flags(lab, "cp1", etcd_servers_overrides=f"/events#{other.endpoints[0]}")
        limit_requests(lab, SECONDS, home / "keyctl.yaml", lambda cluster: _override(cluster, other))
        lab.restart("cp1")
        seeded = seed(lab, shell.state, 6)
        _create_event(lab)
        both = ("--resources", "secrets", "--resources", "events")
        enabled = shell.keyctl("enable", "--yes", "--allow-downtime", *both)
        assert enabled.code == 0, enabled.stderr
        before = key_names(lab)
        assert heads_of(seen_from(lab, other), "events") == heads_of(lab, "secrets") == {head(before[0])}
        version, token = _first_page(lab)
        finished = shell.keyctl(*ROTATE)
        assert finished.code == 0, finished.stderr
        yield Rotated(seeded, shell, other, before[0], version, token)


@pytest.fixture(autouse=True)
def no_secrets_said(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing that these tests make keyctl say or write has a key in it, and every hint names a command that works."""
    yield
    if "rotated" in request.fixturenames:
        rotated: Rotated = request.getfixturevalue("rotated")
        files = [rotated.lab.layout.server("cp1").encryption_config]
        assert leaks(key_texts(files), rotated.shell.said, rotated.state.rglob("*.jsonl")) == []
        assert wrong_hints(rotated.shell.said) == []


def _override(cluster: ClusterFile, other: EtcdAccess) -> None:
    cluster["etcd"]["overrides"] = [{"resources": ["events"], "endpoints": list(other.endpoints)}]


def _create_event(lab: Lab) -> None:
    event = {
        "metadata": {"name": "something-happened"},
        "involvedObject": {"kind": "Secret", "namespace": "default", "name": "some"},
        "reason": "Proven",
        "type": "Normal",
    }
    code, document = ask(lab, "POST", "/api/v1/namespaces/default/events", event)
    assert code == 201, document


def _first_page(lab: Lab) -> tuple[str, str]:
    """The resourceVersion and the continue token of a list that is read in pages of two."""
    code, document = ask(lab, "GET", "/api/v1/secrets?limit=2")
    meta = document["metadata"]
    assert code == 200
    assert isinstance(meta, dict)
    return meta["resourceVersion"], meta["continue"]


def test_the_old_key_is_gone_from_the_file_and_from_every_etcd(rotated: Rotated) -> None:
    (new,) = key_names(rotated.lab)
    assert new != rotated.old
    assert heads_of(rotated.lab, "secrets") == {head(new)}
    assert heads_of(rotated.lab, "events") == set()
    assert heads_of(seen_from(rotated.lab, rotated.other), "events") == {head(new)}
    assert ask(rotated.lab, "GET", "/api/v1/namespaces/default/events/something-happened")[0] == 200
    assert rotated.seeded.changed() == {}
    assert rotated.shell.keyctl("verify-secrets").code == 0


def test_a_cluster_file_that_does_not_know_the_second_etcd_is_refused(rotated: Rotated) -> None:
    alone = cluster_copy(rotated.lab, rotated.shell.folder / "alone.yaml", lambda cluster: None)
    with untouched(rotated.lab, rotated.shell.state):
        dry = rotated.shell.keyctl("rotate", "--dry-run", "--allow-downtime", "--cluster", alone)
    told(dry, 5, "keeps events in another etcd", "etcd.overrides")


@pytest.mark.parametrize("query", ["limit=2&continue={token}", "resourceVersion={version}&resourceVersionMatch=Exact"])
def test_a_list_from_before_the_rotation_is_answered_or_expired_but_never_an_error(
    rotated: Rotated, query: str
) -> None:
    asked = query.format(token=rotated.token, version=rotated.version)
    code, document = ask(rotated.lab, "GET", f"/api/v1/secrets?{asked}")
    assert (code, document.get("kind"), document.get("reason")) in (
        (200, "SecretList", None),
        (410, "Status", "Expired"),
    )


def test_the_evidence_passes_until_a_byte_of_it_is_changed(rotated: Rotated, tmp_path: Path) -> None:
    bundle = max((rotated.state / "evidence").iterdir())
    good = rotated.shell.keyctl("rotate", "--verify-evidence", bundle)
    assert good.code == 0, good.stderr
    names = [file.relative_to(bundle) for file in bundle.rglob("*") if file.is_file()]
    assert names
    for name in names:
        copy = shutil.copytree(bundle, tmp_path / name.name)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        told(rotated.shell.keyctl("rotate", "--verify-evidence", copy), 3)


def test_the_old_key_is_not_destroyed_while_a_snapshot_needs_it(rotated: Rotated) -> None:
    first = min(_secured(rotated), key=lambda snapshot: int(snapshot["revision"]))
    keys = rotated.lab.cluster_file.parent / "keys"
    stored = {file.name: file.read_bytes() for file in keys.iterdir() if file.name.endswith(".key.json")}
    assert any(rotated.old in name for name in stored)
    told(rotated.shell.keyctl("keys", "destroy", f"aescbc:{rotated.old}", "--yes"), 5, first["path"], "[R4]")
    assert stored == {file.name: file.read_bytes() for file in keys.iterdir() if file.name.endswith(".key.json")}


def _secured(rotated: Rotated) -> list[dict[str, str]]:
    """The snapshots of the main etcd that the last rotation took first."""
    records = map(json.loads, (rotated.state / "journal.jsonl").read_text().splitlines())
    snapshots: list[dict[str, str]] = [record for record in records if record["kind"] == "secured"][-1]["snapshots"]
    return snapshots


def test_one_key_for_two_resources_is_refused_for_one_and_changed_for_both(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    lab, shell = control_plane(1), Shell(tmp_path)
    limit_requests(lab, SECONDS, tmp_path / "keyctl.yaml")
    encrypt_by_hand(lab, OLD, ("secrets",), ("configmaps",))
    seeded = seed(lab, shell.state, 6)
    settings = "/api/v1/namespaces/default/configmaps"
    assert ask(lab, "POST", settings, {"metadata": {"name": "settings"}, "data": {"color": "blue"}})[0] == 201
    with untouched(lab, shell.state):
        told(shell.keyctl(*ROTATE, "--resources", "secrets"), 5, "configmaps", "[R3]")
    finished = shell.keyctl(*ROTATE, "--resources", "secrets", "--resources", "configmaps")
    assert finished.code == 0, finished.stderr
    new, again = key_names(lab)
    assert new == again != OLD.name
    assert heads_of(lab, "secrets") == heads_of(lab, "configmaps") == {head(new)}
    assert seeded.changed() == {}
    assert ask(lab, "GET", f"{settings}/settings")[1]["data"] == {"color": "blue"}


def test_disable_leaves_plaintext_and_no_key_in_the_file(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab, shell = control_plane(1), Shell(tmp_path)
    limit_requests(lab, SECONDS, tmp_path / "keyctl.yaml")
    encrypt_by_hand(lab, OLD, ("secrets",))
    seeded = seed(lab, shell.state, 6)
    assert heads_of(lab, "secrets") == {head(OLD.name)}
    disabled = shell.keyctl("disable", "--yes", "--allow-downtime")
    assert disabled.code == 0, disabled.stderr
    assert heads_of(lab, "secrets") == PLAINTEXT
    assert key_names(lab) == []
    assert seeded.changed() == {}
    assert shell.keyctl("verify-secrets").code == 13
