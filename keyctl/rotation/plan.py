"""What one rotation is going to do, as a value without key bytes.

A plan fixes, for every server, the SHA-256 of each file it will get. From then
on "where are we" is read off hashes: the file on disk and the file a server has
loaded each *are* one stage of the plan, or are foreign. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from keyctl.encryption_config.plugin import Plugin, plugin_from_record
from keyctl.errors import UnusableInputError
from keyctl.keys.key import KeyRef, Provider


class Goal(StrEnum):
    """Why the key changes."""

    ENABLE = "enable"
    ROTATE = "rotate"
    DISABLE = "disable"
    REMOVE_IDENTITY = "remove-identity"

    @property
    def command(self) -> str:
        """What to type for it."""
        return "rotate --remove-identity" if self is Goal.REMOVE_IDENTITY else self.value


class Way(StrEnum):
    """Where a rotation is going: to its new key, or, after `--abort`, back to how everything was."""

    FORWARD = "forward"
    BACK = "back"

    @property
    def last(self) -> Stage:
        """The stage of every file when the key that stays writes everywhere, and the other one is still read."""
        return Stage.PROMOTED if self is Way.FORWARD else Stage.ADDED

    @property
    def goal(self) -> Stage:
        """The stage of every file when the leaving key is gone."""
        return Stage.RETIRED if self is Way.FORWARD else Stage.BASE

    @property
    def other(self) -> Way:
        """The opposite way."""
        return Way.BACK if self is Way.FORWARD else Way.FORWARD


class History(StrEnum):
    """What becomes of the superseded revisions that hold values under a key before it leaves (rule R6)."""

    COMPACT = "compact"
    WAIT = "wait"
    IGNORE = "ignore"


class Engine(StrEnum):
    """Who has the values rewritten: keyctl by empty patches, or the cluster by its StorageVersionMigrations."""

    PATCH = "patch"
    SVM = "svm"


class Stage(IntEnum):
    """What a configuration file says of the new key and the old ones.

    The new one is absent, reads, writes; at the last stage the old ones are gone.
    Files of neighbouring stages read what each other write; no others do.
    """

    BASE = 0
    ADDED = 1
    PROMOTED = 2
    RETIRED = 3


class State(StrEnum):
    """The states of `docs/rotation-rules.md`, in order, and the two of the way back."""

    PREFLIGHT = "preflight"
    SECURED = "secured"
    GENERATED = "generated"
    ADDING = "adding"
    READABLE = "readable"
    PROMOTING = "promoting"
    SWITCHED = "switched"
    REWRITING = "rewriting"
    VERIFIED = "verified"
    RESECURED = "resecured"
    RETIRING = "retiring"
    RETIRED = "retired"
    ABORTING = "aborting"
    ABORTED = "aborted"

    @property
    def position(self) -> int:
        """0 for preflight, rising."""
        return list(State).index(self)


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key that the new one takes the place of. `entries` are those that hold it, by their index in the file.

    `beside` is the key right before it in the same list of keys, if any.
    """

    ref: KeyRef
    fingerprint: str
    entries: tuple[int, ...]
    beside: KeyRef | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a rotation changes in every server's file. Entries are indexes in the file as it was.

    `entries` get the new key; those in `added_to` do not read it yet. `appended`
    are the resources of an entry that is added at the end, none where no entry
    is. `whole` says that there was no file. `places` are the (entry, position) of
    an identity element that stood there before.
    """

    resources: tuple[str, ...]
    entries: tuple[int, ...]
    added_to: tuple[int, ...]
    appended: tuple[str, ...] = ()
    whole: bool = False
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """The files one server may have: for each stage the "sha256:<hex>" of its texts, None for "no file".

    Coming back to a stage can give another text than the one it was left with, which is why there may be several.
    A stage that the rotation does not go to has none. `flag_missing` says that its manifest had no encryption flag.
    """

    name: str
    hashes: tuple[tuple[str | None, ...], ...]
    flag_missing: bool = False

    def stage_of(self, sha256: str | None) -> Stage | None:
        """The stage whose file has this hash, or None for a foreign one; the highest where two have one text."""
        return next((stage for stage in reversed(Stage) if sha256 in self.hashes[stage]), None)

    @property
    def floor(self) -> Stage:
        """The stage of the file as it was: `ADDED` where the new key could be read already."""
        return self.stage_of(self.hashes[Stage.BASE][0]) or Stage.BASE


@dataclass(frozen=True, slots=True)
class Plan:
    """One rotation. `settle` in seconds; `fingerprint` is that of the new key, empty for plaintext and for a plugin.

    `second_pass`: after the rewriting every object is sent through every server once more (`noop_pass`).
    `compromised` is the key that has leaked, where that is why. `plugin` is the KMS plugin that comes or leaves.
    """

    rotation: str
    goal: Goal
    cluster: str
    cluster_uid: str
    new: KeyRef
    fingerprint: str
    old: tuple[OldKey, ...]
    change: FileChange
    history: History
    settle: float
    servers: tuple[ServerPlan, ...]
    engine: Engine = Engine.PATCH
    second_pass: bool = False
    compromised: KeyRef | None = None
    plugin: Plugin | None = None

    def __post_init__(self) -> None:
        refs = {self.new, *self.old_refs}
        if {ref for ref in refs if ref.provider is Provider.KMS} != ({self.plugin.ref} if self.plugin else set()):
            raise ValueError("a plan names the settings of the plugin that comes or leaves, and of no other")

    @property
    def retires(self) -> bool:
        """Whether old keys leave the files at the end."""
        return self.goal is not Goal.ENABLE

    def leaving(self, way: Way) -> tuple[KeyRef, ...]:
        """The keys under which nothing may be at the end of `way`. What was there before stays on the way back."""
        if way is Way.FORWARD:
            return self.old_refs
        return () if self.goal is Goal.REMOVE_IDENTITY else (self.new,)

    @property
    def resources(self) -> tuple[str, ...]:
        """What the entries that change name."""
        return self.change.resources

    @property
    def old_refs(self) -> tuple[KeyRef, ...]:
        """The old keys by name."""
        return tuple(key.ref for key in self.old)

    def server(self, name: str) -> ServerPlan:
        """The plan of one server. `RuntimeError` for a name that is not in it."""
        for server in self.servers:
            if server.name == name:
                return server
        raise RuntimeError(f"no server {name!r} in the plan")

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields for the journal."""
        change = self.change
        return {
            "rotation": self.rotation,
            "goal": self.goal.value,
            "cluster": self.cluster,
            "clusterUid": self.cluster_uid,
            "new": _ref_to_record(self.new),
            "fingerprint": self.fingerprint,
            "old": [
                {
                    **_ref_to_record(key.ref),
                    "fingerprint": key.fingerprint,
                    "entries": list(key.entries),
                    "beside": None if key.beside is None else _ref_to_record(key.beside),
                }
                for key in self.old
            ],
            "resources": list(change.resources),
            "entries": list(change.entries),
            "addedTo": list(change.added_to),
            "appended": list(change.appended),
            "whole": change.whole,
            "places": [list(place) for place in change.places],
            "history": self.history.value,
            "settle": self.settle,
            "servers": [server_to_record(server) for server in self.servers],
            "engine": self.engine.value,
            "secondPass": self.second_pass,
            "compromised": None if self.compromised is None else _ref_to_record(self.compromised),
            "plugin": None if self.plugin is None else self.plugin.to_record(),
        }


