"""What one rotation is going to do, as a value without key bytes.

A plan fixes, for every server, the SHA-256 of each file it will get. From then
on "where are we" is read off hashes: the file on disk and the file a server has
loaded each *are* one stage of the plan, or are foreign. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from keyctl.errors import UnusableInputError
from keyctl.keys.key import KeyRef, Provider


class Goal(StrEnum):
    """Why the key changes."""

    ENABLE = "enable"
    ROTATE = "rotate"


class Stage(IntEnum):
    """What a configuration file says of the new key: nothing, readable, writing."""

    BASE = 0
    ADDED = 1
    PROMOTED = 2


class State(StrEnum):
    """The states of `docs/rotation-rules.md` that this version walks through, in order."""

    PREFLIGHT = "preflight"
    SECURED = "secured"
    GENERATED = "generated"
    ADDING = "adding"
    READABLE = "readable"
    PROMOTING = "promoting"
    SWITCHED = "switched"
    REWRITING = "rewriting"
    VERIFIED = "verified"

    @property
    def position(self) -> int:
        """0 for preflight, rising."""
        return list(State).index(self)


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """The files one server gets: "sha256:<hex>" by stage, None where it starts without a file.

    `flag_missing` says that its manifest has no encryption flag yet.
    """

    name: str
    hashes: tuple[str | None, str, str]
    flag_missing: bool = False

    def stage_of(self, sha256: str | None) -> Stage | None:
        """The stage whose file has this hash (the hash None is "no file"), or None for a foreign one."""
        return next((stage for stage in Stage if self.hashes[stage] == sha256), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """One rotation. `old` are the keys whose values are to be rewritten, `resources` what the chosen entries name."""

    rotation: str
    goal: Goal
    cluster: str
    cluster_uid: str
    new: KeyRef
    fingerprint: str
    old: tuple[KeyRef, ...]
    entries: tuple[int, ...]
    resources: tuple[str, ...]
    servers: tuple[ServerPlan, ...]

    def server(self, name: str) -> ServerPlan:
        """The plan of one server. `RuntimeError` for a name that is not in it."""
        for server in self.servers:
            if server.name == name:
                return server
        raise RuntimeError(f"no server {name!r} in the plan")

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields for the journal."""
        return {
            "rotation": self.rotation,
            "goal": self.goal.value,
            "cluster": self.cluster,
            "clusterUid": self.cluster_uid,
            "new": _ref_to_record(self.new),
            "fingerprint": self.fingerprint,
            "old": [_ref_to_record(ref) for ref in self.old],
            "entries": list(self.entries),
            "resources": list(self.resources),
            "servers": [
                {"name": s.name, "hashes": list(s.hashes), "flagMissing": s.flag_missing} for s in self.servers
            ],
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
            old=tuple(_ref_from_record(item) for item in _items(record["old"])),
            entries=tuple(_number(item) for item in _items(record["entries"])),
            resources=tuple(_text(item) for item in _items(record["resources"])),
            servers=tuple(_server_from_record(item) for item in _items(record["servers"])),
        )
    except (KeyError, ValueError, TypeError) as exc:
        raise UnusableInputError(
            f"the journal holds a plan that cannot be read ({type(exc).__name__})",
            hint="the state of the cluster is safe; start again with a new rotation after moving the journal away",
        ) from exc


def _ref_to_record(ref: KeyRef) -> dict[str, str]:
    return {"provider": ref.provider.value, "name": ref.name}


def _ref_from_record(value: object) -> KeyRef:
    fields = _fields(value)
    return KeyRef(Provider(_text(fields["provider"])), _text(fields["name"]))


def _server_from_record(value: object) -> ServerPlan:
    fields = _fields(value)
    base, added, promoted = _items(fields["hashes"])
    return ServerPlan(
        name=_text(fields["name"]),
        hashes=(None if base is None else _text(base), _text(added), _text(promoted)),
        flag_missing=bool(fields["flagMissing"]),
    )


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


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value
