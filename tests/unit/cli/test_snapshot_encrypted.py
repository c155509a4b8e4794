"""Encrypted backups as a user meets them: saved, and looked at with and without an identity."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, RefusedError
from keyctl.keys.backups import Proof
from tests.support.hints import wrong_hints
from tests.unit.cli.encrypted_scene import AT, KEY, Scene, run, scene

__all__ = ["scene"]


def test_it_is_saved_into_a_directory_encrypted_private_and_registered(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int]] = []

    def look(path: Path) -> None:
        seen.append((stat.S_IMODE(path.parent.stat().st_mode), stat.S_IMODE(path.stat().st_mode)))
        assert path.absolute().is_relative_to(scene.scratch)

    scene.etcd.then = look
    assert scene.save("-o", "json") == ExitCode.OK
    told = capsys.readouterr()
    (name,) = scene.saved()
    assert re.fullmatch(r"trial-\d{8}T\d{6}Z\.db\.age", name)
    content = (scene.backups / name).read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert AT not in content
    assert stat.S_IMODE((scene.backups / name).stat().st_mode) == 0o600
    assert seen == [(0o700, 0o600)]
    manifest = json.loads(told.out)["manifest"]
    assert manifest["encryption"]["recipients"] == [scene.owner.recipient]
    assert manifest["encryption"]["size"] == len(content) > manifest["size"]
    assert manifest["keep"] is None
    (noted,) = scene.store.backups()
    assert (noted.location, noted.sha256, noted.needs) == (
        str(scene.backups / name),
        manifest["sha256"],
        (KEY.ref,),
    )


def test_without_an_identity_its_bytes_are_compared_and_with_one_it_is_read_whole(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.save("-q", file="s.db.age")
    assert run("verify", "s.db.age") == ExitCode.OK
    closed = capsys.readouterr().out
    assert "not looked into" in closed
    assert run("verify", "s.db.age", "--identity", "owner.identity", "--scratch", "scratch", "-o", "json") == 0
    (told,) = json.loads(capsys.readouterr().out)["snapshots"]
    assert (told["manifest"], told["integrity"], told["values"], told["opened"]) == ("matches", "sha256-ok", 1, True)
    assert run("verify", "s.db.age", "--identity", "stranger.identity", "--scratch", "scratch") == ExitCode.UNUSABLE
    assert "encrypted to others than this identity" in capsys.readouterr().out
    assert wrong_hints([closed]) == []


@pytest.mark.parametrize("identity", [(), ("--identity", "owner.identity", "--scratch", "scratch")])
@pytest.mark.parametrize("damage", ["cut", "cut at a chunk", "flipped", "longer", "exchanged"])
def test_what_was_changed_is_refused_with_and_without_an_identity(
    scene: Scene, damage: str, identity: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    scene.cluster.members["m0"].live[b"/registry/configmaps/default/large"] = os.urandom(200_000)
    scene.save("-q", file="s.db.age")
    path = Path("s.db.age")
    content = path.read_bytes()
    header = content.index(b"\n--- ") + 1
    header = content.index(b"\n", header) + 1
    changed = {
        "cut": content[:-5000],
        "cut at a chunk": content[: header + 16 + (65536 + 16)],
        "flipped": content[:-5000] + bytes([content[-5000] ^ 1]) + content[-4999:],
        "longer": content + b"x",
    }
    if damage == "exchanged":
        scene.save("-q", file="t.db.age")
        shutil.copy("t.db.age", path)
    else:
        path.write_bytes(changed[damage])
    assert run("verify", "s.db.age", *identity) == ExitCode.UNUSABLE
    assert re.search("KC-SNAP-00[12]", capsys.readouterr().out)


def test_without_its_manifest_nothing_is_known_of_it_but_what_an_identity_shows(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.save("-q", file="s.db.age")
    Path("s.db.age.keyctl.json").unlink()
    assert run("verify", "s.db.age") == ExitCode.UNUSABLE
    told = capsys.readouterr().out
    assert "KC-SNAP-012" in told
    assert wrong_hints([told]) == []
    assert run("verify", "s.db.age", "--identity", "owner.identity", "--scratch", "scratch") == ExitCode.OK


def test_a_snapshot_that_is_damaged_when_it_arrives_is_not_encrypted_and_nothing_is_left(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[-2000] ^= 1
        path.write_bytes(content)

    scene.etcd.then = damage
    assert scene.save() == ExitCode.STOPPED
    assert (scene.saved(), scene.store.backups()) == ([], ())
    assert "no sound snapshot" in capsys.readouterr().err


def test_a_place_that_has_no_room_for_what_lies_open_is_told_and_nothing_is_registered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path) -> None:
        raise RefusedError(f"{path.parent} has no room for the snapshot", hint="give a path on a larger disk")

    scene.etcd.then = full
    assert scene.save() == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "--scratch DIR" in told
    assert "larger disk" not in told
    assert (scene.saved(), scene.store.backups()) == ([], ())

    def none(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("keyctl.backup.sealing.scratch_directory", none)
    assert scene.save() == ExitCode.STOPPED
    assert (scene.saved(), scene.store.backups()) == ([], ())


def test_it_is_inspected_and_tested_with_an_identity_and_refused_without(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.save("-q")
    (name,) = scene.saved()
    file = f"backups/{name}"
    opening = ("--identity", "owner.identity", "--scratch", "scratch")
    assert run("inspect", file) == ExitCode.UNUSABLE
    told = capsys.readouterr().err
    assert "--identity" in told
    assert wrong_hints([told]) == []
    assert run("inspect", file, *opening, "--register", "--encryption-config", "enc.yaml", "-o", "json") == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert [key["values"] for key in shown["keys"]] == [1]
    assert scene.locations() == [name]
    words = ("restore-test", "backups", *opening, "--encryption-config", "enc.yaml", "--offline")
    assert run(*words, "--report", "openmetrics=drill.prom") == ExitCode.OK
    assert "whole; 1 values" in capsys.readouterr().out
    (noted,) = scene.store.backups()
    assert noted.tested is not None
    assert noted.tested.proof is Proof.OPENED
    assert (
        'keyctl_report_backup_tested_timestamp_seconds{report="RestoreTestReport",result="opened"}'
        in Path("drill.prom").read_text()
    )


def test_a_drill_that_finds_damage_is_noted_as_failed(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.save("-q", file="s.db.age")
    content = bytearray(Path("s.db.age").read_bytes())
    content[-100] ^= 1
    Path("s.db.age").write_bytes(content)
    words = ("--identity", "owner.identity", "--scratch", "scratch", "--offline", "--report", "openmetrics=drill.prom")
    assert run("restore-test", "s.db.age", *words) == ExitCode.UNUSABLE
    (noted,) = scene.store.backups()
    assert noted.tested is not None
    assert noted.tested.proof is Proof.FAILED
    told = Path("drill.prom").read_text()
    assert 'keyctl_report_exit_code{report="RestoreTestReport"} 3' in told
    assert 'keyctl_report_backup_tested_timestamp_seconds{report="RestoreTestReport",result="failed"}' in told
    capsys.readouterr()
    assert run("restore-test", "s.db.age", "--identity", "stranger.identity", "--offline") == ExitCode.UNUSABLE


def test_a_drill_that_finds_an_unencrypted_file_damaged_is_noted_as_failed_too(scene: Scene) -> None:
    assert run("save", "s.db", "-q") == ExitCode.OK
    content = bytearray(Path("s.db").read_bytes())
    content[-2000] ^= 1
    Path("s.db").write_bytes(content)
    assert run("restore-test", "s.db", "--offline", "--encryption-config", "enc.yaml") == ExitCode.UNUSABLE
    (noted,) = scene.store.backups()
    assert noted.tested is not None
    assert noted.tested.proof is Proof.FAILED


def test_a_drill_that_could_not_be_made_is_no_failed_one(scene: Scene) -> None:
    scene.save("-q", file="s.db.age")
    for more in ((), ("--identity", "stranger.identity", "--scratch", "scratch")):
        assert run("restore-test", "s.db.age", "--offline", *more) == ExitCode.UNUSABLE
    assert [one.tested for one in scene.store.backups()] == [None]


def test_a_directory_without_a_backup_is_no_drill(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("restore-test", "backups", "--offline") == ExitCode.UNUSABLE
    told = capsys.readouterr().err
    assert "no backup with a manifest" in told
    assert wrong_hints([told]) == []


def test_an_identity_that_others_can_read_is_refused(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.save("-q", file="s.db.age")
    Path("owner.identity").chmod(0o644)
    assert run("verify", "s.db.age", "--identity", "owner.identity") == ExitCode.UNUSABLE
    assert "can be used by others" in capsys.readouterr().err


def test_a_secret_key_in_the_place_of_a_recipient_is_refused_and_not_repeated(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("save", "backups", "--encrypt-to", scene.owner.identity) == ExitCode.USAGE
    told = capsys.readouterr()
    assert scene.owner.identity not in told.err + told.out
    assert scene.cluster.done == []


def test_a_manifest_that_names_another_size_than_the_encrypted_file_shows_is_told_without_an_identity(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.save("-q", file="backups/a.db.age") == ExitCode.OK
    manifest = scene.backups / "a.db.age.keyctl.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(document | {"size": document["size"] + 1}))
    assert run("verify", "backups/a.db.age") == ExitCode.UNUSABLE
    assert "KC-SNAP-002" in capsys.readouterr().out


def test_a_recipient_that_is_no_text_is_wrong_usage(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("save", "backups", "--encrypt-to", "\udcff") == ExitCode.USAGE
    assert "recipient 1 is neither" in capsys.readouterr().err


def test_recipients_that_cannot_be_read_are_told_to_monitoring(scene: Scene) -> None:
    words = ("save", "backups", "--recipients-file", "gone.txt", "--report", "openmetrics=m.prom")
    assert run(*words) == ExitCode.UNUSABLE
    assert 'keyctl_report_exit_code{report="SnapshotSaveReport"} 3' in Path("m.prom").read_text()


def test_an_identity_in_a_pipe_is_refused_with_what_to_do(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert scene.save("-q", file="backups/a.db.age") == ExitCode.OK
    read, write = os.pipe()
    try:
        assert run("verify", "backups/a.db.age", "--identity", f"/dev/fd/{read}") == ExitCode.UNUSABLE
    finally:
        os.close(read)
        os.close(write)
    told = capsys.readouterr().err
    assert "it is a pipe, no regular file" in told
    assert "is piped into stdin" in told


def test_a_drill_of_a_directory_does_not_pass_over_the_newest_where_that_was_cut(scene: Scene) -> None:
    scene.aged(1)
    assert scene.save("-q") == ExitCode.OK
    (fresh,) = scene.backups.glob("trial-*.age")
    os.truncate(fresh, fresh.stat().st_size - 20)
    words = ("restore-test", "backups", "--offline", "--identity", "owner.identity", "--scratch", "scratch")
    assert run(*words) == ExitCode.UNUSABLE
    (noted,) = [one for one in scene.store.backups() if one.location == str(fresh)]
    assert noted.tested is not None
    assert noted.tested.proof is Proof.FAILED
