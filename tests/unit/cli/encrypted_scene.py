"""A cluster, its backups and the people who can open them, for tests of `keyctl snapshot` with encryption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.errors import ExitCode
from keyctl.keys.file_store import FileKeyStore
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.unit.backup.fake_cluster import FakeCluster, FakeMember
from tests.unit.backup.real_snapshots import Person, SendingEtcd
from tests.unit.cli.test_wiring import settings

KEY = seal.key("key1")
AT = b"/registry/secrets/default/s"


class Scene:
    """A folder with a cluster file, an etcd behind it, and two people of whom one can open the backups."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.backups, self.scratch = folder, folder / "backups", folder / "scratch"
        for made in (self.backups, self.scratch):
            made.mkdir(0o700)
        self.cluster = FakeCluster({"m0": FakeMember("m0", {AT: seal.seal(KEY, AT, seal.secret("s"))})})
        self.etcd = SendingEtcd(self.cluster, "m0")
        self.owner, self.stranger = Person(), Person()
        self.owner.file(folder / "owner.identity")
        self.stranger.file(folder / "stranger.identity")

    @property
    def store(self) -> FileKeyStore:
        return FileKeyStore(self.folder / "keys", cluster="trial", clock=wiring.SystemClock().now)

    def save(self, *more: str, file: str = "backups") -> int:
        words = ("--encrypt-to", self.owner.recipient, "--scratch", "scratch", *more)
        return main.run(["snapshot", "save", file, *words])

    def saved(self) -> list[str]:
        return sorted(path.name for path in self.backups.iterdir() if path.suffix != ".json")

    def aged(self, *days: float) -> list[Path]:
        """Backups of so many days ago, saved under a policy and registered, the oldest last."""
        made = []
        for number in days:
            assert self.save("--keep", "last=1000", "-q") == ExitCode.OK
            (name,) = [one for one in self.saved() if one.startswith("trial-")]
            made.append(self.backdate(self.backups / name, number))
        return made

    def backdate(self, path: Path, days: float) -> Path:
        at = wiring.SystemClock().now() - timedelta(days=days)
        older = path.with_name(f"old-{days:06.1f}.db.age")
        path.rename(older)
        manifest = json.loads(path.with_name(f"{path.name}.keyctl.json").read_text())
        path.with_name(f"{path.name}.keyctl.json").unlink()
        older.with_name(f"{older.name}.keyctl.json").write_text(
            json.dumps(manifest | {"file": older.name, "at": at.isoformat()})
        )
        (noted,) = [one for one in self.store.backups() if one.location == str(path)]
        self.store.forget_backup(noted.location)
        self.store.note_backup(replace(noted, location=str(older), at=at.isoformat()))
        return older

    def locations(self) -> list[str]:
        return sorted(Path(one.location).name for one in self.store.backups())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The cluster file is keyctl.yaml, its one server has enc.yaml. Nothing lies open when a test ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for name in ("ENDPOINTS", "CACERT", "CERT", "KEY"):
        monkeypatch.delenv(f"ETCDCTL_{name}", raising=False)
    settings(tmp_path, kubernetes=None, keys={"store": "file", "directory": "keys"})
    (tmp_path / "trial.yaml").rename(tmp_path / "keyctl.yaml")
    write_config(tmp_path / "enc.yaml", KEY)
    scene = Scene(tmp_path)
    monkeypatch.setattr(wiring, "etcd", lambda _: scene.etcd)
    yield scene
    assert list(scene.scratch.iterdir()) == []


def run(*words: str) -> int:
    return main.run(["snapshot", *words])
