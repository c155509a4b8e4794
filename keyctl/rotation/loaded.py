"""What a server has loaded: the hash that it reports, else what follows from its reloads and its start.

Kubernetes before 1.34 reports no hash. There a file counts as loaded when the
process is seen to have started, or to have reloaded, after that file was last
changed: by the order in which this run saw both, or by clocks that agree. What
neither shows is not guessed at. Pure; remembers what it was told, and asks nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keyctl.kube.interface import ServerProbe

# So many seconds after a change of the file a start or a reload counts, and so far apart the clocks of the server and
# of its host may seem: the one is measured by an HTTP header in whole seconds.
MARGIN = 5.0
SKEW = 3.0
# Two starts that are no further apart by our own clock may be one: a process tells its age in whole seconds.
_SAME_START = 3.0
# The hash is reported from here on, and successful reloads are.
REPORTS_HASH, REPORTS_RELOADS = (1, 34), (1, 28)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


class LoadedBy(StrEnum):
    """What shows it: the server's own word, a reload, or its start after the last change of the file."""

    HASH = "hash"
    RELOAD = "reload"
    START = "start"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`hash` is "sha256:<hex>", None for no configuration.

    `by` None: nothing shows what it is. Then `doubt` says why not, and `mend` what to do about it.
    """

    hash: str | None
    by: LoadedBy | None
    doubt: str = ""
    mend: str = ""

    def is_file(self, sha256: str | None) -> bool:
        """Whether it is shown to be this file; None stands for no configuration."""
        return self.by is not None and self.hash == sha256


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a server loads when it starts now. `flag` is the path in its manifest; `sha256` is None where there is none.

    `file_changed` and `manifest_changed` are Unix seconds by its host's clock, None where the host does not tell;
    `ahead` is how far that clock is ahead of ours. Two are equal while nobody changed the file or the flag.
    """

    sha256: str | None
    file_changed: float | None
    manifest_changed: float | None = field(compare=False)
    ahead: float | None = field(compare=False)
    flag: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A process and how often it has reloaded: while that is the same, so is what it has loaded.

    `start` is by its own clock, `begun` by ours (see `ServerProbe`).
    """

    start: float
    reloads: int
    begun: float | None = field(default=None, compare=False)

    def is_later_than(self, other: Process) -> bool:
        """Whether it started after `other` did: by its own word, and by a clock that nobody sets."""
        after = self._after(other)
        return self.start != other.start and after is not None and after > _SAME_START

    def may_be(self, other: Process) -> bool:
        """Whether it says that it is not `other`, and may be it all the same, with its clock set meanwhile."""
        after = self._after(other)
        return self.start != other.start and after is not None and abs(after) <= _SAME_START

    def _after(self, other: Process) -> float | None:
        return None if self.begun is None or other.begun is None else self.begun - other.begun


@dataclass(slots=True)
class _Memory:
    """`disk` was read before the next probe; `seen_after` is the first process that was asked after it was read.

    `ours` is the process that had loaded, and had on disk, what our own write took the place of.
    """

    process: Process | None = None
    loaded: Loaded = field(default_factory=lambda: Loaded(None, None))
    disk: OnDisk | None = None
    seen_after: Process | None = None
    ours: Process | None = None


class Loads:
    """What each server has loaded, probe after probe.

    `known` is what was found of processes earlier, by server; `changed` when keyctl last changed what it loads at its
    start, in seconds of our monotonic clock.
    """

    def __init__(
        self,
        known: Mapping[str, tuple[Process, Loaded]] | None = None,
        changed: Mapping[str, float] | None = None,
    ) -> None:
        self._changed = changed or {}
        self._memory = {name: _Memory(process, loaded) for name, (process, loaded) in (known or {}).items()}

    def seen(self, probe: ServerProbe, read: Callable[[], OnDisk]) -> Loaded:
        """What the server behind `probe` has loaded. `read` looks at its host, where that is needed."""
        memory = self._memory.setdefault(probe.name, _Memory())
        process = process_of(probe)
        if probe.loaded_hash is not None:
            memory.process, memory.loaded = process, Loaded(probe.loaded_hash, LoadedBy.HASH)
            return memory.loaded
        if not probe.start_time:
            return _unknown(probe.problem or "it does not say when it started", "let this user read /metrics there")
        if process == memory.process and memory.loaded.by is not None:
            memory.seen_after = memory.seen_after or process
            return memory.loaded
        if any(before is not None and process.may_be(before) for before in (memory.process, memory.seen_after)):
            # NOTE: no times of before can be compared with its clock either.
            return _unknown("its clock was set, or it has started twice in a moment", "restart its kube-apiserver")
        disk = read()
        memory.loaded = _ordered(probe, disk, memory) or self._by_clocks(probe, disk)
        if disk != memory.disk:
            memory.disk, memory.seen_after, memory.ours = disk, None, None
        else:
            memory.seen_after = memory.seen_after or process
        memory.process = process
        return memory.loaded

    def _by_clocks(self, probe: ServerProbe, disk: OnDisk) -> Loaded:
        found, changed = loaded_of(probe, disk), self._changed.get(probe.name)
        # NOTE: a clock that was set after the change of the file moves the start, and not that change.
        if found.by is LoadedBy.START and changed is not None and probe.begun is not None and probe.begun <= changed:
            return _unknown("it is older than its file, by what it says of its age", "restart its kube-apiserver")
        return found

    def watch(self, probe: ServerProbe, disk: OnDisk) -> bool:
        """Take note, before a restart, of a process that was asked after `disk` was read; False where none answered."""
        if not probe.start_time:
            return False
        memory = self._memory.setdefault(probe.name, _Memory())
        memory.disk, memory.seen_after = disk, process_of(probe)
        return True

    def wrote(self, name: str, old: str | None, read: Callable[[], OnDisk]) -> None:
        """Take note that we have just replaced the file `old` of a server by what `read` finds."""
        memory = self._memory.get(name)
        if memory is not None and memory.loaded.by is not LoadedBy.HASH:
            memory.ours = memory.process if memory.loaded.is_file(old) else None
            memory.disk, memory.seen_after = read(), None


def loaded_of(probe: ServerProbe, disk: OnDisk) -> Loaded:
    """What one look shows, by the clocks of the server and of its host: its last reload or start was after the change.

    A process that reloads while nobody changes its file stays with what it has.
    """
    if disk.sha256 is None and reports(probe, REPORTS_HASH):
        # One that has a configuration would say so; and it has no flag to have got one by.
        return Loaded(None, LoadedBy.HASH)
    file_changed = disk.file_changed if disk.sha256 else disk.manifest_changed
    if disk.manifest_changed is None or file_changed is None or disk.ahead is None:
        return _unknown(
            "its host does not tell when its files were last changed", "reach its host as type local or ssh"
        )
    if probe.ahead is None:
        return _unknown("it does not tell the time", "let nothing take the Date out of its answers")
    if abs(probe.ahead - disk.ahead) > SKEW:
        apart = abs(probe.ahead - disk.ahead)
        return _unknown(
            f"its clock and that of its host differ by {apart:.0f} s: no times can be compared",
            "set both clocks (chronyc tracking shows them) and restart its kube-apiserver",
        )
    if disk.sha256 and probe.reloaded_at > file_changed + MARGIN:
        return Loaded(disk.sha256, LoadedBy.RELOAD)
    # NOTE: of the manifest no margin: a kubelet that sees it changed ends what it had started before.
    if probe.start_time > max(file_changed + MARGIN, disk.manifest_changed):
        return Loaded(disk.sha256, LoadedBy.START)
    near = max(probe.start_time, probe.reloaded_at) > max(file_changed - MARGIN, disk.manifest_changed)
    return _unknown(
        f"it loaded a file within {MARGIN:.0f} s of the last change: whether before or after it is not certain"
        if near
        else "it has neither started nor reloaded since its file or its manifest was last changed, or they bear a time "
        "that is yet to come: touch them, then",
        "restart its kube-apiserver",
    )


def _unknown(doubt: str, mend: str) -> Loaded:
    return Loaded(None, None, doubt, mend)


def _ordered(probe: ServerProbe, disk: OnDisk, memory: _Memory) -> Loaded | None:
    """What follows from the order in which things were seen, without any clock: read, asked, and then another process.

    `disk` was read after `probe`. The time of its last change is the same, so nothing changed in between.
    """
    if disk != memory.disk:
        return None
    process = process_of(probe)
    if memory.seen_after is not None and process.is_later_than(memory.seen_after):
        return Loaded(disk.sha256, LoadedBy.START)
    # NOTE: a server reloads only what is another file than it has. It had the one that we replaced; ours is the next.
    ours = memory.ours
    if ours is not None and process.start == ours.start and process.reloads > ours.reloads:
        return Loaded(disk.sha256, LoadedBy.RELOAD)
    return None


def remembered(records: Sequence[Mapping[str, object]], *, now: datetime, monotonic: float) -> Loads:
    """What the journal's `records`, oldest first, tell a new process, at `now` on the wall and `monotonic` seconds."""
    return Loads(known_of(records), changed_of(records, now=now, monotonic=monotonic))


