"""What etcd's own users and roles may do, read from a running etcd or from its file. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role may do: `kind` is read, write or readwrite, of `key`, or of [`key`, `range_end`)."""

    kind: str
    key: bytes
    range_end: bytes


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its permissions; the role root may do everything without any."""

    name: str
    permissions: tuple[Permission, ...]
