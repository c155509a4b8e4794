"""Whether keys are the right ones: counted by what they open."""

from __future__ import annotations

from pathlib import Path

from keyctl.backup.open_with import open_with
from keyctl.etcd_files.source import SnapshotSource
from keyctl.keys.key import Key
from tests.unit.backup.databases import snapshot
from tests.unit.backup.test_restore_test import NEW, OLD, WRITTEN, sealed


def test_what_each_key_opens_is_counted_and_one_that_opens_nothing_under_its_name_has_failed(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "s.db", WRITTEN)
    right = open_with([OLD, NEW], [SnapshotSource(path)], "/registry")
    assert (right.by_key, right.failed, right.values) == (((OLD.ref, 2), (NEW.ref, 2)), (), 4)
    wrong = open_with([Key(OLD.provider, OLD.name, bytes(32)), NEW], [SnapshotSource(path)], "/registry")
    assert (dict(wrong.by_key)[OLD.ref], wrong.failed) == (0, (OLD.ref,))
    other = snapshot(tmp_path / "t.db", [(*sealed("x", OLD), 5)])
    both = open_with([OLD], [SnapshotSource(path), SnapshotSource(other)], "/registry")
    assert both.values == 3