def changed_of(records: Sequence[Mapping[str, object]], *, now: datetime, monotonic: float) -> dict[str, float]:
    """When each server was last given a file, a flag, or neither, or was about to be, by our monotonic clock."""
    found = {}
    for record in records:
        if record.get("step") in _CHANGES:
            ago = (now - datetime.fromisoformat(str(record["at"]))).total_seconds()
            # NOTE: with our own clock set back it is not known when that was.
            found[str(record["server"])] = monotonic - ago if ago >= 0 else -math.inf
    return found


_CHANGES = {"write-file", "edit-manifest", "restore-manifest"}


def known_of(records: Sequence[Mapping[str, object]]) -> dict[str, tuple[Process, Loaded]]:
    """What the journal's proofs, oldest first, say of processes that did not report it themselves, by server."""
    found: dict[str, tuple[Process, Loaded]] = {}
    for record in records:
        if record.get("kind") != "proof" or record.get("of") != "server":
            continue
        name, start, reloads = record.get("server"), record.get("startTime"), record.get("reloads")
        by, loaded = record.get("loadedBy"), record.get("loaded")
        if isinstance(name, str) and isinstance(start, float) and isinstance(reloads, int) and by in _INFERRED:
            what = Loaded(loaded if isinstance(loaded, str) else None, LoadedBy(str(by)))
            found[name] = (Process(start, reloads), what)
    return found


_INFERRED = {LoadedBy.RELOAD.value, LoadedBy.START.value}


def process_of(probe: ServerProbe) -> Process:
    """The process behind `probe`."""
    return Process(probe.start_time, probe.reloads, probe.begun)


def reports(probe: ServerProbe, since: tuple[int, int]) -> bool:
    """Whether the server's version is at least `since`."""
    match = _VERSION.match(probe.version)
    return match is not None and (int(match[1]), int(match[2])) >= since
