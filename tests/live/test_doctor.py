"""`doctor` and `status` on real servers: healthy, after two accidents made by hand, and what the union then opens."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from keyctl.cli.wiring import SystemClock
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.editing import edit
from keyctl.errors import KeyctlError
from keyctl.hosts.manifests import add_encryption_flag
from keyctl.keys.generate import generate
from keyctl.keys.key import Provider
from keyctl.lab.plane import Lab
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.real_kube import create_secret
from tests.support.shell import Shell

pytestmark = pytest.mark.live


@pytest.fixture
def lab(control_plane: ControlPlanes) -> Lab:
    return control_plane(3)


@pytest.fixture
def shell(lab: Lab, tmp_path: Path) -> Shell:
    folder = tmp_path / "user"
    folder.mkdir()
    found = Shell(folder, {"KEYCTL_CLUSTER": str(lab.cluster_file)})
    encrypt(lab)
    for number in range(4):
        create_secret(lab, "default", f"before-{number}")
    return found


def encrypt(lab: Lab) -> None:
    """What somebody does by hand: the same file and the flag on every server, one restart after the other."""
    content = edit.new_document(("secrets",), generate(Provider.AESCBC, now=SystemClock().now()), key_first=True)
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


def outcomes(shell: Shell, command: str = "doctor") -> tuple[int, dict[str, list[str]], list[str]]:
    """The exit code, what failed by id, and the steps."""
    answer = shell.keyctl(command, "-o", "json")
    document = json.loads(answer.stdout)
    assert document["exitCode"] == answer.code
    failed: dict[str, list[str]] = {}
    for finding in document["findings"]:
        if finding["status"] == "fail" and finding["severity"] in ("critical", "high"):
            failed.setdefault(finding["id"], []).append(finding["message"])
    return answer.code, failed, document.get("steps", [])


def files(lab: Lab) -> dict[str, Path]:
    return {server.name: lab.layout.server(server.name).encryption_config for server in lab.topology.servers}


def new_key_first(content: bytes) -> bytes:
    key = generate(Provider.AESCBC, now=SystemClock().now())
    return edit.promote(edit.add_reader(content, key, entries=(0,), name="enc"), key.ref, entries=(0,), name="enc")


def old_key_dropped(content: bytes) -> bytes:
    old = effective.static_keys(decode(content, name="enc").config)[-1]
    return edit.remove_reader(content, old.ref, entries=(0,), name="enc")


def test_a_healthy_cluster_then_a_new_key_first_on_one_server_only(lab: Lab, shell: Shell) -> None:
    assert outcomes(shell)[:2] == (0, {})
    assert outcomes(shell, "status")[:2] == (0, {})
    screen = shell.keyctl("status")
    assert screen.stdout.count("✓ ok") == 4
    assert shell.keyctl("doctor", "-q").stdout == ""

    cp1 = files(lab)["cp1"]
    cp1.write_bytes(new_key_first(cp1.read_bytes()))
    waiting = json.loads(shell.keyctl("status", "--no-scan", "-o", "json").stdout)
    assert [server["state"] for server in waiting["servers"]] == ["waiting", "ok", "ok"]
    lab.restart("cp1")
    create_secret(lab, "default", "unseen")

    code, failed, steps = outcomes(shell)
    assert (code, set(failed)) == (20, {"KC-ROT-002", "KC-ROT-003", "KC-SRV-001"})
    assert "which cp2 and cp3 cannot read" in failed["KC-ROT-002"][0]
    assert "put it in the place of the file on cp2, cp3 and cp1" in steps[1]
    code, failed, _ = outcomes(shell, "status")
    assert (code, "KC-ROT-002" in failed) == (20, True)

    union = shell.folder / "union.yaml"
    bundle = shell.folder / "bundle.tar.gz"
    made = shell.keyctl("doctor", "--union-config", union, "--bundle", bundle)
    assert made.code == 20
    assert "opens with it" in made.stdout
    assert [stat.S_IMODE(path.stat().st_mode) for path in (union, bundle)] == [0o600, 0o600]
    # Some stand under another key than the one that writes (11), and none is unreadable (12) or plaintext (13).
    assert shell.keyctl("verify-secrets", "--encryption-config", union).code == 11
    assert shell.keyctl("doctor", "--union-config", union).code == 5

    for name, file in files(lab).items():
        file.write_bytes(union.read_bytes())
        lab.restart(name)
    assert outcomes(shell)[:2] == (0, {})
    # The step after that: preflight takes the union, and the old values are to be rewritten.
    assert shell.keyctl("rotate", "--dry-run").code == 0
    assert leaks(key_texts([*files(lab).values(), union]), shell.said) == []
    assert wrong_hints(shell.said) == []


def test_the_old_key_dropped_on_one_server_is_brought_back_by_the_union(lab: Lab, shell: Shell) -> None:
    promoted = new_key_first(files(lab)["cp1"].read_bytes())
    for name, file in files(lab).items():
        file.write_bytes(promoted)
        lab.restart(name)
    create_secret(lab, "default", "under-the-new-one")
    cp2 = files(lab)["cp2"]
    cp2.write_bytes(old_key_dropped(promoted))
    code, failed, _ = outcomes(shell)
    assert (code, {"KC-ROT-004", "KC-ROT-007"} <= set(failed)) == (20, True)
    # It never becomes ready again: that is the accident.
    with pytest.raises(KeyctlError):
        lab.restart("cp2", seconds=4)

    code, failed, steps = outcomes(shell)
    assert code == 20
    assert {"KC-ROT-003", "KC-SRV-001"} <= set(failed)
    assert failed["KC-ROT-003"][0].startswith("cp2 cannot read 4 of secrets")
    assert "put it in the place of the file on cp2, cp1 and cp3" in steps[1]

    union = shell.folder / "union.yaml"
    assert shell.keyctl("doctor", "--union-config", union).code == 20
    assert shell.keyctl("verify-secrets", "--encryption-config", union).code == 11
    cp2.write_bytes(union.read_bytes())
    lab.restart("cp2")
    code, failed, _ = outcomes(shell)
    assert (code, failed) == (0, {})
    assert wrong_hints(shell.said) == []


def test_one_server_down_hides_no_other_and_is_exit_4(lab: Lab, shell: Shell) -> None:
    lab.stop("cp3")
    answer = shell.keyctl("status", "-o", "json")
    document = json.loads(answer.stdout)
    assert answer.code == 4
    assert [server["state"] for server in document["servers"]] == ["ok", "ok", "down"]
    assert document["scanned"] is True
    assert shell.keyctl("doctor").code == 4
