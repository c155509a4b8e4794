"""`keyctl keys escrow` and `keyctl keys import`: sealed before it is on a disk, tested before it counts, and back."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pyrage
import pytest

from keyctl.cli import main
from keyctl.errors import ExitCode
from keyctl.keys.backups import Backup, BackupKind, Proof
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import KeyState, Moment
from tests.support import seal
from tests.support.hints import wrong_hints
from tests.unit.backup.databases import snapshot
from tests.unit.cli.test_keys import answering, off_a_terminal
from tests.unit.cli.test_wiring import settings
from tests.unit.keys.test_escrow import OTHER, filled, random_key, store_at

AT = b"/registry/secrets/default/a"


class Desk:
    """A cluster file, its key store with three keys, a snapshot with a value under one, and an identity."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.identity_file = folder, folder / "safe" / "k.age", folder / "id.txt"
        self.file.parent.mkdir()
        settings(folder)
        self.keys = filled(self.store)
        self.recipient = self.new_identity(self.identity_file)
        self.snapshot = self.snapshot_under(self.keys[0])

    @property
    def store(self) -> FileKeyStore:
        return store_at(self.folder / "keys", cluster="trial")

    def new_identity(self, path: Path) -> str:
        identity = pyrage.x25519.Identity.generate()
        path.write_text(f"# created: today\n{identity}\n")
        path.chmod(0o600)
        return str(identity.to_public())

    def snapshot_under(self, key: Key) -> Path:
        folder = self.folder / "backups"
        folder.mkdir(exist_ok=True)
        return snapshot(folder / f"{key.name}.db", [(AT, seal.seal(key, AT, seal.secret("a")), 5)])

    def escrow(self, *arguments: str | Path, file: Path | None = None) -> int:
        return main.run(["keys", "escrow", "--cluster", "trial.yaml", str(file or self.file), *map(str, arguments)])

    def write(self) -> None:
        assert self.escrow("--recipient", self.recipient) == ExitCode.OK

    def test(self, *arguments: str | Path) -> int:
        given = arguments or ("--snapshot", self.snapshot)
        return self.escrow("--test", "--identity", self.identity_file, *given)

    def bring_back(self, *arguments: str | Path, file: Path | None = None) -> int:
        words = ["--escrow", file or self.file, "--identity", self.identity_file, *(arguments or ("--yes",))]
        return main.run(["keys", "import", "--cluster", "trial.yaml", *map(str, words)])

    def lose_the_store(self) -> None:
        (self.folder / "keys").rename(self.folder / "lost")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return Desk(tmp_path)


def forms(key: Key) -> set[bytes]:
    text = base64.b64encode(key.material)
    return {key.material, text.rstrip(b"="), key.material.hex().encode()}


def test_it_is_sealed_and_for_its_owner_alone_and_no_file_has_a_key_in_clear(desk: Desk) -> None:
    desk.write()
    assert stat.S_IMODE(desk.file.stat().st_mode) == 0o600
    assert desk.file.read_bytes().startswith(b"age-encryption.org/v1")
    elsewhere = [path for path in desk.folder.rglob("*") if path.is_file() and path.parent.name != "keys"]
    assert not [path for path in elsewhere for key in desk.keys for form in forms(key) if form in path.read_bytes()]


