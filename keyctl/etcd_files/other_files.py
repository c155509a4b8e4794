"""What lies beside the database and the log in a data directory: databases received or abandoned, copies, and others.

A database that came from the leader, that a defragmentation left or that
somebody put aside is a copy of all that the database held then. etcd keeps some
and forgets others; none is in use, so everything in them is left behind. No
verdicts here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.markers import search
from keyctl.etcd_files.opaque import is_understood, not_understood
from keyctl.etcd_files.open_file import OpenFile, all_files, is_compressed
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.residue import fragment, left_behind
from keyctl.etcd_files.snapshot_file import ALIGNMENT, DIGEST_BYTES
from keyctl.etcd_files.tails import Tails
from keyctl.stored.source import Area, Fragment

_META = struct.Struct("<III")  # magic, version, page size
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = tuple(1024 << shift for shift in range(15))


def other_fragments(folder: Path, database: Path, log: Path, remarks: Remarks) -> Iterator[Fragment]:
    """Yield what the files of `folder` and below hold, each content once a file.

    Not those that are read elsewhere: the `database`, and the files of the `log`,
    a folder; what lies in folders of the log counts as part of it. A link in the
    place of the log, of the database's folder or of the one around both is
    followed, as etcd does it; others are named. Raises
    `UnusableInputError` when one cannot be read; a file that etcd removes
    meanwhile is gone.
    """
    files, links = all_files(folder, {log, log.parent, database.parent})
    for path in links:
        remarks.say(_area(path, log), f"{path.relative_to(folder)} leads elsewhere: not looked at", unread=True)
    for path in files:
        if path != database and path.parent != log:
            with suppress(FileNotFoundError), OpenFile(path) as file:
                yield from _fragments(file, str(path.relative_to(folder)), _area(path, log), remarks)


def _area(path: Path, log: Path) -> Area:
    return Area.WAL if log in path.parents else Area.SNAP_DIR


def _fragments(file: OpenFile, name: str, area: Area, remarks: Remarks) -> Iterator[Fragment]:
    if is_compressed(file):
        remarks.say(area, f"{name} is compressed: not looked at", unread=True)
        return
    page_size, known = _page_size(file), Distinct()
    if page_size is None:
        for found in search(file, 0, file.size, known):
            yield fragment(found, area, f"{name} offset {found.offset}")
        if not is_understood(file):
            remarks.say(area, not_understood(name), unread=True)
        return
    tails = Tails(page_size)
    # A snapshot has its SHA-256 behind the pages.
    end = file.size - (DIGEST_BYTES if file.size % ALIGNMENT == DIGEST_BYTES else 0)
    # NOTE: no tree is followed: a page that one refers to begins with its own number just as a freed one
    # does, and a file that was abandoned half-written has no tree to follow.
    for found in left_behind(file, 0, end, page_size, known, tails):
        yield fragment(found, area, f"{name} page {found.offset // page_size}")
    tails.remark(remarks, area, name)


def _page_size(file: OpenFile) -> int | None:
    """The page size that one of the two metas of a bbolt file names; None for another file."""
    for offset in (0, *_PAGE_SIZES):
        start = offset + PAGE_HEADER.size
        raw = file[start : start + _META.size]
        if len(raw) == _META.size:
            magic, version, page_size = _META.unpack(raw)
            if (magic, version) == (_MAGIC, _VERSION) and page_size in _PAGE_SIZES:
                return int(page_size)
    return None
