"""`keyctl audit` on a running control plane: what is right is proven, and one wrong thing turns its own checks red."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyctl.cli.wiring import SystemClock
from keyctl.encryption_config.editing import edit
from keyctl.hosts.manifests import add_encryption_flag
from keyctl.keys.generate import generate
from keyctl.keys.key import Provider
from keyctl.lab.plane import Lab
from tests.support import by_hand, seal
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.real_kube import ask, create_secret
from tests.support.shell import Shell
from tests.unit.audit.given import ETCD_FLAGS
from tests.unit.cli.test_audit import pod

pytestmark = pytest.mark.live

# What is proven of a cluster where everything is right, and by which evidence.
PROVEN = {
    **dict.fromkeys(("KC-DAT-101", "KC-DAT-102", "KC-DAT-103", "KC-DAT-104", "KC-ENC-014"), "E3"),
    **dict.fromkeys(("KC-DAT-107", "KC-ENC-012", "KC-ENC-013"), "E2"),
    **dict.fromkeys(("KC-ENC-001", "KC-ENC-006", "KC-ENC-007"), "E1"),
}


def encrypt(lab: Lab) -> None:
    """What somebody does by hand: the same file and the flag on every server, one restart after the other."""
    key = generate(Provider.SECRETBOX, now=SystemClock().now())
    content = edit.new_document(("secrets",), key, key_first=True)
    for server in lab.topology.servers:
        place = lab.layout.server(server.name)
        place.encryption_config.parent.mkdir(mode=0o700, exist_ok=True)
        place.encryption_config.touch(mode=0o600)
        place.encryption_config.write_bytes(content)
        flagged = add_encryption_flag(
            place.manifest.read_bytes(), config_path=str(place.encryption_config), reload=False, name="manifest"
        )
        place.manifest.write_bytes(flagged)
        lab.restart(server.name)


def write(lab: Lab, server: str, name: str) -> int:
    """Create a Secret through one server; the status."""
    return ask(lab, "POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": name}}, server=server)[0]


class Audited:
    """One run with every check: the statuses, and the evidence of what is right."""

    def __init__(self, lab: Lab, shell: Shell, *more: str | Path) -> None:
        folders = [lab.layout.server(server.name).directory for server in lab.topology.servers]
        self.answer = shell.keyctl(
            "audit", *folders, "--cluster", lab.cluster_file, "--profile", "all", "-o", "json", *more
        )
        document = json.loads(self.answer.stdout)
        self.statuses = {check["id"]: check["status"] for check in document["checks"]}
        self.findings = document["findings"]

    @property
    def red(self) -> set[str]:
        return {id for id, status in self.statuses.items() if status == "fail"}

    def evidence(self, id: str) -> set[str]:
        return {one["evidence"]["level"] for one in self.findings if one["id"] == id and one["status"] == "pass"}

    def told(self, id: str) -> list[str]:
        return [f"{one['status']}: {one['message']}" for one in self.findings if one["id"] == id]


def test_what_is_right_is_proven_and_one_wrong_thing_turns_its_own_checks_red(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    lab = control_plane(2)
    shell = Shell(tmp_path)
    encrypt(lab)
    assert [write(lab, server, f"s-{server}") for server in ("cp1", "cp2")] == [201, 201]
    at = f"{lab.topology.settings.prefix}/secrets"

    right = Audited(lab, shell, "--canary")
    assert {id: right.evidence(id) for id in PROVEN} == {id: {level} for id, level in PROVEN.items()}, [
        right.told(id) for id in PROVEN if right.statuses[id] != "pass"
    ]
    assert right.statuses["KC-DAT-105"] == "pass", right.told("KC-DAT-105")
    assert set(by_hand.stands(lab.etcd, f"{at}/")) == {f"{at}/default/s-cp1", f"{at}/default/s-cp2"}

    # The lab starts etcd without a file of its own: what kubeadm writes stands for one.
    (tmp_path / "etcd.yaml").write_text(pod("etcd", ETCD_FLAGS))
    least = ("audit", lab.layout.root, "etcd.yaml", "--cluster", lab.cluster_file, "--profile", "minimal")
    minimal = shell.keyctl(*least, "-o", "wide")
    assert minimal.code == 0, minimal.stdout

    by_hand.put(lab.etcd, f"{at}/default/plain", seal.secret("plain"))
    plain = Audited(lab, shell)
    # That plaintext is read is right again, as long as there is some.
    assert (plain.red - right.red, right.red - plain.red) == ({"KC-DAT-101", "KC-ENC-014"}, {"KC-ENC-010"})
    assert any(
        one["location"]["etcdKey"] == f"{at}/default/plain" for one in plain.findings if one["id"] == "KC-DAT-101"
    )
    assert shell.keyctl(*least).code == 20
    by_hand.delete(lab.etcd, f"{at}/default/plain")

    file = lab.layout.server("cp2").encryption_config
    other = generate(Provider.SECRETBOX, now=SystemClock().now())
    file.write_bytes(edit.add_reader(file.read_bytes(), other, entries=(0,), name="enc"))
    differing = Audited(lab, shell)
    assert (differing.red - right.red, right.red - differing.red) == ({"KC-ENC-012", "KC-ENC-013"}, set())

    lines = file.read_text().splitlines(keepends=True)
    providers = next(number for number, line in enumerate(lines) if line.strip() == "providers:")
    indent = lines[providers + 1].partition("-")[0]
    file.write_text("".join([*lines[: providers + 1], f"{indent}- identity: {{}}\n", *lines[providers + 1 :]]))
    lab.restart("cp2")
    assert write(lab, "cp2", "open") == 201
    opened = Audited(lab, shell)
    reds = {"KC-ENC-007", "KC-ENC-012", "KC-ENC-014", "KC-DAT-101", "KC-DAT-102", "KC-DAT-107"}
    assert opened.red - right.red - {"KC-ENC-009"} == reds, {id: opened.told(id) for id in opened.red ^ right.red}

    lab.stop("cp2")
    down = Audited(lab, shell)
    assert {down.statuses[id] for id in ("KC-ENC-012", "KC-ENC-013", "KC-DAT-107")} == {"unknown"}
    assert leaks(key_texts([file]), shell.said) == []
    assert wrong_hints(shell.said) == []


def test_a_snapshot_is_judged_by_itself_and_never_for_the_cluster(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab = control_plane(1)
    shell = Shell(tmp_path, {"KEYCTL_CLUSTER": str(lab.cluster_file)})
    create_secret(lab, "default", "before")
    assert shell.keyctl("snapshot", "save", "before.db").code == 0
    encrypt(lab)
    assert ask(lab, "DELETE", "/api/v1/namespaces/default/secrets/before")[0] == 200
    create_secret(lab, "default", "after")

    old = Audited(lab, shell, "--snapshot", "before.db")
    assert {"KC-DAT-101"} <= old.red
    assert "pass" in {one["status"] for one in old.findings if one["id"] == "KC-DAT-101"}
    assert old.statuses["KC-ENC-014"] == "pass"
    assert old.statuses["KC-DAT-103"] == "pass"

    assert shell.keyctl("snapshot", "save", "after.db").code == 0
    new = Audited(lab, shell, "--snapshot", "after.db")
    assert new.statuses["KC-DAT-101"] == "pass", new.told("KC-DAT-101")
    # What was deleted is still in its history.
    assert new.statuses["KC-DAT-106"] == "fail"
