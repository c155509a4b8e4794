"""Encrypted backups under a policy as a timer makes them: a real etcd, real files, and what may go wrong with them."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme

from tests.support import seal
from tests.support.encryption_file import key_texts, leaks, write_config
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.seeded import Answered, seed
from tests.support.server_flags import encrypt_by_hand
from tests.support.shell import Shell
from tests.unit.backup.real_snapshots import Person

pytestmark = pytest.mark.live

KEY = seal.key("first")
SECRETS = 6
MARK = b"a name that stands in clear in every snapshot"
OPENING = ("--identity", "owner.identity", "--scratch", "scratch")
_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from keyctl.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), trustme.CA()) as running:
        with EtcdWriter(running) as writer:
            for number in range(SECRETS):
                key = b"/registry/secrets/default/s%02d" % number
                writer.put([(key, seal.seal(KEY, key, seal.secret(f"s{number:02}")))])
            for number in range(4):
                writer.put([(b"/ballast/%d" % number, MARK + bytes(500_000))])
        yield running


class Site:
    """A folder with a directory of backups, a cluster file with a key store, and two people with identities."""

    def __init__(self, etcd: RunningEtcd, folder: Path) -> None:
        self.shell, self.backups = Shell(folder), folder / "backups"
        for made in (self.backups, folder / "scratch"):
            made.mkdir(0o700)
        self.owner = Person()
        self.owner.file(folder / "owner.identity")
        Person().file(folder / "stranger.identity")
        write_config(folder / "enc.yaml", KEY)
        access = {"cacert": etcd.tls.ca, "cert": etcd.tls.cert, "key": etcd.tls.key}
        cluster = {
            "apiVersion": "keyctl/v1",
            "kind": "Cluster",
            "name": "site",
            "etcd": {"endpoints": [etcd.url]} | {name: str(path) for name, path in access.items()},
            "keys": {"store": "file", "directory": "keys"},
        }
        (folder / "keyctl.yaml").write_text(json.dumps(cluster))

    def words(self, *more: str) -> tuple[str, ...]:
        to = ("--encrypt-to", self.owner.recipient, "--scratch", "scratch", "--encryption-config", "enc.yaml")
        return ("snapshot", "save", "backups", *to, "-o", "json", *more)

    def save(self, *more: str) -> dict[str, object]:
        # Names have the second in them.
        before = len(self.files())
        ran = self.shell.keyctl(*self.words(*more))
        while ran.code == 5 and len(self.files()) == before:
            time.sleep(0.3)
            ran = self.shell.keyctl(*self.words(*more))
        assert ran.code == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert isinstance(report, dict)
        return report

    def limited(self, most: int, *words: str) -> Answered:
        """keyctl where no file may become larger than `most` bytes: a disk that refuses in the middle."""
        ran = subprocess.run(
            [sys.executable, "-c", _LIMITED, str(most), *words],
            cwd=self.shell.folder,
            env=self.shell.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.shell.said += [ran.stdout, ran.stderr]
        return Answered(ran.returncode, ran.stdout, ran.stderr)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.backups.iterdir()}

    def register(self) -> list[str]:
        listed = json.loads(self.shell.keyctl("keys", "list", "-o", "json").stdout)
        return sorted(Path(one["location"]).name for one in listed["backups"])


def deleted(report: dict[str, object]) -> list[str]:
    """What the policy deleted, of the one etcd."""
    rotations = report["keep"]
    assert isinstance(rotations, list)
    return [one["file"] for rotation in rotations for one in rotation["deleted"]]


@pytest.fixture
def site(etcd: RunningEtcd, tmp_path: Path) -> Generator[Site]:
    site = Site(etcd, tmp_path)
    yield site
    assert list((tmp_path / "scratch").iterdir()) == []
    assert wrong_hints(site.shell.said) == []
    assert leaks(key_texts([tmp_path / "enc.yaml"]), site.shell.said, site.backups.glob("*.json")) == []


def test_backups_are_saved_encrypted_kept_by_the_policy_and_come_back_with_the_identity(site: Site) -> None:
    shell = site.shell
    first = site.save("--keep", "last=2")
    saved = shell.folder / str(first["file"])
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert MARK not in saved.read_bytes()
    site.save("--keep", "last=2")
    third = site.save("--keep", "last=2")
    assert deleted(third) == [saved.name]
    assert not saved.exists()
    assert len(site.files()) == 4
    assert site.register() == sorted([*(name for name in site.files() if name.endswith(".age")), "main@gone"])
    newest = str(third["file"])

    closed = shell.keyctl("snapshot", "verify", newest)
    assert closed.code == 0, closed.stdout
    whole = shell.keyctl("snapshot", "verify", newest, *OPENING, "-o", "json")
    assert whole.code == 0, whole.stdout
    (told,) = json.loads(whole.stdout)["snapshots"]
    assert (told["manifest"], told["integrity"], told["values"]) == ("matches", "sha256-ok", SECRETS + 4)
    drill = shell.keyctl(
        "snapshot", "restore-test", "backups", *OPENING, "--encryption-config", "enc.yaml", "--offline"
    )
    assert drill.code == 0, drill.stdout + drill.stderr
    audited = shell.keyctl(
        "audit", "--backups", "backups", "--identity", "owner.identity", "--profile", "host", "-o", "json"
    )
    statuses = {one["id"]: one["status"] for one in json.loads(audited.stdout)["checks"]}
    assert {one: statuses[one] for one in ("KC-BKP-001", "KC-BKP-002", "KC-BKP-003")} == dict.fromkeys(
        ("KC-BKP-001", "KC-BKP-002", "KC-BKP-003"), "pass"
    )


def test_a_stranger_a_cut_and_a_flipped_bit_are_refused(site: Site) -> None:
    shell = site.shell
    site.save()
    (name,) = [one for one in site.files() if one.endswith(".age")]
    path = site.backups / name
    foreign = shell.keyctl("snapshot", "restore-test", str(path), "--identity", "stranger.identity", "--offline")
    assert foreign.code == 3
    assert "encrypted to others" in foreign.stderr
    content = path.read_bytes()
    for damaged in (content[:-70_000], content[:-70_000] + bytes([content[-70_000] ^ 4]) + content[-69_999:]):
        path.write_bytes(damaged)
        for words in (
            ("verify",),
            ("verify", *OPENING),
            ("inspect", *OPENING),
            ("restore-test", "--offline", *OPENING),
        ):
            ran = shell.keyctl("snapshot", words[0], str(path), *words[1:])
            assert ran.code == 3, (words, ran.stdout, ran.stderr)
    listed = json.loads(shell.keyctl("keys", "list", "-o", "json").stdout)["backups"]
    assert [one["tested"]["proof"] for one in listed] == ["failed"]


def test_a_disk_that_is_full_in_the_middle_leaves_the_former_backups_and_nothing_else(site: Site) -> None:
    first = site.save("--keep", "last=1")
    before, noted = site.files(), site.register()
    manifest = first["manifest"]
    assert isinstance(manifest, dict)
    # The snapshot itself fits; what it becomes does not.
    for most in (manifest["size"] + 100, manifest["size"] // 2):
        time.sleep(1.1)
        ran = site.limited(most, *site.words("--keep", "last=1"))
        assert ran.code == 6, ran.stdout + ran.stderr
        assert "could not be written" in ran.stderr
        assert (site.files(), site.register()) == (before, noted)


def test_an_encrypted_backup_is_restored_and_served(control_plane: ControlPlanes, tmp_path: Path) -> None:
    shell, owner = Shell(tmp_path / "user"), Person()
    shell.folder.mkdir()
    for made in ("backups", "scratch"):
        (shell.folder / made).mkdir(0o700)
    owner.file(shell.folder / "owner.identity")
    lab = control_plane(1)
    encrypt_by_hand(lab, KEY, ("secrets",))
    seed(lab, shell.state, SECRETS)
    cluster = {"KEYCTL_CLUSTER": str(lab.cluster_file), "KEYCTL_LAB_BIN": str(lab.layout.bin)}
    saved = shell.keyctl(
        "snapshot",
        "save",
        "backups",
        "-r",
        owner.recipient,
        "--keep",
        "daily=7",
        "--scratch",
        "scratch",
        "-q",
        **cluster,
    )
    assert saved.code == 0, saved.stderr
    shutil.copy(lab.layout.server("cp1").encryption_config, shell.folder / "enc.yaml")
    words = ("snapshot", "restore-test", "backups", *OPENING, "--encryption-config", "enc.yaml", "-o", "json")
    ran = shell.keyctl(*words, "--report", "openmetrics=drill.prom", **cluster)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["proof"] == "served"
    listed = json.loads(shell.keyctl("keys", "list", "-o", "json", **cluster).stdout)["backups"]
    assert [one["tested"]["proof"] for one in listed] == ["served"]
    assert 'result="served"' in (shell.folder / "drill.prom").read_text()
    assert list((shell.folder / "scratch").iterdir()) == []
    assert leaks(key_texts([shell.folder / "enc.yaml"]), shell.said) == []
