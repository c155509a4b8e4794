"""A rotation as its evidence tells it: entries, plan, proofs. Reads shapes; judges nothing.

Pure. The plan is read here and not by `keyctl.rotation.plan`: the bundle's format
is fixed by its version, and bundles must stay checkable when that module moves on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keyctl.errors import UnusableInputError

STAGES = ("BASE", "ADDED", "PROMOTED", "RETIRED")
# Providers whose keys keyctl does not hold, so that there is no fingerprint of them.
_WITHOUT_BYTES = frozenset({"identity", "kms"})


def unusable(number: int, what: str) -> UnusableInputError:
    """The error for line `number`, e.g. "line 3 of the evidence is no JSON object"."""
    return UnusableInputError(
        f"line {number} of the evidence {what}",
        hint="take an untouched copy of the bundle; the journal of that rotation holds the same records",
    )


# A run that goes on with a rotation, forward or back.
_RUNS = {"resume", "abort"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, with the number of its line."""

    number: int
    kind: str
    at: datetime
    fields: Mapping[str, object]

    def proves(self, *what: str) -> bool:
        """Whether it is a proof of one of `what`."""
        return self.kind == "proof" and self.fields.get("of") in what

    @property
    def written(self) -> tuple[str, str] | None:
        """(server, stage) of a configuration file that was about to be written, or just was."""
        if self.kind not in {"intent", "outcome"} or self.fields.get("step") != "write-file":
            return None
        return self.text("server"), self.text("stage")

    @property
    def changes_flag(self) -> bool:
        """Whether a server is given its flag, or was; or it is taken away again."""
        return self.kind in {"intent", "outcome"} and self.fields.get("step") in {"edit-manifest", "restore-manifest"}

    def removes_from(self, stage: str) -> bool:
        """Whether a server gets the file of `stage`, or, for BASE, goes without one."""
        if stage == "BASE" and self.changes_flag and self.fields.get("step") == "restore-manifest":
            return True
        return self.written is not None and self.written[1] == stage

    def text(self, name: str) -> str:
        """The text in the field `name`, or `UnusableInputError`."""
        return _text(self.number, self.fields, name)

    def count(self, name: str) -> int:
        """The whole number in the field `name`, or `UnusableInputError`."""
        return _count(self.number, self.fields, name)


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """A key by name and fingerprint. `fingerprint` is "" where the record has none."""

    provider: str
    name: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}" if self.name else self.provider

    @property
    def lacks_fingerprint(self) -> bool:
        """Whether there should be one and is none."""
        return not self.fingerprint and self.provider not in _WITHOUT_BYTES


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A server and the hashes of its files by stage; None among them: no file. `flag_missing`: it began without one."""

    name: str
    hashes: Mapping[str, frozenset[str | None]]
    flag_missing: bool

    @property
    def loses_key(self) -> bool:
        """Whether its file as it was lacks the new key: then that key leaves it again on the way back."""
        return self.hashes["BASE"].isdisjoint(self.hashes["ADDED"])


@dataclass(frozen=True, slots=True)
class PlannedCourse:
    """What the begin record announced. `settle` in seconds, None where it says none."""

    goal: str
    cluster: str
    cluster_uid: str
    new: PlannedKey
    old: tuple[PlannedKey, ...]
    servers: tuple[PlannedServer, ...]
    settle: float | None

    @property
    def brings_key(self) -> bool:
        """Whether another key comes to write; else the one that wrote stays, and plaintext goes."""
        return self.goal != "remove-identity"


@dataclass(frozen=True, slots=True)
class Count:
    """How many values of `resource` stood under a key; `provider` is "" for values nobody recognised."""

    resource: str
    provider: str
    key: str
    values: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The first and the last proof of the file that a server has."""

    first: Entry
    last: Entry


