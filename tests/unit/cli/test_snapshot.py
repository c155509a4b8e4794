"""`keyctl snapshot`: what is built of flags and cluster file, what is refused before any connection, what is said."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.errors import ExitCode
from keyctl.keys.file_store import FileKeyStore
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints
from tests.unit.backup.databases import snapshot
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot
from tests.unit.cli.test_wiring import settings

KEY = seal.key("key1")
AT = b"/registry/secrets/default/s"
FLAGS = ("--cacert", "client-ca.crt", "--cert", "client.crt", "--key", "client.key")


class Scene:
    """A folder with a cluster file, and an etcd behind it. `connected` holds every connection that was built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = FakeCluster({"m0": FakeMember("m0", {AT: seal.seal(KEY, AT, seal.secret("s"))})})
        self.connected: list[EtcdConnection] = []

    def etcd(self, connection: EtcdConnection) -> FakeEtcd:
        self.connected.append(connection)
        return FakeEtcd(self.cluster, "m0")

    @property
    def store(self) -> FileKeyStore:
        return FileKeyStore(self.folder / "keys", cluster="trial", clock=wiring.SystemClock().now)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The cluster file is keyctl.yaml, its one server has enc.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for name in ("ENDPOINTS", "CACERT", "CERT", "KEY"):
        monkeypatch.delenv(f"ETCDCTL_{name}", raising=False)
    settings(tmp_path, kubernetes=None, keys={"store": "file", "directory": "keys"})
    (tmp_path / "trial.yaml").rename(tmp_path / "keyctl.yaml")
    write_config(tmp_path / "enc.yaml", KEY)
    scene = Scene(tmp_path)
    monkeypatch.setattr(wiring, "etcd", scene.etcd)
    monkeypatch.setattr("keyctl.etcd_files.source.SnapshotSource", FakeSnapshot)
    return scene


def save(*arguments: str) -> int:
    return main.run(["snapshot", "save", *arguments])