def plan_from_record(record: Mapping[str, object]) -> Plan:
    """The inverse of `Plan.to_record`. Raises `UnusableInputError` for a record that is no plan."""
    try:
        return Plan(
            rotation=_text(record["rotation"]),
            goal=Goal(_text(record["goal"])),
            cluster=_text(record["cluster"]),
            cluster_uid=_text(record["clusterUid"]),
            new=_ref_from_record(record["new"]),
            fingerprint=_text(record["fingerprint"]),
            old=tuple(_old_from_record(item) for item in _items(record["old"])),
            change=_change_from_record(record),
            history=History(_text(record["history"])),
            settle=_real(record["settle"]),
            servers=tuple(server_from_record(item) for item in _items(record["servers"])),
            # NOTE: journals of before have none of these.
            engine=Engine(_text(record.get("engine", Engine.PATCH.value))),
            second_pass=_truth(record.get("secondPass", False)),
            compromised=None if record.get("compromised") is None else _ref_from_record(record["compromised"]),
            plugin=None if record.get("plugin") is None else plugin_from_record(record["plugin"]),
        )
    except (KeyError, ValueError, TypeError) as exc:
        raise UnusableInputError(
            f"the journal holds a plan that cannot be read ({type(exc).__name__})",
            hint="the state of the cluster is safe; start again with a new rotation after moving the journal away",
        ) from exc


def server_to_record(server: ServerPlan) -> dict[str, object]:
    """As JSON-ready fields for the journal."""
    hashes = [list(texts) for texts in server.hashes]
    return {"name": server.name, "hashes": hashes, "flagMissing": server.flag_missing}


def server_from_record(value: object) -> ServerPlan:
    """The inverse of `server_to_record`. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    fields = _fields(value)
    hashes = tuple(
        tuple(None if text is None else _text(text) for text in _items(texts)) for texts in _items(fields["hashes"])
    )
    if len(hashes) != len(Stage):
        raise ValueError("a stage is missing")
    return ServerPlan(_text(fields["name"]), hashes, flag_missing=_truth(fields["flagMissing"]))


def _change_from_record(record: Mapping[str, object]) -> FileChange:
    places = [tuple(_number(part) for part in _items(place)) for place in _items(record["places"])]
    return FileChange(
        resources=_texts(record["resources"]),
        entries=_numbers(record["entries"]),
        added_to=_numbers(record["addedTo"]),
        appended=_texts(record["appended"]),
        whole=_truth(record["whole"]),
        places=tuple((index, position) for index, position in places),
    )


def _old_from_record(value: object) -> OldKey:
    fields = _fields(value)
    beside = None if fields["beside"] is None else _ref_from_record(fields["beside"])
    return OldKey(_ref_from_record(value), _text(fields["fingerprint"]), _numbers(fields["entries"]), beside)


def _ref_to_record(ref: KeyRef) -> dict[str, str]:
    return {"provider": ref.provider.value, "name": ref.name}


def _ref_from_record(value: object) -> KeyRef:
    fields = _fields(value)
    return KeyRef(Provider(_text(fields["provider"])), _text(fields["name"]))


def _fields(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError("not a mapping")
    return value


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _real(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _items(value))


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(_number(item) for item in _items(value))
