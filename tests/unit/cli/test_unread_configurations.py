"""What nobody could read is not proven: verify-secrets and sanitize where configurations stay out of reach."""

from __future__ import annotations

import json

import pytest
import yaml

from keyctl.cli import main, wiring
from keyctl.errors import ExitCode
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints
from tests.unit.cli.test_sanitize import AT, KEY, SEALED, Scene, sanitize, scene
from tests.unit.cli.test_verification import FakeEtcd

__all__ = ["scene"]

LOCAL = {"type": "local"}
DEAD = {"type": "ssh", "address": "cp1.invalid", "user": "root"}
ENDPOINTS = "https://m0:2379,https://m1:2379,https://m2:2379"
DAMAGED = {AT: SEALED[AT][:-9] + b"damagedXX"}


def servers(scene: Scene, *hosts: dict[str, str]) -> None:
    """The cluster file lists a server on each of `hosts`, all with enc.yaml."""
    file = str(scene.folder / "enc.yaml")
    listed = [
        {"name": f"cp{n}", "url": f"https://127.0.0.{n}:6443", "encryptionConfig": file, "host": host}
        for n, host in enumerate(hosts, 1)
    ]
    path = scene.folder / "keyctl.yaml"
    document = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(document | {"apiServers": listed}))


def stored(monkeypatch: pytest.MonkeyPatch, values: dict[bytes, bytes]) -> None:
    monkeypatch.setattr(wiring, "etcd", lambda connection: FakeEtcd(connection, values))


@pytest.mark.parametrize("values", [SEALED, DAMAGED], ids=["sealed", "damaged"])
def test_where_no_configuration_of_those_that_are_named_could_be_read_nothing_is_proven(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: dict[bytes, bytes]
) -> None:
    servers(scene, DEAD, DEAD)
    stored(monkeypatch, values)
    assert main.run(["verify-secrets"]) == ExitCode.UNREACHABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert "nothing is proven" in told.err
    assert "the configuration of cp2 was not read" in told.err
    assert wrong_hints([told.err]) == []


def test_what_one_server_could_not_show_is_not_passed_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers(scene, LOCAL, DEAD)
    stored(monkeypatch, dict(SEALED))
    assert main.run(["verify-secrets", "-o", "json"]) == ExitCode.UNREACHABLE
    report = json.loads(capsys.readouterr().out)
    assert report["exitCode"] == ExitCode.UNREACHABLE
    assert [one["id"] for one in report["findings"] if one["status"] == "unknown"] == ["KC-SRV-002"]
    assert main.run(["verify-secrets"]) == ExitCode.UNREACHABLE
    assert "the configuration of 1 API server was NOT read" in capsys.readouterr().out
    servers(scene, DEAD, LOCAL, DEAD)
    assert main.run(["verify-secrets"]) == ExitCode.UNREACHABLE
    assert "the configuration of 2 API servers was NOT read" in capsys.readouterr().out


def test_what_is_wrong_by_the_configurations_that_were_read_weighs_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers(scene, LOCAL, DEAD)
    stored(monkeypatch, DAMAGED)
    assert main.run(["verify-secrets"]) == ExitCode.UNREADABLE


def test_a_file_that_is_given_takes_the_place_of_what_could_not_be_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers(scene, DEAD)
    stored(monkeypatch, dict(SEALED))
    assert main.run(["verify-secrets", "--encryption-config", "enc.yaml"]) == ExitCode.OK


def test_without_any_configuration_the_heads_alone_are_told_as_such(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene.folder / "keyctl.yaml").unlink()
    monkeypatch.setattr(wiring, "MANIFEST", scene.folder / "no-manifest")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(scene.folder))
    stored(monkeypatch, dict(SEALED))
    tls = ("--cacert", "client-ca.crt", "--cert", "client.crt", "--key", "client.key")
    assert main.run(["verify-secrets", "--endpoints", "https://m0:2379", *tls]) == ExitCode.OK
    assert "told from their heads; they were not all opened" in capsys.readouterr().out


@pytest.mark.parametrize("hosts", [(DEAD,), (DEAD, LOCAL), None], ids=["none", "not all", "no cluster file"])
def test_sanitize_does_not_promise_what_it_did_not_look_for(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    hosts: tuple[dict[str, str], ...] | None,
) -> None:
    flags: tuple[str, ...] = ()
    if hosts is None:
        (scene.folder / "keyctl.yaml").unlink()
        monkeypatch.setattr(wiring, "MANIFEST", scene.folder / "no-manifest")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(scene.folder))
        flags = ("--endpoints", ENDPOINTS, "--cacert", "client-ca.crt", "--cert", "client.crt", "--key", "client.key")
    else:
        servers(scene, *hosts)
    assert sanitize("--yes", *flags) == ExitCode.INCOMPLETE
    told = capsys.readouterr().out
    assert "no retired key in a fresh snapshot" not in told
    assert "leaks nothing of this any more" not in told
    words = "what only the configuration of 1 API server" if hosts and len(hosts) > 1 else "plaintext of anything but"
    assert f"NOT looked for: {words}" in told


def test_what_sanitize_finds_weighs_more_than_what_it_did_not_look_for(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    servers(scene, DEAD)
    for member in scene.cluster.members.values():
        member.live[AT] = seal.secret("s")
    assert sanitize("--yes") == ExitCode.PLAINTEXT
    assert "NOT looked for" in capsys.readouterr().out


def test_sanitize_judges_by_every_configuration_where_they_differ(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    servers(scene, LOCAL, LOCAL)
    path = scene.folder / "keyctl.yaml"
    write_config(scene.folder / "other.yaml", seal.key("other", fill=7))
    head, _, tail = path.read_text().rpartition("enc.yaml")
    path.write_text(f"{head}other.yaml{tail}")
    assert sanitize("--yes") == ExitCode.UNREADABLE
    assert "the worst result by any is shown" in capsys.readouterr().out


def test_a_snapshot_knows_the_keys_of_every_server_where_they_differ(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = seal.key("other", fill=7)
    at = b"/registry/secrets/default/t"
    for member in scene.cluster.members.values():
        member.live[at] = seal.seal(other, at, seal.secret("t"))
    servers(scene, LOCAL, LOCAL)
    path = scene.folder / "keyctl.yaml"
    write_config(scene.folder / "other.yaml", other)
    head, _, tail = path.read_text().rpartition("enc.yaml")
    path.write_text(f"{head}other.yaml{tail}")
    assert main.run(["snapshot", "save", "s.db"]) == ExitCode.OK
    document = json.loads((scene.folder / "s.db.keyctl.json").read_text())
    assert {key["name"]: key["fingerprint"] for key in document["keys"]} == {
        "key1": KEY.fingerprint,
        "other": other.fingerprint,
    }
