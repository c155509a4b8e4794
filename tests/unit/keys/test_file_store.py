from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.keys import private_files
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from tests.support.effects import noted, open_descriptors

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_SECOND = Key(Provider.AESGCM, "key2", bytes(range(1, 33)))
_CLOCK = lambda: datetime(2026, 11, 21, 10, tzinfo=UTC)  # noqa: E731 — a value, not a function of its own


def _store(directory: Path, cluster: str = "prod") -> FileKeyStore:
    return FileKeyStore(directory, cluster=cluster, clock=_CLOCK)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _key_file(directory: Path) -> Path:
    return directory / "aescbc.key1.key.json"


def test_looking_into_a_store_that_is_not_there_creates_nothing(directory: Path) -> None:
    store = _store(directory)
    assert store.records() == ()
    assert store.get(_KEY.ref) is None
    assert store.backups() == ()
    for change in (
        lambda: store.note_state(_KEY.ref, "active"),
        lambda: store.destroy(_KEY.ref),
        lambda: store.forget_backup("/backup/a.db"),
    ):
        with pytest.raises(UnusableInputError):
            change()
    assert not directory.parent.exists()


def test_nothing_is_readable_by_others_even_without_a_umask(directory: Path, open_umask: None) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    store.note_state(_KEY.ref, "active")
    assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = sorted(directory.iterdir())
    assert [path.name for path in files] == [".lock", "aescbc.key1.key.json", "ledger.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_temporaries_are_private_from_their_creation_on(
    directory: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.open

    def looking(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if flags & os.O_CREAT:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", looking)
    _store(directory).put(_KEY, origin="generated")
    assert seen == [0o600, 0o600, 0o600]


@pytest.mark.parametrize(
    ("name", "mode", "hint"),
    [("", 0o750, "chmod 700"), ("ledger.jsonl", 0o640, "chmod 600"), ("aescbc.key1.key.json", 0o604, "chmod 600")],
)
def test_a_store_that_others_can_read_is_refused_and_left_as_it_is(
    directory: Path, name: str, mode: int, hint: str
) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    wide = directory / name
    wide.chmod(mode)
    with pytest.raises(UnusableInputError, match=str(wide)) as caught:
        store.get(_KEY.ref)
    assert caught.value.hints == (f"{hint} {wide}",)
    assert stat.S_IMODE(wide.stat().st_mode) == mode


def test_symbolic_links_are_refused(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    real = _key_file(directory).rename(directory / "elsewhere")
    _key_file(directory).symlink_to(real)
    with pytest.raises(UnusableInputError, match="is a symbolic link"):
        store.get(_KEY.ref)
    link = directory.with_name("link")
    link.symlink_to(directory)
    with pytest.raises(UnusableInputError, match="is a symbolic link"):
        _store(link).records()


def _swap_material(text: str) -> str:
    return text.replace(base64.b64encode(_KEY.material).decode(), base64.b64encode(bytes(32)).decode())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="cut"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "[]", id="no object"),
        pytest.param(_swap_material, id="other bytes"),
        pytest.param(lambda text: text.replace('"key1"', '"key2"'), id="other name"),
        pytest.param(lambda text: text.replace('"key1"', "1"), id="a number for a name"),
        pytest.param(lambda text: text.replace("AAEC", "AAE*"), id="no base64"),
        pytest.param(lambda text: text.replace("AAECAwQFBgcI", "AAECAwQF"), id="short key"),
        pytest.param(lambda text: text.replace("key/v1", "key/v2"), id="other format"),
        pytest.param(lambda text: text.replace('"created"', '"born"'), id="missing field"),
    ],
)
def test_a_damaged_key_file_is_named_and_its_bytes_are_not_shown(directory: Path, damage: object) -> None:
    assert callable(damage)
    _store(directory).put(_KEY, origin="generated")
    path = _key_file(directory)
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(UnusableInputError, match=str(path)) as caught:
        _store(directory).get(_KEY.ref)
    error: BaseException | None = caught.value
    while error is not None:
        assert "AwQF" not in f"{error!r} {vars(error)}"
        error = error.__cause__
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_whole_key_file_with_other_bytes_than_the_ledger_knows_is_refused(directory: Path, tmp_path: Path) -> None:
    _store(directory).put(_KEY, origin="generated")
    other = tmp_path / "other"
    _store(other).put(Key(Provider.AESCBC, "key1", bytes(32)), origin="generated")
    _key_file(directory).write_bytes(_key_file(other).read_bytes())
    for use in (lambda: _store(directory).get(_KEY.ref), lambda: _store(directory).put(_KEY, origin="generated")):
        with pytest.raises(UnusableInputError, match="damaged") as caught:
            use()
        assert caught.value.cause == "it holds another key than the one in the ledger"


def test_a_cut_off_put_with_damaged_bytes_is_not_finished(directory: Path) -> None:
    _store(directory).put(_KEY, origin="generated")
    (directory / "ledger.jsonl").unlink()
    path = _key_file(directory)
    path.write_text(_swap_material(path.read_text()))
    with pytest.raises(UnusableInputError, match="damaged"):
        _store(directory).records()
    assert not (directory / "ledger.jsonl").exists()