@dataclass(frozen=True, slots=True)
class Course:
    """The whole rotation. `entries` is not empty and ends with the only end."""

    rotation: str
    entries: tuple[Entry, ...]
    plan: PlannedCourse

    def settle_at(self, entry: Entry) -> float | None:
        """The settle time in seconds that was in force when `entry` was made: each resumed run brings its own."""
        said = [e.fields["settle"] for e in self.entries[: entry.number] if e.kind in _RUNS and "settle" in e.fields]
        last = said[-1] if said else self.plan.settle
        return None if isinstance(last, bool) or not isinstance(last, int | float) else float(last)

    @property
    def end_state(self) -> str:
        """verified, retired or aborted."""
        return self.entries[-1].text("state")

    @property
    def run_throughs(self) -> tuple[tuple[Entry, ...], ...]:
        """The entries, cut after each late hit: from there on everything had to be proven again."""
        runs: list[tuple[Entry, ...]] = []
        current: list[Entry] = []
        for entry in self.entries:
            current.append(entry)
            if entry.proves("late"):
                runs.append(tuple(current))
                current = []
        return (*runs, tuple(current))

    def first(self, kind: str) -> Entry | None:
        """The first record of that kind."""
        return next((entry for entry in self.entries if entry.kind == kind), None)

    def proven(self, until: int) -> dict[str, dict[str, Seen]]:
        """By server and stage: the proofs, before line `until`, of the file that the server had then.

        A proof counts when the server had loaded a file that the plan has for that
        stage, and that may be the one last written for it. A server that joined on the
        way counts from then on.
        """
        servers = {server.name: _Server(server, "BASE") for server in self.plan.servers}
        for entry in self.entries[: until - 1]:
            if entry.kind == "joined":
                joined = _server(entry.number, entry.fields)
                servers[joined.name] = _Server(joined, entry.text("stage"))
            server = servers.get(str(entry.fields.get("server")))
            if server is not None:
                server.note(entry)
        return {name: server.seen for name, server in servers.items()}


class _Server:
    """What is known of one server, entry by entry."""

    def __init__(self, planned: PlannedServer, stage: str) -> None:
        self._hashes = planned.hashes
        self._flag_missing = planned.flag_missing
        self._disk = {stage}
        self.seen: dict[str, Seen] = {}

    def note(self, entry: Entry) -> None:
        if entry.written is not None:
            # NOTE: an intent without an outcome was refused, or was carried out right before a crash: both may be so.
            stage = entry.written[1]
            self._disk = {stage} if entry.kind == "outcome" else {*self._disk, stage}
            if entry.kind == "outcome" and not self._without_file():
                self.seen = {}
        elif entry.changes_flag:
            self.seen = {}
        elif entry.proves("server"):
            self._prove(entry)

    def _prove(self, entry: Entry) -> None:
        loaded = entry.fields.get("loaded")
        stages = [stage for stage in STAGES if any(loaded == known for known in self._hashes[stage])]
        # NOTE: two stages may have the same file, and then none is written between them. A server whose flag was
        # taken away has loaded none, whatever is on its disk still.
        if self._disk.intersection(stages) or (self._flag_missing and loaded is None):
            for stage in stages:
                first = self.seen[stage].first if stage in self.seen else entry
                self.seen[stage] = Seen(first, entry)

    def _without_file(self) -> bool:
        return any(seen.last.fields.get("loaded") is None for seen in self.seen.values())


def course(records: Iterable[Mapping[str, object]]) -> Course:
    """The rotation that `records` tell. Raises `UnusableInputError` with the line for records of another shape."""
    entries = tuple(_entry(number, record) for number, record in enumerate(records, 1))
    if not entries:
        raise unusable(1, "is missing: the file is empty")
    if entries[-1].kind != "end":
        raise unusable(entries[-1].number, "is the last one and is no end: the rest was cut off")
    rotation = entries[0].text("rotation")
    for entry in entries:
        if entry.text("rotation") != rotation:
            raise unusable(entry.number, "belongs to another rotation")
        if entry.kind == "end" and entry is not entries[-1]:
            raise unusable(entry.number + 1, "comes after the rotation's end")
    begins = [entry for entry in entries if entry.kind == "begin"]
    if len(begins) != 1:
        raise unusable(begins[1].number if begins else len(entries), "shows that there is not exactly one begin")
    return Course(rotation, entries, _plan(begins[0]))


