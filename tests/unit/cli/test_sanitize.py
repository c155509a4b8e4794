"""`keyctl sanitize`: which members it works on, what it asks, and how it can be stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import yaml

from keyctl.cli import main, wiring
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.errors import ExitCode
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.file_store import FileKeyStore
from keyctl.rotation.journal import LocalLock
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot
from tests.unit.cli.test_wiring import settings

KEY = seal.key("key1")
AT = b"/registry/secrets/default/s"
SEALED = {AT: seal.seal(KEY, AT, seal.secret("s"))}
WHOLE = ["compact 50"] + [f"{what} {name}" for name in ("m1", "m2", "m0") for what in ("delete", "defragment")]


class Scene:
    """A folder with a cluster file over three members at https://mN:2379. `connected` holds every connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        members = {f"m{n}": FakeMember(f"m{n}", dict(SEALED), [(AT, seal.secret("s"))]) for n in range(3)}
        self.cluster = FakeCluster(members)
        self.connected: list[EtcdConnection] = []

    def etcd(self, connection: EtcdConnection) -> FakeEtcd:
        self.connected.append(connection)
        return FakeEtcd(self.cluster, *(url.removeprefix("https://").split(":")[0] for url in connection.endpoints))

    @property
    def changes(self) -> list[str]:
        return [what for what in self.cluster.done if not what.startswith("snapshot")]

    def edit(self, **changes: object) -> None:
        """Change fields below `etcd` of the cluster file."""
        path = self.folder / "keyctl.yaml"
        document = yaml.safe_load(path.read_text())
        document["etcd"] |= changes
        path.write_text(yaml.safe_dump(document))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for name in ("ENDPOINTS", "CACERT", "CERT", "KEY"):
        monkeypatch.delenv(f"ETCDCTL_{name}", raising=False)
    settings(tmp_path, kubernetes=None, keys={"store": "file", "directory": "keys"})
    (tmp_path / "trial.yaml").rename(tmp_path / "keyctl.yaml")
    write_config(tmp_path / "enc.yaml", KEY)
    scene = Scene(tmp_path)
    scene.edit(endpoints=[f"https://m{n}:2379" for n in range(3)])
    monkeypatch.setattr(wiring, "etcd", scene.etcd)
    monkeypatch.setattr("keyctl.etcd_files.source.SnapshotSource", FakeSnapshot)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    return scene


def sanitize(*arguments: str) -> int:
    return main.run(["sanitize", *arguments])