def test_what_the_cluster_file_names_is_saved_and_noted_in_its_register(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save("s.db", "-o", "json") == ExitCode.OK
    told = capsys.readouterr()
    report = json.loads(told.out)
    (backup,) = scene.store.backups()
    assert (backup.location, backup.needs) == (str(scene.folder / "s.db"), (KEY.ref,))
    assert report["registeredIn"] == str(scene.folder / "keys")
    assert [key["fingerprint"] for key in report["manifest"]["keys"]] == [KEY.fingerprint]
    assert scene.connected[0].endpoints == ("https://127.0.0.1:2379",)
    for secret in (base64.b64encode(KEY.material).decode(), KEY.material.hex()):
        assert secret not in told.out + told.err + (scene.folder / "s.db.keyctl.json").read_text()


def test_endpoints_of_another_etcd_are_not_noted_in_the_register_of_this_cluster(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save("s.db", "--endpoints", "https://10.9.9.9:2379") == ExitCode.OK
    assert "no register was told of it: --endpoints are not those of the cluster file" in capsys.readouterr().out
    assert scene.store.backups() == ()
    assert save("t.db", "--endpoints", "https://127.0.0.1:2379") == ExitCode.OK
    assert len(scene.store.backups()) == 1


@pytest.mark.parametrize("taken", ["s.db", "s.db.keyctl.json"])
def test_a_name_that_is_taken_is_refused_before_anything_is_connected(
    scene: Scene, taken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene.folder / taken).write_text("mine")
    assert save("s.db") == ExitCode.REFUSED
    assert f"{taken} exists already" in capsys.readouterr().err
    assert (scene.connected, (scene.folder / taken).read_text()) == ([], "mine")


def test_quiet_says_nothing_when_all_is_right(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert save("s.db", "-q") == ExitCode.OK
    assert capsys.readouterr() == ("", "")


def test_quiet_does_not_hide_what_is_wrong(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(scene.folder / "enc.yaml", seal.key("other", fill=9))
    assert save("s.db", "-q") == ExitCode.UNREADABLE
    assert "KC-SNAP-005" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_file_and_no_note(scene: Scene, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        scene.cluster.before = lambda _: signal.raise_signal(number)
        assert save("s.db") == ExitCode.INTERRUPTED
        assert [path.name for path in scene.folder.glob("s.db*")] == []
        assert scene.store.backups() == ()
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def add_override(scene: Scene) -> None:
    path = scene.folder / "keyctl.yaml"
    override = "  overrides:\n  - {resources: [events], endpoints: ['https://10.0.0.9:2379']}\n"
    path.write_text(path.read_text().replace("etcd:\n", f"etcd:\n{override}"))


def saved(scene: Scene) -> list[str]:
    return sorted(path.name for path in scene.folder.glob("*.db"))


def test_an_etcd_for_some_resources_is_saved_too_and_noted(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    add_override(scene)
    assert save("s.db", "-o", "json") == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert [(one["etcd"], one["file"]) for one in report["snapshots"]] == [("main", "s.db"), ("events", "s.events.db")]
    assert saved(scene) == ["s.db", "s.events.db"]
    assert [Path(one.location).name for one in scene.store.backups()] == ["s.db", "s.events.db"]
    assert [one.endpoints for one in scene.connected] == [("https://127.0.0.1:2379",), ("https://10.0.0.9:2379",)]


def test_one_etcd_is_saved_alone_where_it_is_named(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    add_override(scene)
    assert save("s.db", "--etcd", "events") == ExitCode.OK
    told = capsys.readouterr().out
    assert saved(scene) == ["s.db"]
    assert json.loads((scene.folder / "s.db.keyctl.json").read_text())["etcd"]["name"] == "events"
    assert "not saved, for they were not asked for: the etcds main" in told
    assert wrong_hints([told]) == []
    assert save("t.db", "--etcd", "pods") == ExitCode.USAGE
    assert "there are: main, events" in capsys.readouterr().err


def test_endpoints_of_another_cluster_bring_nothing_of_this_one_along(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    add_override(scene)
    assert save("s.db", "--endpoints", "https://10.9.9.9:2379") == ExitCode.OK
    assert saved(scene) == ["s.db"]
    assert "not asked for: the etcds events" in capsys.readouterr().out


def test_a_snapshot_is_saved_where_a_configuration_is_missing_and_its_manifest_says_so(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene.folder / "enc.yaml").write_text("nonsense")
    assert save("s.db", "-q") == ExitCode.INCOMPLETE
    told = capsys.readouterr().out
    assert "KC-SNAP-006" in told
    assert "does not know every key" in told
    manifest = json.loads((scene.folder / "s.db.keyctl.json").read_text())
    assert (manifest["configuration"], len(manifest["configurationsUnread"])) == ("unknown", 1)
    assert [key["name"] for key in manifest["keys"]] == ["key1"]
    assert [backup.needs for backup in scene.store.backups()] == [(KEY.ref,)]


def test_without_any_configuration_it_is_saved_and_said(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    (scene.folder / "keyctl.yaml").unlink()
    assert save("s.db", "--endpoints", "https://127.0.0.1:2379", *FLAGS) == ExitCode.OK
    assert "no encryption configuration was found" in capsys.readouterr().out


def test_several_files_are_verified_and_one_bad_one_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot(tmp_path / "good.db", [(AT, b"x", 5)])
    (tmp_path / "bad.db").write_bytes(b"x" * 512)
    assert main.run(["snapshot", "verify", "good.db", "-q"]) == ExitCode.OK
    assert capsys.readouterr().out == ""
    assert main.run(["snapshot", "verify", "good.db", "bad.db", "-q", "--report", "json=r.json"]) == ExitCode.UNUSABLE
    told = capsys.readouterr()
    assert "1 of 2 snapshots cannot be relied on" in told.out
    assert [one["sound"] for one in json.loads((tmp_path / "r.json").read_text())["snapshots"]] == [True, False]
    assert wrong_hints([told.out, told.err]) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("", "it is empty"), ("-", "stdout"), *((name, "directory") for name in (".", "/", "..", "new/"))],
)
def test_what_can_be_no_file_of_a_snapshot_is_wrong_usage_and_nothing_is_connected(
    scene: Scene, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save("--", name) == ExitCode.USAGE
    assert says in capsys.readouterr().err
    assert (scene.connected, (scene.folder / "-").exists()) == ([], False)


@pytest.mark.parametrize("command", ["verify", "inspect"])
@pytest.mark.parametrize(("name", "says"), [("", "it is empty"), ("-", "not read from stdin"), (".", "directory")])
def test_what_can_be_no_snapshot_to_read_is_wrong_usage(
    command: str, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["snapshot", command, "--", name]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_a_file_that_is_called_a_dash_is_named_with_its_folder(scene: Scene) -> None:
    assert save("./-", "-q") == ExitCode.OK
    assert (scene.folder / "-.keyctl.json").exists()


def test_verify_needs_a_file() -> None:
    assert main.run(["snapshot", "verify"]) == ExitCode.USAGE


def test_inspect_takes_a_configuration_and_a_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot(tmp_path / "s.db", [(AT, seal.seal(KEY, AT, seal.secret("s")), 5)])
    write_config(tmp_path / "enc.yaml", KEY)
    inspect = ["snapshot", "inspect", "s.db", "-o", "json"]
    assert main.run([*inspect, "--encryption-config", "enc.yaml"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["keys"][0]["fingerprint"] == KEY.fingerprint
    assert main.run([*inspect, "--etcd-prefix", "/elsewhere"]) == ExitCode.EMPTY
    assert main.run(["snapshot", "inspect", "nowhere.db"]) == ExitCode.UNUSABLE
