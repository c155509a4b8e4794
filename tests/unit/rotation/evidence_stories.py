"""Rotations as their journals tell them, whole ones, and the ways to take something out of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from keyctl.rotation.evidence import FORMAT, canonical, digest, write
from keyctl.rotation.evidence_check import Checked, check

ROTATION = "20261121t100000z-beef"
SERVERS = ("cp1", "cp2")
STAGES = ("BASE", "ADDED", "PROMOTED", "RETIRED")
SETTLE = 60.0

Record = dict[str, object]
Pick = Callable[[Record], bool]


def file_hash(server: str, stage: str) -> str:
    return digest(f"{server} {stage}")


@dataclass
class Story:
    """A journal as a rotation writes it, a second a record."""

    records: list[Record] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 21, 10, tzinfo=UTC)

    def add(self, kind: str, **fields: object) -> None:
        self.now += timedelta(seconds=1)
        at = self.now.isoformat(timespec="milliseconds")
        self.records.append({"at": at, "kind": kind, "rotation": ROTATION, **fields})

    def proof(self, of: str, **fields: object) -> None:
        self.add("proof", of=of, **fields)

    def wait(self, seconds: float = SETTLE) -> None:
        self.now += timedelta(seconds=seconds)

    def write(self, stage: str, server: str) -> None:
        self.add("intent", step="write-file", server=server, stage=stage)
        self.add("outcome", step="write-file", server=server, stage=stage)

    def place(self, stage: str) -> None:
        for server in SERVERS:
            self.write(stage, server)
        self.prove(stage)

    def prove(self, stage: str) -> None:
        for server in SERVERS:
            self.prove_one(server, stage)

    def prove_one(self, server: str, stage: str) -> None:
        fields = {"server": server, "stage": stage, "loaded": file_hash(server, stage), "startTime": 1.0}
        self.proof("server", **fields, listed={"secrets": 12})

    def demote(self) -> None:
        self.add("abort", who="ops@bastion")
        self.place("ADDED")
        self.proof("switched", revision=20)
        self.wait()
        self.proof("verified", revision=40, values=13, leaving=0, under=12)
        self.proof("history", mode="compact", compacted=[{"etcd": "main", "revision": 40}])

    def close(self, of: str, stage: str, revision: int) -> None:
        """As keyctl ends: the settle time, every server once more, the last scan."""
        self.wait()
        self.prove(stage)
        self.proof(of, revision=revision, values=13, leaving=0)

    def begin(self, goal: str = "rotate") -> None:
        self.add("attempt", goal=goal, who="ops@bastion")
        snapshot = {"path": "/backups/first.db", "sha256": digest("db"), "size": 4096, "revision": 10}
        self.add("secured", snapshots=[{**snapshot, "needs": ["aescbc/key1"]}])
        self.add("begin", plan=plan(goal))
        self.count("before", 10, "key1", 12)

    def count(self, of: str, revision: int, key: str, values: int) -> None:
        secrets = {"resource": "secrets", "provider": "aescbc", "key": key, "values": values}
        odd = {"resource": "leases", "provider": None, "key": "", "values": 1}
        self.add("counts", of=of, revision=revision, groups=[secrets, odd])

    def promote(self) -> None:
        self.place("ADDED")
        self.proof("readable", times=1)
        self.proof("readable", times=2)
        self.place("PROMOTED")

    def verify(self, revision: int) -> None:
        self.proof("switched", revision=revision)
        self.wait()
        self.proof("verified", revision=revision + 20, values=13, leaving=0, under=12)

    def retire(self, revision: int) -> None:
        self.proof("history", mode="compact", compacted=[{"etcd": "main", "revision": revision}])
        self.proof("resecured", snapshots=[], opened={"aescbc/key1": 12})
        self.place("RETIRED")
        self.close("retired", "RETIRED", revision + 5)

    def end(self, state: str, key: str = "key2") -> list[Record]:
        self.count("after", 50, key, 14)
        self.add("end", state=state, revision=50)
        return self.records


def plan(goal: str) -> Record:
    return {
        "rotation": ROTATION,
        "goal": goal,
        "cluster": "prod",
        "clusterUid": "0b1e",
        "new": {"provider": "aescbc", "name": "key2"},
        "fingerprint": "b" * 32,
        "old": [{"provider": "aescbc", "name": "key1", "fingerprint": "a" * 32, "entries": [0]}],
        "history": "compact",
        "settle": SETTLE,
        "entries": [0],
        "resources": ["secrets"],
        "servers": [server(name) for name in SERVERS],
    }


def server(name: str) -> Record:
    return {"name": name, "hashes": [[file_hash(name, stage)] for stage in STAGES], "flagMissing": False}


def verified() -> list[Record]:
    story = Story()
    story.begin("enable")
    story.promote()
    story.verify(20)
    return story.end("verified")


def retired() -> list[Record]:
    story = Story()
    story.begin()
    story.promote()
    story.verify(20)
    story.retire(40)
    return story.end("retired")


def hit_late() -> list[Record]:
    story = Story()
    story.begin()
    story.promote()
    story.verify(20)
    story.retire(40)
    del story.records[-1]
    story.proof("late", values=1)
    story.place("PROMOTED")
    story.verify(60)
    story.retire(80)
    return story.end("retired")


def aborted() -> list[Record]:
    story = Story()
    story.begin()
    story.promote()
    story.demote()
    story.place("BASE")
    story.close("gone", "BASE", 45)
    return story.end("aborted", key="key1")


def aborted_early() -> list[Record]:
    story = Story()
    story.begin()
    story.place("ADDED")
    story.add("abort", who="ops@bastion")
    story.place("BASE")
    story.close("gone", "BASE", 45)
    return story.end("aborted", key="key1")


def aborted_before_any_file() -> list[Record]:
    story = Story()
    story.begin()
    story.add("abort", who="ops@bastion")
    story.prove("BASE")
    story.close("gone", "BASE", 45)
    return story.end("aborted", key="key1")


def aborted_to_no_flag() -> list[Record]:
    """The manifest goes back before the file does, and is what tells: a server without the flag has no file loaded."""
    story = Story()
    story.begin("enable")
    for server in SERVERS:
        story.write("ADDED", server)
        story.add("intent", step="edit-manifest", server=server)
        story.add("outcome", step="edit-manifest", server=server)
    story.promote()
    story.demote()
    for server in SERVERS:
        story.add("intent", step="restore-manifest", server=server)
        story.add("outcome", step="restore-manifest", server=server)
        story.prove_one(server, "BASE")
        story.write("BASE", server)
    story.close("gone", "BASE", 45)
    bare = [
        {
            "name": name,
            "hashes": [[None], *([file_hash(name, stage)] for stage in STAGES[1:3]), []],
            "flagMissing": True,
        }
        for name in SERVERS
    ]
    records = with_plan(story.end("aborted", key="key1"), old=[], servers=bare)
    return with_fields(records, proof_of("server", stage="BASE"), loaded=None)


STORIES = (verified, retired, hit_late, aborted, aborted_early, aborted_before_any_file, aborted_to_no_flag)


def proof_of(what: str, **fields: object) -> Pick:
    return lambda record: (record["kind"], record.get("of")) == ("proof", what) and fields.items() <= record.items()


def of_kind(kind: str, **fields: object) -> Pick:
    return lambda record: record["kind"] == kind and fields.items() <= record.items()


def where(records: Sequence[Record], pick: Pick) -> int:
    """The index of the only record that `pick` takes."""
    (index,) = (index for index, record in enumerate(records) if pick(record))
    return index


def without(records: Sequence[Record], pick: Pick) -> list[Record]:
    kept = [record for record in records if not pick(record)]
    assert len(kept) < len(records)
    return kept


def without_since(start: str, records: Sequence[Record], pick: Pick) -> list[Record]:
    """The records without those after the abort or the late hit that `pick` takes."""
    begun = where(records, lambda record: start in (record["kind"], record.get("of")))
    kept = [r for index, r in enumerate(records) if index <= begun or not pick(r)]
    assert len(kept) < len(records)
    return kept


def stage_of(stage: str) -> Pick:
    """Writes of the files of a stage, not their proofs."""
    return lambda record: record["kind"] in {"intent", "outcome"} and record.get("stage") == stage


def moved(records: Sequence[Record], pick: Pick, *, before: Pick) -> list[Record]:
    """The records that `pick` takes moved in front of the first that `before` takes; every line keeps its time."""
    taken, rest = [r for r in records if pick(r)], [r for r in records if not pick(r)]
    index = next(index for index, record in enumerate(rest) if before(record))
    order = [*rest[:index], *taken, *rest[index:]]
    return [{**record, "at": old["at"]} for record, old in zip(order, records, strict=True)]


def hurried(records: Sequence[Record], pick: Pick, seconds: float) -> list[Record]:
    """Everything from the only record that `pick` takes on, that much earlier."""
    index = where(records, pick)
    earlier = timedelta(seconds=seconds)
    return [
        {**record, "at": (datetime.fromisoformat(str(record["at"])) - earlier).isoformat()} if i >= index else record
        for i, record in enumerate(records)
    ]


def with_fields(records: Sequence[Record], pick: Pick, **fields: object) -> list[Record]:
    assert any(map(pick, records))
    return [{**record, **fields} if pick(record) else record for record in records]


def with_plan(records: Sequence[Record], **fields: object) -> list[Record]:
    goal = str(records[0]["goal"])
    return with_fields(records, of_kind("begin"), plan={**plan(goal), **fields})


def checked(records: Sequence[Mapping[str, object]]) -> Checked:
    with TemporaryDirectory() as directory:
        write(Path(directory) / "evidence", records)
        return check(Path(directory) / "evidence")


def chained(records: Sequence[Mapping[str, object]]) -> Iterator[bytes]:
    """The lines of a whole chain over any records at all, as somebody who forges a bundle makes them."""
    last = digest(FORMAT)
    for number, record in enumerate(records, 1):
        linked = {**record, "n": number, "previous": last}
        last = digest(canonical(linked))
        yield canonical({**linked, "hash": last}).encode() + b"\n"


def lines_of(records: Sequence[Mapping[str, object]]) -> list[bytes]:
    return list(chained(records))
