"""How configuration files travel to nodes that fetch their own: what is wanted of each server, what its agent reports.

Values and the interface between a rotation and the agents; whoever implements it
keeps them somewhere both can reach. Files hold keys: no repr shows one. A report
says what stands on a node's disk, and never what its API server has loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the file of one server is to hold.

    `replaces` is the "sha256:…" of the file it takes the place of, None where there is to be none. `lets_go` are the
    ids (`keyctl.encryption_config.openers`) of what that file can open and this one cannot, on purpose. `in_place`
    says that the pod mounts the single file.
    """

    text: str = field(repr=False)
    replaces: str | None
    lets_go: tuple[str, ...] = ()
    in_place: bool = False

    @property
    def sha256(self) -> str:
        """The hash of the file, as kube-apiserver reports it of what it has loaded."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Rendition:
    """What is wanted now, by the servers' names; one that is not named keeps its file. `seq` only ever grows."""

    seq: int
    files: Mapping[str, Wanted] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A file as the agent read it; `content` None: there is none."""

    path: str
    content: bytes | None = field(repr=False)
    mode: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """What the agent of `server` found and did at `at`.

    `seq` is the newest rendition that it has dealt with, 0 where none was published; `refused` is why it did not follow
    it, "" when it did; `passing` when that is a failure of the node which its next turn may mend. `seen` is the number
    that this node has seen when it refuses an older one, else 0. `free` is the room beside the file, in bytes. `at` is
    by the node's clock, in ISO 8601 with an offset.
    """

    server: str
    seq: int
    files: tuple[ReportedFile, ...]
    refused: str
    at: str = field(compare=False)
    free: int | None = field(default=None, compare=False)
    seen: int = 0
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """A file that `server` is to load or, where it is not `wanted`, has reported to have.

    `entry` is where that stands, and `erase` the command that takes it away.
    """

    server: str
    wanted: bool
    content: bytes = field(repr=False)
    entry: str
    erase: str


class Distribution(Protocol):
    """The place that a rotation and the agents of one cluster share. Every call raises keyctl's errors only."""

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        ...

    def current(self) -> Rendition | None:
        """The newest rendition; None where none was ever published. Raises `UnusableInputError` for a damaged one."""
        ...

    def want(self, server: str, wanted: Wanted | None) -> int:
        """Have `server` hold `wanted`, or, with None, keep what it has. Returns the `seq` that says so.

        What is wanted already changes nothing; servers that have no agent any more are left out. Raises `RefusedError`
        when somebody else publishes at the same time, or a node has seen more than stands here (R8).
        """
        ...

    def reported(self, server: str) -> Report | None:
        """The last report of the agent of `server`; None where it never reported."""
        ...

    def traces(self) -> tuple[Trace, ...]:
        """Every file that any server is to load or has reported, whoever still knows of that server."""
        ...

    def report(self, report: Report) -> None:
        """Put `report` in the place of the last one of its server."""
        ...
