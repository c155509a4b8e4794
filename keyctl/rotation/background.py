"""What one process of a rotation takes over from those before it: a record, and no proof of where things stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyctl.rotation.plan import Engine, History, Stage, Way


@dataclass(frozen=True, slots=True)
class Background:
    """The way to go, and what the journal knows of this rotation.

    `ever_promoted`: a file with the new key first was placed, or was about to be.
    `resecured`: the archive was proven and the second snapshot taken, and it is
    still there. `late` values kept every server down until they got a key back. `history`
    is what the last run was told to do about it; None where there was none. `engine` likewise.
    `migrated` are the names of StorageVersionMigrations that were begun and not ended. `exposing` are the snapshots
    taken, for a leaked key, after the switch and before anything was rewritten. `let_go`: a server was left without a
    key, or was about to be.
    """

    way: Way = Way.FORWARD
    first_snapshots: Sequence[Path] = ()
    ever_promoted: bool = False
    resecured: bool = False
    late: int = 0
    history: History | None = None
    engine: Engine | None = None
    migrated: Sequence[str] = ()
    exposing: Sequence[Path] = ()
    let_go: bool = False


def background_of(records: Sequence[Mapping[str, object]]) -> Background:
    """What the journal's records of one rotation, oldest first, tell its next run."""
    snapshots: list[Path] = []
    exposing: list[Path] = []
    way, promoted, resecured, let_go = Way.FORWARD, False, False, False
    history: History | None = None
    engine: Engine | None = None
    migrated: dict[str, None] = {}
    for record in records:
        if record["kind"] == "secured":
            snapshots = _paths(record)
        elif record["kind"] == "exposing":
            exposing = _paths(record)
        elif record["kind"] in {"resume", "abort"}:
            way = Way.BACK if record["kind"] == "abort" else way
            history = History(str(record["history"])) if "history" in record else history
            engine = Engine(str(record["engine"])) if "engine" in record else engine
        elif record.get("step") == "write-file" and record.get("stage") == Stage.PROMOTED.name:
            promoted = True
        elif _takes_away(record):
            let_go = True
        elif record.get("step") == "migrate":
            migrated[str(record["name"])] = None
        elif record.get("step") == "end-migration" and record["kind"] == "outcome":
            migrated.pop(str(record["name"]), None)
        elif record["kind"] == "proof" and record.get("of") == "resecured":
            paths = _paths(record)
            resecured = bool(paths) and all(path.exists() for path in paths)
    return Background(
        way,
        tuple(snapshots),
        ever_promoted=promoted,
        resecured=resecured,
        history=history,
        engine=engine,
        migrated=tuple(migrated),
        exposing=tuple(exposing),
        let_go=let_go,
    )


def _takes_away(record: Mapping[str, object]) -> bool:
    written = record.get("step") == "write-file" and record.get("stage") in {Stage.BASE.name, Stage.RETIRED.name}
    return written or record.get("step") == "restore-manifest"


def _paths(record: Mapping[str, object]) -> list[Path]:
    snapshots = record.get("snapshots")
    return [Path(str(one["path"])) for one in snapshots if isinstance(one, dict)] if isinstance(snapshots, list) else []
