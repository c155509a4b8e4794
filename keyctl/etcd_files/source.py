"""A `ValueSource` over a snapshot file: the live values as they were when it was taken. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile, mapped
from keyctl.etcd_files.mvcc import decode_key_value, read_head
from keyctl.stored.source import SourceInfo, Value

# etcd sends whole database pages and then their SHA-256; a file copied from a disk lacks it.
_DIGEST_BYTES = 32
_ALIGNMENT = 512
_BATCH_VALUES = 1000


class SnapshotSource:
    """The values of a snapshot. The cluster's id is not in such a file and stays empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values whose key starts with `prefix`, in key order.

        Raises `UnusableInputError` when the file is cut or damaged, before the
        first value where its SHA-256 shows it.
        """
        self._info = None
        name = str(self._path)
        with mapped(self._path) as data:
            length, integrity = _check_digest(data, name)
            bolt = BoltFile(data, length, name)
            head = read_head(bolt, name)
            keys = sorted(key for key in head.records if key.startswith(prefix))
            for start in range(0, len(keys), _BATCH_VALUES):
                batch = []
                for key in keys[start : start + _BATCH_VALUES]:
                    record = head.records[key]
                    _, value = decode_key_value(bolt.value(record.offset, record.size), record.offset, name)
                    batch.append((key, value, record.revision))
                yield batch
        self._info = SourceInfo(
            type="snapshot",
            location=name,
            revision=head.current,
            cluster_id="",
            count=len(keys),
            integrity=integrity,
        )

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info


def _check_digest(data: mmap, name: str) -> tuple[int, str]:
    """How many bytes are database, and "sha256-ok" or "sha256-absent". Raises `UnusableInputError`."""
    if len(data) % _ALIGNMENT == 0:
        return len(data), "sha256-absent"
    if len(data) % _ALIGNMENT != _DIGEST_BYTES:
        raise UnusableInputError(
            f"{name} is not a whole snapshot",
            cause=f"its {len(data)} bytes are neither whole pages nor whole pages and a SHA-256",
            hint="it was cut, or is still being copied: take the file again",
        )
    length = len(data) - _DIGEST_BYTES
    with memoryview(data) as view:
        digest = hashlib.sha256(view[:length]).digest()
    if digest != data[length:]:
        raise UnusableInputError(
            f"{name} is damaged",
            cause="the SHA-256 at its end is not that of the data",
            hint="use another copy",
        )
    return length, "sha256-ok"
