"""A directory of backups under a policy: what is judged, what is deleted, and what a crash or a stranger leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from keyctl.backup import manifest as manifests
from keyctl.backup.keep import Candidate, parse
from keyctl.backup.shelf import Rotation, Series, carry_out, look, newest, plan
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.key import KeyRef
from tests.support import seal
from tests.support.memory_store import MemoryKeyStore

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SERIES = Series("c1", "main", 3)
KEY = seal.key("key1").ref


def saved(folder: Path, name: str, days: float, **changes: object) -> Path:
    """A file with a manifest, saved under a policy so many `days` ago."""
    path = folder / name
    path.write_bytes(b"12345678")
    document = {
        "apiVersion": manifests.API_VERSION,
        "kind": manifests.KIND,
        "file": name,
        "size": 8,
        "sha256": f"sha of {name}",
        "at": (NOW - timedelta(days=days)).isoformat(),
        "etcd": {"revision": 2, "clusterId": "c1", "name": "main"},
        "prefix": "/registry",
        "values": 1,
        "resources": [],
        "keep": "last=1",
    }
    manifests.beside(path).write_text(json.dumps(document | changes))
    return path


def registered(paths: Sequence[Path], **changes: object) -> MemoryKeyStore:
    store = MemoryKeyStore()
    tested = changes.get("tested")
    assert tested is None or isinstance(tested, Proven)
    needs: tuple[KeyRef, ...] = (KEY,)
    for path in paths:
        sha256 = str(changes.get("sha256", f"sha of {path.name}"))
        at = NOW.isoformat()
        store.note_backup(Backup(BackupKind.SNAPSHOT, str(path), at, 2, needs, sha256, tested=tested))
    return store


def rotated(folder: Path, policy: str, store: MemoryKeyStore | None = None, fresh: str = "fresh.db") -> Rotation:
    """What a policy does after `fresh` was saved."""
    shelf = look(folder, SERIES, store, now=NOW)
    planned = plan(folder, SERIES, parse(policy), shelf, Candidate(fresh, NOW))
    return carry_out(planned, shelf, store, now=NOW)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".json")}


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(ages=st.lists(st.floats(0.01, 800), max_size=12), doubtful=st.sets(st.integers(0, 11)), last=st.integers(1, 6))
def test_what_was_there_is_kept_deleted_or_left_alone_and_never_what_is_in_doubt(
    ages: list[float], doubtful: set[int], last: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shelf")
    for number, age in enumerate(ages):
        saved(folder, f"b{number}.db", age, keep=None if number in doubtful else "last=1")
    saved(folder, "fresh.db", 0)
    before = names(folder)
    done = rotated(folder, f"last={last},weekly=2")
    kept, deleted = ({one.candidate.name for one in part} for part in (done.kept, done.deleted))
    left = {one.path.name for one in done.left}
    assert kept | deleted | left == before
    assert len(kept) + len(deleted) + len(left) == len(before)
    assert names(folder) == before - deleted
    assert left == {f"b{number}.db" for number in doubtful if number < len(ages)}
    assert "fresh.db" in kept


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keep": None}, "without --keep"),
        ({"file": "other.db"}, "another name"),
        ({"size": 9}, "9 bytes, it has 8"),
        ({"encryption": {"size": 7, "sha256": "x", "recipients": []}}, "7 bytes, it has 8"),
        ({"etcd": {"revision": 2, "clusterId": "c2", "name": "main"}}, "another etcd: main, cluster c2"),
        ({"etcd": {"revision": 2, "clusterId": "c1", "name": "events"}}, "another etcd: events, cluster c1"),
        ({"at": ""}, "does not say when"),
        ({"at": "2026-11-01T10:00:00"}, "cannot be right"),
        ({"at": "2026-12-01T10:00:00+00:00"}, "cannot be right"),
        ({"kind": "Other"}, "cannot be read"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "does not say when"),
        ({"keep": True}, "cannot be read"),
        ({"etcd": {"revision": 2, "clusterId": "c2", "name": "\x1b[2J\n\udcff"}}, r"another etcd: \x1b[2J\n\udcff"),
        ({"etcd": {"revision": 4, "clusterId": "c1", "name": "main"}}, "this etcd has come to 3"),
    ],
)
def test_what_is_in_doubt_stays_and_is_told(changes: dict[str, object], why: str, tmp_path: Path) -> None:
    path = saved(tmp_path, "old.db", 30, **changes)
    done = rotated(tmp_path, "last=1")
    assert (done.deleted, path.exists()) == ((), True)
    (left,) = done.left
    assert why in left.why


def test_of_an_etcd_that_does_not_tell_its_cluster_nothing_is_deleted(tmp_path: Path) -> None:
    path = saved(tmp_path, "old.db", 30, etcd={"revision": 2, "name": "main"})
    (left,) = look(tmp_path, Series("", "main"), None, now=NOW).left
    assert (left.path, left.why) == (path, "of which cluster it is, the etcd does not tell")


@pytest.mark.parametrize("name", [".keyctl.json", "..keyctl.json"])
def test_a_manifest_that_is_beside_nothing_is_passed_over(name: str, tmp_path: Path) -> None:
    saved(tmp_path, "old.db", 30)
    (tmp_path / name).write_text("{}")
    assert [one.path.name for one in look(tmp_path, SERIES, None, now=NOW).held] == ["old.db"]
    assert [path.name for _, path, _ in newest(tmp_path, now=NOW)] == ["old.db"]


def test_a_link_is_not_judged_whatever_its_manifest_says(tmp_path: Path) -> None:
    path = saved(tmp_path, "old.db", 30)
    (tmp_path / "elsewhere").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    done = rotated(tmp_path, "last=1")
    assert path.is_symlink()
    assert "link" in done.left[0].why


def test_a_manifest_that_is_a_link_or_too_large_says_nothing(tmp_path: Path) -> None:
    linked, large = saved(tmp_path, "a.db", 30), saved(tmp_path, "b.db", 31)
    manifests.beside(linked).rename(tmp_path / "manifest")
    manifests.beside(linked).symlink_to(tmp_path / "manifest")
    content = manifests.beside(large).read_text()
    manifests.beside(large).write_text(content + " " * manifests.LIMIT)
    done = rotated(tmp_path, "last=1")
    assert [one.why for one in done.left] == [
        "its manifest is no regular file",
        "its manifest is too large to be one",
    ]
    assert linked.exists()
    assert large.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "another"}, "does not know it"),
        ({"tested": Proven(NOW.isoformat(), Proof.FAILED)}, "restore test failed"),
    ],
)
def test_one_that_the_register_doubts_stays(changes: dict[str, object], why: str, tmp_path: Path) -> None:
    path = saved(tmp_path, "old.db", 30)
    store = registered([path], **changes)
    done = rotated(tmp_path, "last=1", store)
    assert path.exists()
    assert why in done.left[0].why
    assert [one.location for one in store.backups()] == [str(path)]


def test_the_register_holds_the_keys_before_the_first_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [saved(tmp_path, f"b{number}.db", number + 1) for number in range(3)]
    store = registered(paths)
    really, seen = Path.unlink, list[bool]()

    def watched(path: Path, missing_ok: bool = False) -> None:
        gone = [one for one in store.backups() if one.location.endswith("@gone")]
        seen.append(bool(gone) and gone[0].needs == (KEY,))
        really(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    rotated(tmp_path, "last=1", store)
    assert seen == [True] * 6
    assert [Path(one.location).name for one in store.backups()] == ["main@gone"]


def test_one_that_was_replaced_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    path = saved(tmp_path, "old.db", 30)
    shelf = look(tmp_path, SERIES, None, now=NOW)
    planned = plan(tmp_path, SERIES, parse("last=1"), shelf, Candidate("fresh.db", NOW))
    path.unlink()
    path.write_bytes(b"somebody")
    done = carry_out(planned, shelf, None, now=NOW)
    assert path.read_bytes() == b"somebody"
    assert [(one.path, one.why) for one in done.failed] == [(path, "it was changed meanwhile")]
    assert done.deleted == ()


def test_the_newest_of_each_etcd_is_found_among_what_is_whole(tmp_path: Path) -> None:
    saved(tmp_path, "old.db", 3)
    right = saved(tmp_path, "right.db", 2, keep=None)
    saved(tmp_path, "short.db", 1, size=9)
    saved(tmp_path, "later.db", -3)
    events = saved(tmp_path, "events.db", 5, etcd={"revision": 2, "clusterId": "c1", "name": "events"})
    found = list(newest(tmp_path, now=NOW))
    assert [(path, name) for _, path, name in found] == [(events, "events"), (right, "main")]
