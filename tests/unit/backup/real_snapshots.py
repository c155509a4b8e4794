"""An etcd in memory that sends snapshots in a real one's format: for what looks at pages, or goes by their SHA-256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyrage

from keyctl.etcd.interface import SavedSnapshot
from tests.unit.backup.databases import snapshot
from tests.unit.backup.fake_cluster import FakeEtcd


class Person:
    """Somebody who can open what is encrypted to `recipient`."""

    def __init__(self) -> None:
        made = pyrage.x25519.Identity.generate()
        self.recipient, self.identity = str(made.to_public()), str(made)

    def file(self, path: Path) -> Path:
        """Their identity, as age-keygen writes it."""
        path.touch(0o600)
        path.write_text(f"# created by a test\n{self.identity}\n")
        return path


class SendingEtcd(FakeEtcd):
    """A client whose member sends a whole database with its SHA-256; `then` is done to the file that has arrived."""

    then: Callable[[Path], object] = staticmethod(lambda _: None)

    def save_snapshot(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> SavedSnapshot:
        saved = super().save_snapshot(path, progress=progress)
        values = self._any().live.items()
        path.unlink()
        snapshot(path, [(key, value, number) for number, (key, value) in enumerate(sorted(values), start=2)])
        path.chmod(0o600)
        content, status = path.read_bytes(), path.stat()
        self.then(path)
        made = SavedSnapshot(path, len(content), content[-32:].hex(), None, (status.st_dev, status.st_ino))
        return replace(made, member=saved.member)
