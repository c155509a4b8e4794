"""Backups under a policy as a user meets them: what is deleted, what never is, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyctl.backup import save_all, sealing
from keyctl.cli import kept_backups, main, wiring
from keyctl.errors import ExitCode
from keyctl.keys.backups import Backup, Proof, Proven
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints
from tests.unit.backup.fake_cluster import FakeCluster, FakeMember
from tests.unit.backup.real_snapshots import SendingEtcd
from tests.unit.cli.encrypted_scene import KEY, Scene, scene

__all__ = ["scene"]


def test_the_policy_deletes_what_it_ends_and_the_register_holds_the_keys_back(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    old = scene.aged(1, 2, 3, 40)
    scene.store.note_backup(with_test(scene, old[3]))
    before = scene.saved()
    assert scene.save("--keep", "last=2,monthly=2", "--dry-run", "-o", "json") == ExitCode.OK
    planned = json.loads(capsys.readouterr().out)["keep"][0]
    assert scene.saved() == before
    assert scene.save("--keep", "last=2,monthly=1", "-o", "json") == ExitCode.OK
    (done,) = json.loads(capsys.readouterr().out)["keep"]
    assert {one["file"] for one in done["deleted"]} == {old[1].name, old[2].name, old[3].name}
    assert len(planned["kept"]) + len(planned["deleted"]) == len(done["kept"]) + len(done["deleted"]) == 5
    assert set(scene.saved()) == {one["file"] for one in done["kept"]}
    assert not old[1].with_name(f"{old[1].name}.keyctl.json").exists()
    gone = next(one for one in scene.store.backups() if one.location.endswith("@gone"))
    assert gone.needs == (KEY.ref,)
    assert gone.tested is not None
    assert gone.tested.proof is Proof.SERVED
    assert scene.locations() == sorted([*scene.saved(), "main@gone"])
    assert main.run(["snapshot", "forget", gone.location, "--yes"]) == ExitCode.OK


def with_test(scene: Scene, path: Path) -> Backup:
    (noted,) = [one for one in scene.store.backups() if one.location == str(path)]
    return replace(noted, tested=Proven(wiring.SystemClock().now().isoformat(), Proof.SERVED))


def test_without_copies_the_deleted_ones_hold_no_key_back(scene: Scene) -> None:
    scene.aged(1, 2)
    assert scene.save("--keep", "last=1", "--no-copies", "-q") == ExitCode.OK
    assert [one.needs for one in scene.store.backups() if one.location.endswith("@gone")] == [()]


def test_nothing_is_deleted_when_the_save_fails_and_the_measures_say_so(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.aged(1, 2)
    before = scene.saved()
    scene.cluster.members["m0"].down = True
    assert scene.save("--keep", "last=1", "--report", "openmetrics=m.prom") == ExitCode.UNREACHABLE
    assert scene.saved() == before
    told = Path("m.prom").read_text()
    assert 'keyctl_report_exit_code{report="SnapshotSaveReport"} 4' in told
    assert 'keyctl_report_backup_newest_timestamp_seconds{report="SnapshotSaveReport",etcd="main"}' in told
    scene.cluster.members["m0"].down = False
    write_config(scene.folder / "enc.yaml", seal.key("other", fill=9))
    assert scene.save("--keep", "last=1") == ExitCode.UNREADABLE
    assert set(before) < set(scene.saved())
    assert "nothing was deleted by the policy" in capsys.readouterr().out


def test_each_etcd_has_backups_of_its_own_and_none_goes_unless_all_were_saved(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene.folder / "keyctl.yaml"
    override = "  overrides:\n  - {resources: [events], endpoints: ['https://10.0.0.9:2379']}\n"
    path.write_text(path.read_text().replace("etcd:\n", f"etcd:\n{override}"))
    event = {b"/registry/events/default/e": seal.stored("v1", "Event", "e")}
    other = FakeCluster({"e0": FakeMember("e0", event, cluster="c2")})
    both = {"https://10.0.0.9:2379": SendingEtcd(other, "e0")}
    monkeypatch.setattr(wiring, "etcd", lambda connection: both.get(connection.endpoints[0], scene.etcd))

    def save(name: str) -> int:
        return scene.save("--keep", "last=1", "-o", "json", file=f"backups/{name}.db.age")

    assert save("a") == ExitCode.OK
    assert save("b") == ExitCode.OK
    assert scene.saved() == ["b.db.age", "b.events.db.age"]
    assert scene.locations() == ["b.db.age", "b.events.db.age", "events@gone", "main@gone"]
    capsys.readouterr()
    other.members["e0"].down = True
    assert save("c") == ExitCode.STOPPED
    assert json.loads(capsys.readouterr().out)["keep"] == []
    assert scene.saved() == ["b.db.age", "b.events.db.age", "c.db.age"]


def test_of_an_etcd_that_was_emptied_the_backups_stay(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene.folder / "keyctl.yaml"
    override = "  overrides:\n  - {resources: [events], endpoints: ['https://10.0.0.9:2379']}\n"
    path.write_text(path.read_text().replace("etcd:\n", f"etcd:\n{override}"))
    event = {b"/registry/events/default/e": seal.stored("v1", "Event", "e")}
    member = FakeMember("e0", event, cluster="c2")
    both = {"https://10.0.0.9:2379": SendingEtcd(FakeCluster({"e0": member}), "e0")}
    monkeypatch.setattr(wiring, "etcd", lambda connection: both.get(connection.endpoints[0], scene.etcd))
    assert scene.save("--keep", "last=1", file="backups/a.db.age") == ExitCode.OK
    member.live.clear()
    capsys.readouterr()
    assert scene.save("--keep", "last=1", file="backups/b.db.age") == ExitCode.OK
    assert scene.saved() == ["a.events.db.age", "b.db.age", "b.events.db.age"]
    assert "nothing of the etcd events was deleted by the policy" in capsys.readouterr().out


def test_nothing_is_deleted_where_the_one_that_was_saved_is_gone_by_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = scene.aged(1, 2)
    before = save_all.save_all

    def moved_away(*given: Any) -> save_all.Outcome:
        outcome = before(*given)
        outcome.saved[0].path.unlink()
        return outcome

    monkeypatch.setattr(save_all, "save_all", moved_away)
    assert scene.save("--keep", "last=1", "--report", "openmetrics=m.prom") == ExitCode.STOPPED
    assert [path.exists() for path in old] == [True, True]
    assert "the policy has deleted nothing" in capsys.readouterr().err
    assert 'keyctl_report_exit_code{report="SnapshotSaveReport"} 6' in Path("m.prom").read_text()


def test_backups_of_a_cluster_that_was_there_before_on_the_same_addresses_stay(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,) = scene.aged(1)
    manifest = old.with_name(f"{old.name}.keyctl.json")
    document = json.loads(manifest.read_text())
    document["etcd"]["revision"] += 1000
    manifest.write_text(json.dumps(document))
    for words in (("--dry-run",), ()):
        assert scene.save("--keep", "last=1", *words, "-o", "json") == ExitCode.OK
        (done,) = json.loads(capsys.readouterr().out)["keep"]
        assert [one["file"] for one in done["leftAlone"]] == [old.name]
    assert old.exists()


def test_what_is_in_doubt_is_left_alone_and_told(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    old = scene.aged(1, 2, 3, 4, 5, 6)
    assert scene.save("-q", file="backups/by-hand.db.age") == ExitCode.OK
    manifest = json.loads(old[1].with_name(f"{old[1].name}.keyctl.json").read_text())
    old[1].write_bytes(b"short")
    old[2].unlink()
    old[3].with_name(f"{old[3].name}.keyctl.json").write_text("nonsense")
    etcd = manifest["etcd"] | {"clusterId": "c2"}
    old[4].with_name(f"{old[4].name}.keyctl.json").write_text(
        json.dumps(manifest | {"file": old[4].name, "etcd": etcd})
    )
    scene.store.forget_backup(str(old[5]))
    (scene.backups / "notes.txt").write_text("mine")
    assert scene.save("--keep", "last=1", "-o", "json") == ExitCode.OK
    (done,) = json.loads(capsys.readouterr().out)["keep"]
    assert [one["file"] for one in done["deleted"]] == [old[0].name]
    assert {one["file"]: one["why"] for one in done["leftAlone"]} == {
        "by-hand.db.age": "it was saved without --keep",
        old[1].name: f"its manifest says {manifest['encryption']['size']} bytes, it has 5",
        old[2].name: "there is its manifest, and no file that can be seen",
        old[3].name: "its manifest cannot be read",
        old[4].name: "it is of another etcd: main, cluster c2",
        old[5].name: "the register of the key store does not know it",
    }
    assert {"notes.txt", "by-hand.db.age", old[1].name, old[3].name, old[4].name, old[5].name} < set(scene.saved())


def test_one_that_the_disk_does_not_let_go_is_told_and_stays_registered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,) = scene.aged(1)
    really = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name == old.name:
            raise PermissionError(13, "Permission denied")
        really(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    assert scene.save("--keep", "last=1") == ExitCode.STOPPED
    told = capsys.readouterr().out
    assert "KC-SNAP-013" in told
    assert old.name in scene.locations()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--keep", "last"), "--keep does not know"),
        (("--keep", "last=0"), "keep nothing"),
        (("--keep", "last=1,last=2"), "twice"),
        (("--dry-run",), "belong to a policy"),
        (("--no-copies",), "belong to a policy"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_before_anything_is_connected(
    scene: Scene, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.save(*words) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert says in told
    assert scene.cluster.done == []
    assert wrong_hints([told]) == []


def test_a_disk_without_room_leaves_the_former_ones_and_nothing_of_the_new_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.aged(1, 2)
    before = (scene.saved(), scene.locations())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing, "_require_same", full)
    assert scene.save("--keep", "last=1") == ExitCode.STOPPED
    assert (scene.saved(), scene.locations()) == before


def test_a_name_that_is_asked_for_is_that_of_a_file_and_one_made_up_fits_any_cluster(tmp_path: Path) -> None:
    now = wiring.SystemClock().now()
    wish = kept_backups.Wish()
    assert kept_backups.named(tmp_path / "a.db", "x", wish, now) == tmp_path / "a.db"
    assert kept_backups.named(tmp_path, "a/b c", wish, now).name == f"a_b_c-{now:%Y%m%dT%H%M%SZ}.db"