def test_with_yes_every_member_of_the_cluster_file_is_worked_on(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sanitize("--yes") == ExitCode.OK
    told = capsys.readouterr()
    assert scene.changes == WHOLE
    assert "3 members defragmented; no plaintext of what must be encrypted" in told.out
    assert "not reached: the WAL of each member" in told.out
    assert wrong_hints([told.out, told.err]) == []


def test_a_dry_run_prints_the_very_plan_and_changes_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitize("--dry-run") == ExitCode.OK
    planned = capsys.readouterr().out.splitlines()
    assert scene.cluster.done == []
    assert planned[-1] == "Nothing was changed."
    assert sanitize("--yes") == ExitCode.OK
    plan = planned[: planned.index("What this does not reach:")]
    assert capsys.readouterr().err.splitlines()[: len(plan)] == plan


def test_a_dry_run_for_machines_is_one_document(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitize("--dry-run", "-o", "json") == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    (cluster,) = report["clusters"]
    assert [(one["name"], one["leader"]) for one in cluster["members"]] == [("m1", False), ("m2", False), ("m0", True)]
    assert scene.cluster.done == []


@pytest.mark.parametrize("more", [(), ("-o", "json"), ("-q",)])
def test_off_a_terminal_it_asks_for_yes_and_does_nothing(
    scene: Scene, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sanitize(*more) == ExitCode.REFUSED
    assert "say --yes, or --dry-run" in capsys.readouterr().err
    assert scene.cluster.done == []


@pytest.mark.parametrize(("answer", "code"), [("n", ExitCode.INTERRUPTED), ("y", ExitCode.OK)])
def test_on_a_terminal_it_asks_after_the_plan(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: ExitCode
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer)
    assert sanitize() == code
    assert scene.changes == (WHOLE if answer == "y" else [])
    assert "What this does not reach:" in capsys.readouterr().err


def test_each_member_is_reached_by_its_own_address_and_name(scene: Scene) -> None:
    members = [{"name": f"m{n}", "endpoint": f"https://m{n}:2379", "serverName": f"etcd-{n}"} for n in range(3)]
    scene.edit(endpoints=["https://m0:2379"], members=members)
    assert sanitize("--yes") == ExitCode.OK
    assert scene.changes == WHOLE
    alone = {one.endpoints: one.server_name for one in scene.connected if one.server_name}
    assert alone == {(f"https://m{n}:2379",): f"etcd-{n}" for n in range(3)}


def test_a_member_that_the_file_does_not_list_is_reached_by_its_endpoint(scene: Scene) -> None:
    scene.edit(members=[{"name": "m1", "endpoint": "https://m1:2379", "serverName": "etcd-1"}])
    assert sanitize("--yes") == ExitCode.OK
    assert scene.changes == WHOLE
    assert [one.server_name for one in scene.connected if one.endpoints == ("https://m1:2379",)] == ["etcd-1"]


def test_endpoints_on_the_command_line_stand_above_the_members_of_the_file(scene: Scene) -> None:
    scene.edit(members=[{"name": "m9", "endpoint": "https://m9:2379"}])
    assert sanitize("--yes", "--endpoints", "https://m0:2379,https://m1:2379,https://m2:2379") == ExitCode.OK
    assert scene.changes == WHOLE


def test_an_etcd_for_some_resources_is_worked_on_too(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.edit(overrides=[{"resources": ["events"], "endpoints": ["https://m0:2379", "https://m1:2379"]}])
    assert sanitize("--dry-run") == ExitCode.REFUSED
    assert "etcd of https://m0:2379 is not in a state" in capsys.readouterr().err


def test_a_key_that_the_ledger_calls_deactivated_counts_as_left_behind(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FileKeyStore(scene.folder / "keys", cluster="trial", clock=wiring.SystemClock().now)
    old = seal.key("old", fill=2)
    store.put(old, origin="imported")
    store.note_state(old.ref, "deactivated")
    kept = scene.folder / "a.db"
    kept.touch()
    store.note_backup(Backup(BackupKind.SNAPSHOT, str(kept), "2026-11-21T10:00:00+00:00", 9, (old.ref,)))
    write_config(scene.folder / "enc.yaml", KEY, old)
    leave = [(AT, seal.seal(old, AT, seal.secret("s")))]
    scene.cluster.before = lambda what: scene.cluster.members["m0"].history.extend(leave * (what == "snapshot m0"))
    assert sanitize("--yes") == ExitCode.RESIDUE
    told = capsys.readouterr().out
    assert "KC-DAT-011 m0:" in told
    assert f"the snapshot {kept}" in told


def test_two_at_once_are_refused_for_they_could_take_two_members_away(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = LocalLock(wiring.state_directory("trial"))
    lock.acquire()
    try:
        assert sanitize("--yes") == ExitCode.REFUSED
    finally:
        lock.release()
    assert "another keyctl is changing the cluster trial" in capsys.readouterr().err
    assert scene.cluster.done == []
    assert sanitize("--yes", "-q") == ExitCode.OK


@pytest.mark.parametrize("other", [("--endpoints", "https://m0:2379,https://m1:2379,https://m2:2379"), ()])
def test_a_run_that_comes_without_the_cluster_file_is_told_of_one_that_works_with_it(
    scene: Scene, capsys: pytest.CaptureFixture[str], other: tuple[str, ...]
) -> None:
    codes: list[int] = []

    def meanwhile(what: str) -> None:
        if what == "compact 50" and not codes:
            codes.append(-1)
            scene.cluster.before = lambda _: None
            path = scene.folder / "keyctl.yaml"
            document = yaml.safe_load(path.read_text())
            path.write_text(yaml.safe_dump(document | {"name": "another"}))
            codes.append(sanitize("--yes", *other))

    scene.cluster.before = meanwhile
    assert sanitize("--yes") == ExitCode.OK
    assert codes == [-1, ExitCode.REFUSED]
    assert scene.changes == WHOLE
    assert "another keyctl is sanitizing this etcd" in capsys.readouterr().err


def test_an_etcd_for_some_resources_is_locked_too(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    beside = FakeMember("m9", dict(SEALED), leader="m9", cluster="c9")
    scene.cluster.members["m9"] = beside
    plain = scene.etcd
    others = FakeCluster({"m9": beside})

    def etcd(connection: EtcdConnection) -> FakeEtcd:
        return FakeEtcd(others, "m9") if connection.endpoints == ("https://m9:2379",) else plain(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "etcd", etcd)
        scene.edit(overrides=[{"resources": ["events"], "endpoints": ["https://m9:2379"]}])
        lock = LocalLock(wiring.state_directory("etcd-c9"))
        lock.acquire()
        assert sanitize("--yes") == ExitCode.REFUSED
        lock.release()
        assert "another keyctl is sanitizing this etcd (etcd of https://m9:2379)" in capsys.readouterr().err
        assert (scene.changes, others.done) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_after_the_act_under_way(
    scene: Scene, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    scene.cluster.before = lambda what: signal.raise_signal(number) if what == "delete m2" else None
    assert sanitize("--yes") == ExitCode.STOPPED
    assert scene.changes == WHOLE[:4]
    told = capsys.readouterr().err
    assert "so far: compacted to revision 50, defragmented m1" in told
    assert wrong_hints([told]) == []
    assert signal.getsignal(number) is before


def test_quiet_still_shows_the_result(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitize("--yes", "-q") == ExitCode.OK
    told = capsys.readouterr()
    assert told.err == ""
    assert "3 members defragmented" in told.out
