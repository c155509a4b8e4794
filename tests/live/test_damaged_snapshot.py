"""Snapshots and data directories of a real etcd that are damaged, cut, no such thing, or change while they are read.

Never a crash, never a hang, and never a clean verdict on a snapshot whose
SHA-256 is there to tell.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest
import trustme

from keyctl.errors import KeyctlError, UnusableInputError
from keyctl.etcd_files.data_dir import DataDirSource
from keyctl.etcd_files.source import SnapshotSource
from keyctl.stored.source import FileSource
from keyctl.verify.report import to_report
from keyctl.verify.values import verify
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.hints import wrong_hints
from tests.support.shell import Shell

pytestmark = pytest.mark.live

KEY = seal.key("key1")
CONFIG = seal.config(KEY)
PREFIX = "/registry"
COUNT = 400
DIGEST = 32
PAGE = 4096
# Far beyond what any of these files takes, on any machine.
PATIENCE = 60


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEtcd]:
    """Nothing but sealed values, some in several pages, with a history, and with others behind them in free pages.

    No large one is among those: of what is left of it nobody could tell the key, and that is no clean verdict.
    """
    with running_etcd(tmp_path_factory.mktemp("etcd"), trustme.CA()) as running:
        with EtcdWriter(running) as writer:
            small = [number for number in range(COUNT) if number % 20]
            writer.put(sealed(number, 0) for number in range(0, COUNT, 20))
            writer.put(sealed(number, 0) for number in small)
            running.etcdctl("defrag")
            writer.compact(writer.put(sealed(number, 1) for number in small[: COUNT // 2]))
            writer.put(sealed(number, 2) for number in small[: COUNT // 4])
            writer.delete(etcd_key(1))
        yield running


@pytest.fixture(scope="module")
def snapshot(etcd: RunningEtcd, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("snapshot") / "s.db"
    etcd.etcdctl("snapshot", "save", str(path))
    return path.read_bytes()


@pytest.fixture
def shell(tmp_path: Path) -> Generator[Shell]:
    shell = Shell(tmp_path)
    write_config(tmp_path / "enc.yaml", KEY)
    yield shell
    assert wrong_hints(shell.said) == []


def etcd_key(number: int) -> bytes:
    return b"/registry/secrets/default/s%03d" % number


def sealed(number: int, time: int) -> tuple[bytes, bytes]:
    name, size = f"s{number:03}", 20000 if number % 20 == 0 else 300 + 100 * time
    return etcd_key(number), seal.seal(KEY, etcd_key(number), seal.secret(name, size=size))


@contextmanager
def patience() -> Iterator[None]:
    """Ends what hangs."""

    def hangs(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def verdict(source: FileSource, path: Path) -> int:
    """The exit code of a verification with --residue; 1 for an error that is not one line about the file."""
    try:
        with patience():
            return to_report(verify(source, prefix=PREFIX, config=CONFIG, residue=True)).exit_code
    except KeyctlError as error:
        return error.exit_code if _is_one_line_about(path, error) else 1


def _is_one_line_about(path: Path, error: KeyctlError) -> bool:
    return str(path) in str(error) and "\n" not in f"{error}{error.cause}"


def places(seed: int, length: int, count: int) -> list[int]:
    """`count` offsets: every eighth in the meta pages, half in the first bytes of a page, the others anywhere."""
    dice = random.Random(seed)  # noqa: S311 — to be the same in every run
    found: set[int] = set()
    while len(found) < count:
        kind = len(found) % 8
        if kind == 0:
            found.add(dice.randrange(2) * PAGE + dice.randrange(80))
            found.add(dice.randrange(length))
        elif kind < 5:
            found.add(dice.randrange(length // PAGE) * PAGE + dice.randrange(200))
        else:
            found.add(dice.randrange(length))
    return sorted(found)[:count]


def flipped(path: Path, content: bytes, seed: int, offsets: list[int]) -> Iterator[int]:
    """`path` with one bit of `content` flipped, at one offset after the other."""
    dice = random.Random(seed)  # noqa: S311 — to be the same in every run
    path.write_bytes(content)
    with path.open("r+b", buffering=0) as file:
        for offset in offsets:
            os.pwrite(file.fileno(), bytes([content[offset] ^ 1 << dice.randrange(8)]), offset)
            yield offset
            os.pwrite(file.fileno(), content[offset : offset + 1], offset)


def test_the_whole_snapshot_is_clean_and_so_is_the_same_without_its_digest(snapshot: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(snapshot)
    assert 5 * 10**5 < len(snapshot) < 5 * 10**6
    source = SnapshotSource(path)
    assert (verdict(source, path), source.info().integrity) == (0, "sha256-ok")
    path.write_bytes(snapshot[:-DIGEST])
    assert (verdict(source, path), source.info().integrity) == (0, "sha256-absent")


def test_one_flipped_bit_is_never_a_clean_verdict(snapshot: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    offsets = places(1, len(snapshot) - DIGEST, 1968) + list(range(len(snapshot) - DIGEST, len(snapshot)))
    clean = [one for one in flipped(path, snapshot, 2, offsets) if verdict(SnapshotSource(path), path) != 3]
    assert len(set(offsets)) == 2000
    assert clean == []
    assert verdict(SnapshotSource(path), path) == 0


def test_a_cut_snapshot_is_never_a_clean_verdict(snapshot: bytes, tmp_path: Path) -> None:
    path, dice = tmp_path / "s.db", random.Random(3)  # noqa: S311 — to be the same in every run
    pages = len(snapshot) // PAGE
    lengths = {0, 1, 31, 32, 33, 511, 512, 544, PAGE, PAGE + DIGEST, 2 * PAGE}
    lengths |= {len(snapshot) - less for less in (1, 2, 16, 31, 33, 64, 512, 544, PAGE, PAGE - DIGEST)}
    lengths |= {dice.randrange(pages) * PAGE + more for more in (0, DIGEST, 512, 512 + DIGEST) for _ in range(25)}
    while len(lengths) < 200:
        lengths.add(dice.randrange(len(snapshot)))
    # Without its digest, and nothing else, it is the whole database.
    lengths.discard(len(snapshot) - DIGEST)
    clean = []
    for length in sorted(lengths, reverse=True):
        path.write_bytes(snapshot[:length])
        if verdict(SnapshotSource(path), path) != 3:
            clean.append(length)
    assert len(lengths) == 200
    assert clean == []


def test_without_a_digest_no_flipped_bit_crashes_or_hangs(snapshot: bytes, tmp_path: Path) -> None:
    path, raw = tmp_path / "s.db", snapshot[:-DIGEST]
    codes: Counter[int] = Counter()
    for _ in flipped(path, raw, 4, places(5, len(raw), 400)):
        codes[verdict(SnapshotSource(path), path)] += 1
        # What the verification did not get to.
        source = SnapshotSource(path)
        for read in (lambda: source.history(b"/registry/"), source.fragments):  # noqa: B023 — read at once
            with suppress(UnusableInputError), patience():
                assert sum(map(len, read())) >= 0
    assert {0, 3, 12} <= codes.keys() <= {0, 3, *range(10, 15)}


def test_without_a_digest_a_cut_file_is_refused(snapshot: bytes, tmp_path: Path) -> None:
    path, raw = tmp_path / "s.db", snapshot[:-DIGEST]
    for length in range(512, len(raw), len(raw) // 100 // 512 * 512):
        path.write_bytes(raw[:length])
        assert verdict(SnapshotSource(path), path) == 3


@pytest.mark.parametrize("page", [0, 1])
def test_with_one_damaged_meta_page_the_database_is_read_by_the_other(
    snapshot: bytes, tmp_path: Path, page: int
) -> None:
    path, raw = tmp_path / "s.db", bytearray(snapshot[:-DIGEST])
    raw[page * PAGE + 60] ^= 1
    path.write_bytes(raw)
    assert verdict(SnapshotSource(path), path) == 0


def command(path: Path, flag: str = "--snapshot") -> tuple[str | Path, ...]:
    return ("verify-secrets", flag, path, "--encryption-config", "enc.yaml", "--residue", "--report", "json=r.json")


def error_of(shell: Shell, path: Path, flag: str = "--snapshot") -> tuple[str, ...]:
    """What is said of a file that cannot be used: exit 3, a line that names it, nothing that looks like a report."""
    ran = shell.keyctl(*command(path, flag))
    assert (ran.code, ran.stdout) == (3, ""), ran.stderr
    assert not (shell.folder / "r.json").exists()
    lines = tuple(ran.stderr.splitlines())
    assert lines[0].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert str(path) in lines[0]
    return lines


def test_damaged_and_cut_snapshots_are_refused_on_the_command_line(
    snapshot: bytes, shell: Shell, tmp_path: Path
) -> None:
    path, size = tmp_path / "s.db", len(snapshot)
    path.write_bytes(snapshot)
    whole = shell.keyctl(*command(path))
    assert whole.code == 0
    assert json.loads((tmp_path / "r.json").read_text())["source"]["integrity"] == "sha256-ok"
    (tmp_path / "r.json").unlink()
    for offset in (20, PAGE + 40, size // 3, size // 2 // PAGE * PAGE + 9, size - 1):
        path.write_bytes(snapshot[:offset] + bytes([snapshot[offset] ^ 4]) + snapshot[offset + 1 :])
        assert "damaged" in error_of(shell, path)[0]
    for length in (1, PAGE, size // 2, size // 2 // 512 * 512, size - 1):
        path.write_bytes(snapshot[:length])
        assert error_of(shell, path)[0].startswith(f"error: {path} is not a whole ")


def big_endian(content: bytes) -> bytes:
    """The same database as a machine of the other kind writes its metas: magic and version, at least."""
    swapped = bytearray(content)
    for start in (16, PAGE + 16):
        swapped[start : start + 4] = content[start : start + 4][::-1]
        swapped[start + 4 : start + 8] = content[start + 4 : start + 8][::-1]
    return bytes(swapped)


def without_metas(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 1]) + content[41:PAGE] + bytes(PAGE) + content[2 * PAGE :]


WRONG_FILES: dict[str, Callable[[Path, bytes], object]] = {
    "missing": lambda path, whole: None,
    "a directory": lambda path, whole: path.mkdir(),
    "a pipe": lambda path, whole: os.mkfifo(path),
    "empty": lambda path, whole: path.touch(),
    "text": lambda path, whole: path.write_bytes(b"apiVersion: v1\n".ljust(4 * PAGE, b"#")),
    "compressed": lambda path, whole: path.write_bytes(b"\x1f\x8b\x08\0" + whole),
    "big-endian": lambda path, whole: path.write_bytes(big_endian(whole)),
    "without metas": lambda path, whole: path.write_bytes(without_metas(whole)),
    "half": lambda path, whole: path.write_bytes(whole[: len(whole) // 2 // PAGE * PAGE]),
    "cut in a page": lambda path, whole: path.write_bytes(whole[:-100]),
    "other digest": lambda path, whole: path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
}


def test_every_wrong_file_has_an_error_of_its_own(snapshot: bytes, shell: Shell, tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for number, (kind, make) in enumerate(WRONG_FILES.items()):
        path = tmp_path / f"wrong{number}.db"
        make(path, snapshot)
        said[kind] = "\n".join(error_of(shell, path)).replace(str(path), "FILE")
    words = {kind: text.splitlines()[0].removeprefix("error: FILE ") for kind, text in said.items()}
    assert words == {
        "missing": "cannot be read",
        "a directory": "is a directory, and the file of a database is expected",
        "a pipe": "is no regular file",
        "empty": "is empty",
        "text": "is no etcd database",
        "compressed": "is compressed",
        "big-endian": "is a big-endian database",
        "without metas": "is damaged or cut at its start",
        "half": "is not a whole database",
        "cut in a page": "is not a whole snapshot",
        "other digest": "is damaged",
    }
    assert "No such file or directory" in said["missing"]


def test_every_wrong_data_directory_has_an_error_of_its_own(snapshot: bytes, shell: Shell, tmp_path: Path) -> None:
    file, empty, lost = tmp_path / "file", tmp_path / "empty", tmp_path / "lost"
    file.touch()
    empty.mkdir()
    assert error_of(shell, file, "--data-dir")[0].endswith("is no directory")
    assert error_of(shell, empty, "--data-dir")[0].endswith("is no data directory of etcd")
    assert "it has no member/snap/db" in "\n".join(shell.said)
    assert error_of(shell, lost, "--data-dir")[0].endswith("cannot be read")
    (empty / "member" / "snap").mkdir(parents=True)
    (empty / "member" / "snap" / "db").write_bytes(b"")
    lines = shell.keyctl(*command(empty, "--data-dir"))
    assert (lines.code, lines.stdout) == (3, "")
    assert lines.stderr.startswith(f"error: {empty}/member/snap/db is empty")


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights, where the tests run as one who has them all."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_said_to_be_so(snapshot: bytes, tmp_path: Path) -> None:
    path, directory = tmp_path / "s.db", tmp_path / "data"
    path.write_bytes(snapshot)
    path.chmod(0)
    directory.mkdir(mode=0o700)
    directory.chmod(0)
    sources = ((SnapshotSource(path), path), (DataDirSource(directory), directory))
    for source, named in sources:
        with nobody(), pytest.raises(UnusableInputError) as caught:
            list(source.batches(b"/registry/"))
        assert (str(caught.value), caught.value.cause) == (f"{named} cannot be read", "Permission denied")
    directory.chmod(0o700)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(PAGE))


def write_into(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(last)


def replace(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


@pytest.mark.parametrize("change", [cut, grow, write_into, replace, Path.unlink])
@pytest.mark.parametrize("digest", [DIGEST, 0])
def test_a_snapshot_that_changes_while_it_is_read_is_refused(
    snapshot: bytes, tmp_path: Path, change: Callable[[Path], None], digest: int
) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(snapshot[: len(snapshot) - DIGEST + digest])
    # The clock by which files are dated does not tell moments apart that lie close together.
    time.sleep(0.05)
    source = SnapshotSource(path)
    batches = source.batches(b"/registry/")
    assert next(batches)
    change(path)
    with pytest.raises(UnusableInputError, match=r"s\.db changed while it was read") as caught:
        list(batches)
    assert caught.value.cause
    with pytest.raises(RuntimeError):
        source.info()


@pytest.mark.usefixtures("snapshot")  # After it nothing waits to be committed.
def test_a_member_that_runs_is_read_while_it_rests_and_refused_when_it_writes(
    etcd: RunningEtcd, tmp_path: Path
) -> None:
    source = DataDirSource(etcd.data)
    assert verdict(source, etcd.data) == 0
    batches = source.batches(b"/registry/")
    assert next(batches)
    key, value = sealed(0, 3)
    with EtcdWriter(etcd) as writer:
        writer.put([(key, value)])
    # Whoever takes a snapshot makes it commit first.
    etcd.etcdctl("snapshot", "save", str(tmp_path / "s.db"))
    with pytest.raises(UnusableInputError, match=r"^etcd writes to .*member/snap/db while it is read$") as caught:
        list(batches)
    assert "transaction" in (caught.value.cause or "")
    assert caught.value.hints
    assert verdict(source, etcd.data) == 0