def counts(entry: Entry) -> tuple[Count, ...]:
    """The groups of a counts record."""
    return tuple(
        Count(
            resource=_text(entry.number, group, "resource"),
            provider="" if group.get("provider") is None else _text(entry.number, group, "provider"),
            key=_text(entry.number, group, "key"),
            values=_count(entry.number, group, "values"),
        )
        for group in (_fields(entry.number, item) for item in _items(entry.number, entry.fields, "groups"))
    )


def needs(entry: Entry) -> frozenset[str]:
    """The keys, as "provider/name", that the snapshots of a secured record need."""
    snapshots = (_fields(entry.number, item) for item in _items(entry.number, entry.fields, "snapshots"))
    return frozenset(
        name for snapshot in snapshots for name in _items(entry.number, snapshot, "needs") if isinstance(name, str)
    )


def opened(entry: Entry) -> frozenset[str]:
    """The keys, as "provider/name", whose stored copies opened at least one value."""
    found = _fields(entry.number, entry.fields.get("opened"))
    return frozenset(name for name in found if _count(entry.number, found, name) > 0)


def _entry(number: int, record: Mapping[str, object]) -> Entry:
    written = _text(number, record, "at")
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise unusable(number, "has no time with a zone in the field at")
    return Entry(number, _text(number, record, "kind"), at, record)


def _plan(begin: Entry) -> PlannedCourse:
    number, record = begin.number, _fields(begin.number, begin.fields.get("plan"))
    if record.get("rotation") != begin.fields.get("rotation"):
        raise unusable(number, "holds the plan of another rotation")
    settle = record.get("settle")
    new = _fields(number, record.get("new"))
    servers = tuple(_server(number, _fields(number, item)) for item in _items(number, record, "servers"))
    if not servers or len({server.name for server in servers}) != len(servers):
        raise unusable(number, "holds a plan without servers, or with one server twice")
    return PlannedCourse(
        goal=_text(number, record, "goal"),
        cluster=_text(number, record, "cluster"),
        cluster_uid=_text(number, record, "clusterUid"),
        new=_key(number, {**new, "fingerprint": record.get("fingerprint")}),
        old=tuple(_key(number, _fields(number, item)) for item in _items(number, record, "old")),
        servers=servers,
        settle=None if isinstance(settle, bool) or not isinstance(settle, int | float) else float(settle),
    )


def _key(number: int, fields: Mapping[str, object]) -> PlannedKey:
    fingerprint = fields.get("fingerprint")
    return PlannedKey(
        provider=_text(number, fields, "provider"),
        name=_text(number, fields, "name"),
        fingerprint=fingerprint if isinstance(fingerprint, str) else "",
    )


def _server(number: int, fields: Mapping[str, object]) -> PlannedServer:
    stages = _items(number, fields, "hashes")
    if len(stages) != len(STAGES) or not all(isinstance(stage, list) for stage in stages):
        raise unusable(number, f"holds a plan without {len(STAGES)} lists of hashes for a server")
    hashes = {}
    for stage, listed in zip(STAGES, stages, strict=True):
        known = {item for item in listed if item is None or isinstance(item, str)} if isinstance(listed, list) else ()
        hashes[stage] = frozenset(known)
    return PlannedServer(_text(number, fields, "name"), hashes, fields.get("flagMissing") is True)


def _fields(number: int, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise unusable(number, "lacks a JSON object where one is due")
    return value


def _items(number: int, fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise unusable(number, f"has no list in the field {name}")
    return value


def _text(number: int, fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise unusable(number, f"has no text in the field {name}")
    return value


def _count(number: int, fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise unusable(number, f"has no whole number in the field {name}")
    return value
