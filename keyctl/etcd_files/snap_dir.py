"""What lies beside the database in a member's `snap` folder: databases received or abandoned, and others.

A database that came from the leader, or that a defragmentation left, is a copy
of all that the database held then. etcd keeps some and forgets others; none is
in use, so everything in them is left behind. No verdicts here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.markers import search
from keyctl.etcd_files.open_file import OpenFile, regular_files
from keyctl.etcd_files.residue import fragment, left_behind
from keyctl.stored.source import Area, Fragment

_DATABASE = "db"
_META = struct.Struct("<III")  # magic, version, page size
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = tuple(1024 << shift for shift in range(15))


def snap_dir_fragments(folder: Path) -> Iterator[Fragment]:
    """Yield what the files of `folder` hold beside the database itself, each content once a file.

    Raises `UnusableInputError` when one cannot be read; a file that etcd removes meanwhile is gone.
    """
    for path in regular_files(folder):
        if path.name == _DATABASE:
            continue
        with suppress(FileNotFoundError), OpenFile(path) as file:
            yield from _fragments(file)


def _fragments(file: OpenFile) -> Iterator[Fragment]:
    page_size, known = _page_size(file), Distinct()
    if page_size is None:
        for found in search(file, 0, file.size, known):
            yield fragment(found, Area.SNAP_DIR, f"{file.path.name} offset {found.offset}")
        return
    # NOTE: no tree is followed: a page that one refers to begins with its own number just as a freed one
    # does, and a file that was abandoned half-written has no tree to follow.
    for found in left_behind(file, 0, file.size, page_size, known):
        yield fragment(found, Area.SNAP_DIR, f"{file.path.name} page {found.offset // page_size}")


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