def test_it_counts_only_once_it_was_tested(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    assert "it counts once it was tested" in capsys.readouterr().out
    first = desk.keys[0]
    (noted,) = (one for one in desk.store.backups() if one.kind is BackupKind.ESCROW)
    assert (noted.tested, noted.holds(first.ref, first.fingerprint)) == (None, False)
    assert desk.test() == ExitCode.OK
    told = capsys.readouterr()
    assert "counts: all 2 keys of trial" in told.out
    assert "aescbc/key1 opens 1 stored value" in told.err
    (noted,) = (one for one in desk.store.backups() if one.kind is BackupKind.ESCROW)
    assert noted.holds(first.ref, first.fingerprint)


def test_without_a_value_that_opens_it_does_not_count(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    assert desk.test("--snapshot", desk.snapshot_under(random_key("stranger"))) == ExitCode.UNUSABLE
    assert "does not count yet" in capsys.readouterr().err
    (noted,) = (one for one in desk.store.backups() if one.kind is BackupKind.ESCROW)
    assert noted.tested is None


def test_a_value_that_names_a_key_and_does_not_open_fails_the_test(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write()
    impostor = Key(Provider.AESCBC, desk.keys[0].name, random_key("x").material)
    assert desk.test("--snapshot", desk.snapshot_under(impostor)) == ExitCode.UNUSABLE
    assert "other bytes than those in use: aescbc/key1" in capsys.readouterr().err
    (noted,) = (one for one in desk.store.backups() if one.kind is BackupKind.ESCROW)
    assert noted.tested is not None
    assert noted.tested.proof is Proof.FAILED


def test_one_that_is_older_than_the_key_store_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    desk.store.put(random_key("newer"), origin="generated")
    assert desk.test() == ExitCode.UNUSABLE
    told = capsys.readouterr().err
    assert "is older than the key store\ncause: it lacks aescbc/newer" in told
    assert wrong_hints([told]) == []


def test_the_identity_of_somebody_else_does_not_open_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    desk.new_identity(desk.identity_file)
    assert desk.test() == ExitCode.UNUSABLE
    assert "encrypted to others than this identity" in capsys.readouterr().err
    desk.identity_file.chmod(0o644)
    assert desk.test() == ExitCode.UNUSABLE
    assert "can be used by others" in capsys.readouterr().err


def test_a_changed_byte_is_found(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    content = bytearray(desk.file.read_bytes())
    content[-3] ^= 1
    desk.file.write_bytes(content)
    assert desk.test() == ExitCode.UNUSABLE
    desk.lose_the_store()
    assert desk.bring_back() == ExitCode.UNUSABLE
    assert capsys.readouterr().err.count("does not open\ncause: it is no whole age file") == 2
    assert not (desk.folder / "keys").exists()


def test_beside_the_backups_it_is_refused_with_the_reason(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.store.note_backup(Backup(BackupKind.SNAPSHOT, str(desk.snapshot), "now", 5, ()))
    (desk.folder / "backups" / "keys").mkdir()
    (desk.folder / "link").symlink_to(desk.folder / "backups")
    for place in (desk.folder / "backups", desk.folder / "backups" / "keys", desk.folder / "link"):
        assert desk.escrow("-r", desk.recipient, file=place / "k.age") == ExitCode.REFUSED
        told = capsys.readouterr().err
        assert f"beside the backups in {desk.folder / 'backups'}" in told
        assert "would have the data and the keys" in told
        assert not (place / "k.age").exists()
    assert desk.escrow("-r", desk.recipient, file=desk.folder / "keys" / "k.age") == ExitCode.REFUSED
    assert "would be lost with the keys" in capsys.readouterr().err


def test_nothing_is_written_over(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.file.write_text("mine")
    assert desk.escrow("-r", desk.recipient) == ExitCode.REFUSED
    assert desk.file.read_text() == "mine"
    assert list(desk.file.parent.iterdir()) == [desk.file]
    assert desk.escrow("-r", desk.recipient, file=desk.folder / "nowhere" / "k.age") == ExitCode.UNREACHABLE


def test_a_secret_key_in_the_place_of_a_recipient_is_not_repeated(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = desk.identity_file.read_text().splitlines()[1]
    for given in (secret, secret.lower()):
        assert desk.escrow("-r", given) == ExitCode.USAGE
        told = capsys.readouterr()
        assert "recipient 1 is a secret key" in told.err
        assert secret[16:].lower() not in (told.out + told.err).lower()
    assert desk.escrow("-r", "age1nonsense") == ExitCode.USAGE
    assert "age1nonsense" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [(), ("--test",), ("--identity", "id.txt", "-r", "age1x"), ("--snapshot", "s.db", "-r", "age1x")]
)
def test_flags_that_do_not_go_together_are_wrong_usage(
    desk: Desk, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.escrow(*words) == ExitCode.USAGE
    assert wrong_hints([capsys.readouterr().err]) == []


def test_a_file_of_recipients_and_an_ssh_key_are_taken(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "who").write_text(f"# the two of us\n\n{desk.recipient}\n{desk.new_identity(tmp_path / 'other')}\n")
    assert desk.escrow("-R", tmp_path / "who") == ExitCode.OK
    for identity in ("id.txt", "other"):
        assert desk.escrow("--test", "-i", tmp_path / identity, "--snapshot", desk.snapshot) == ExitCode.OK


def test_everything_comes_back_on_an_empty_machine(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.store.note_writes(desk.keys[0].ref, first=Moment(40, "then"))
    desk.store.note_backup(Backup(BackupKind.SNAPSHOT, str(desk.snapshot), "now", 5, (desk.keys[0].ref,)))
    desk.write()
    before = desk.store.records(), desk.store.backups()[0]
    desk.lose_the_store()
    assert desk.bring_back("--dry-run") == ExitCode.OK
    assert not (desk.folder / "keys").exists()
    assert desk.bring_back() == ExitCode.OK
    assert desk.store.records() == before[0]
    assert desk.store.backups()[0] == before[1]
    assert [desk.store.get(key.ref) for key in desk.keys] == [*desk.keys[:2], None]
    assert desk.store.records()[2].state is KeyState.DESTROYED
    assert stat.S_IMODE((desk.folder / "keys").stat().st_mode) == 0o700
    capsys.readouterr()
    assert desk.bring_back() == ExitCode.OK, "a second time changes nothing"
    assert desk.store.records() == before[0]


def test_a_key_store_with_keys_of_its_own_is_not_mixed_with_another(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write()
    desk.lose_the_store()
    desk.store.put(random_key("mine"), origin="generated")
    assert desk.bring_back() == ExitCode.REFUSED
    assert "is not empty\ncause: it has key aescbc/mine" in capsys.readouterr().err
    assert len(desk.store.records()) == 1


def test_a_name_with_other_bytes_is_not_brought_back(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    desk.lose_the_store()
    desk.store.put(Key(Provider.AESCBC, desk.keys[0].name, OTHER), origin="imported")
    assert desk.bring_back() == ExitCode.REFUSED
    assert "[R5]" in capsys.readouterr().err


def test_off_a_terminal_and_without_a_yes_nothing_is_brought_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write()
    desk.lose_the_store()
    off_a_terminal(monkeypatch)
    assert main.run(
        ["keys", "import", "--cluster", "trial.yaml", "--escrow", str(desk.file), "-i", str(desk.identity_file)]
    ) == (ExitCode.REFUSED)
    answering(monkeypatch, "n")
    assert main.run(
        ["keys", "import", "--cluster", "trial.yaml", "--escrow", str(desk.file), "-i", str(desk.identity_file)]
    ) == (ExitCode.INTERRUPTED)
    assert not (desk.folder / "keys").exists()


def test_the_escrow_of_another_cluster_is_refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    text = (desk.folder / "trial.yaml").read_text()
    (desk.folder / "trial.yaml").write_text(text.replace("name: trial", "name: other"))
    assert desk.bring_back() == ExitCode.UNUSABLE
    assert 'is of cluster "trial", not "other"' in capsys.readouterr().err


def test_one_that_is_gone_is_forgotten_and_counts_no_more(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()
    assert desk.test() == ExitCode.OK
    assert desk.escrow("--forget") == ExitCode.REFUSED
    assert desk.escrow("--forget", "--test", "-i", desk.identity_file) == ExitCode.USAGE
    desk.file.unlink()
    assert desk.escrow("--forget") == ExitCode.OK
    assert desk.store.backups() == ()
    capsys.readouterr()
    assert desk.escrow("--forget", file=desk.snapshot) == ExitCode.UNUSABLE
    assert wrong_hints([capsys.readouterr().err]) == []
