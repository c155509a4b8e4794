"""Certificates that a server must refuse: of a CA that nobody knows, and with etcd's own CA at hand an expired one.

They live in a directory of their own (0700) for as long as they are used. Opens no connection.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from keyctl.pki.issue import Issued, Subject, Usage, issue, new_authority, write_pair

# What a server's log shows of them.
_NAME = "keyctl-probe"
_LIFE = timedelta(hours=1)
_LONG_AGO = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Strangers:
    """`expired` is None without the CA's key."""

    foreign: Pair
    expired: Pair | None


@contextmanager
def strangers(now: datetime, authority: Issued | None = None) -> Generator[Strangers]:
    """Make them, and remove them in the end. `authority` is etcd's own CA with its key, where that is at hand."""
    with TemporaryDirectory(prefix="keyctl-probe-") as directory:
        unknown = new_authority(f"{_NAME}-ca", now=now, lifetime=_LIFE)
        foreign = _written(Path(directory), "foreign", unknown, now)
        expired = _written(Path(directory), "expired", authority, now - _LONG_AGO) if authority else None
        yield Strangers(foreign, expired)


def _written(directory: Path, stem: str, authority: Issued, now: datetime) -> Pair:
    issued = issue(authority, Subject(_NAME, Usage.CLIENT), now=now, lifetime=_LIFE - timedelta(minutes=1))
    return Pair(*write_pair(directory, stem, issued))