def test_each_step_of_a_put_is_on_the_disk_before_the_next(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = noted(monkeypatch)
    _store(directory).put(_KEY, origin="generated")
    directories = ["mkdir", "fsync directory"] * 2
    key_file = ["write", "fsync file", "link", "unlink", "fsync directory"]
    assert done == [*directories, *key_file, "write", "fsync file", "fsync directory"]


def test_a_repair_of_the_ledger_is_on_the_disk_before_it_is_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(directory).put(_KEY, origin="generated")
    with (directory / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b"torn")
    done = noted(monkeypatch)
    _store(directory).records()
    assert done == ["ftruncate", "fsync file"]


def test_no_file_stays_open(directory: Path) -> None:
    before = open_descriptors()
    store = _store(directory)
    store.put(_KEY, origin="generated")
    with (directory / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b"torn")
    store.note_state(_KEY.ref, "active")
    store.get(_KEY.ref)
    assert open_descriptors() <= before


def test_a_missing_key_file_is_named_and_putting_the_key_again_heals_it(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    _key_file(directory).unlink()
    with pytest.raises(UnusableInputError, match="is missing"):
        store.get(_KEY.ref)
    store.put(_KEY, origin="generated")
    assert store.get(_KEY.ref) == _KEY
    assert len(store.records()) == 1


def test_a_copy_of_a_key_file_is_not_taken_for_a_second_key(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    shutil.copy(_key_file(directory), directory / "aescbc.copy.key.json")
    before = (directory / "ledger.jsonl").read_bytes()
    with pytest.raises(UnusableInputError, match=r"aescbc\.copy\.key\.json is damaged"):
        store.records()
    assert (directory / "ledger.jsonl").read_bytes() == before


def test_the_keys_of_another_cluster_are_not_ours(directory: Path) -> None:
    _store(directory).put(_KEY, origin="generated")
    with pytest.raises(UnusableInputError, match='belongs to cluster "prod", not "test"'):
        _store(directory, "test").records()
    (directory / "ledger.jsonl").unlink()
    with pytest.raises(UnusableInputError, match='belongs to cluster "prod", not "test"'):
        _store(directory, "test").records()


def test_a_torn_last_line_of_the_ledger_is_repaired(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    path = directory / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"format": "keyctl/le')
    assert [record.ref for record in store.records()] == [_KEY.ref]
    assert path.read_bytes() == whole
    store.note_state(_KEY.ref, "active")
    assert store.records()[0].state == "active"


def test_a_damaged_line_in_the_middle_is_not_repaired(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    path = directory / "ledger.jsonl"
    damaged = b"{}\n" + path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(UnusableInputError, match=r"ledger\.jsonl:1"):
        store.put(_SECOND, origin="generated")
    assert path.read_bytes() == damaged


def test_the_ledger_is_only_appended_to_and_holds_no_key(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    path = directory / "ledger.jsonl"
    first, inode = path.read_bytes(), path.stat().st_ino
    store.put(_SECOND, origin="imported")
    store.note_state(_KEY.ref, "active")
    assert path.read_bytes().startswith(first)
    assert path.stat().st_ino == inode
    assert base64.b64encode(_KEY.material) not in path.read_bytes()


def test_a_key_file_is_never_written_again(directory: Path) -> None:
    store = _store(directory)
    store.put(_KEY, origin="generated")
    before = _key_file(directory).stat()
    store.put(_KEY, origin="imported")
    store.note_state(_KEY.ref, "active")
    after = _key_file(directory).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b", "key 1", "schlüssel", "k" * 300, "ü" * 100, ".lock"])
def test_every_name_gets_a_file_of_its_own_inside_the_directory(directory: Path, name: str) -> None:
    key = Key(Provider.AESCBC, name, bytes(32))
    store = _store(directory)
    store.put(key, origin="imported")
    store.put(_KEY, origin="imported")
    assert _store(directory).get(key.ref) == key
    assert len(list(directory.glob("*.key.json"))) == 2
    assert sorted(path.name for path in directory.parent.iterdir()) == ["keys"]


def test_a_key_file_is_not_replaced_even_by_one_that_ignores_the_lock(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def late(source: Path, target: Path) -> None:
        target.write_text("a stranger's")
        target.chmod(0o600)
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UnreachableError, match="cannot be used") as caught:
        _store(directory).put(_KEY, origin="generated")
    assert "File exists" in str(caught.value.cause)
    assert _key_file(directory).read_text() == "a stranger's"
    assert not list(directory.glob(".keyctl-*"))
    assert not (directory / "ledger.jsonl").exists()


def test_a_key_that_does_not_read_back_never_reaches_the_ledger(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def corrupting(source: Path, target: Path) -> None:
        source.write_text(_swap_material(source.read_text()))
        real(source, target)

    monkeypatch.setattr(os, "link", corrupting)
    with pytest.raises(UnusableInputError, match="damaged"):
        _store(directory).put(_KEY, origin="generated")
    assert not (directory / "ledger.jsonl").exists()


def test_a_store_in_use_is_waited_for_and_then_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_files, "LOCK_SECONDS", 0.1)
    _store(directory).put(_KEY, origin="generated")
    with private_files.locked(directory / ".lock"), pytest.raises(UnreachableError, match="in use by another process"):
        _store(directory).records()
    assert len(_store(directory).records()) == 1


@pytest.mark.parametrize("name", ["open", "fsync", "link"])
def test_a_failing_medium_is_our_own_error(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing)
        with pytest.raises(UnreachableError) as caught:
            _store(directory).put(_KEY, origin="generated")
    assert "No space left on device" in str(caught.value.cause)
    assert not list(directory.glob(".keyctl-*"))


def test_refusals_show_no_key_bytes(directory: Path) -> None:
    _store(directory).put(_KEY, origin="generated")
    with pytest.raises(RefusedError) as caught:
        _store(directory).put(Key(Provider.AESCBC, "key1", bytes(range(1, 33))), origin="generated")
    error: KeyctlError = caught.value
    shown = f"{error!r} {error.cause} {error.hints}"
    assert "AQID" not in shown
    assert "AAEC" not in shown
    assert json.loads(_key_file(directory).read_text())["name"] == "key1"
