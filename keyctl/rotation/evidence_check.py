"""Check an evidence bundle: the chain, line by line, and then what its records say. Only reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.rotation.evidence import FILE_NAME, FORMAT, LINKS, canonical, digest
from keyctl.rotation.evidence_claims import missing
from keyctl.rotation.evidence_course import Count, Course, Entry, PlannedKey, counts, course, unusable
from keyctl.rotation.moments import moments


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle that holds: what it says of one rotation, for people and for scripts.

    `servers` has for each how often it was proven, and what showed which file it had loaded: "hash", or, where it did
    not say that, "reload" and "start". `revisions` are etcd's, by what was done at them, in order. `history` says how
    superseded revisions were dealt with, "" where they were not. `settle` is in seconds. `late` is how often a
    value landed late, so that the old key was put back. `sha256` is the last line's hash. `moments` are what happened,
    for whoever draws it (`keyctl.rotation.moments`).
    """

    path: Path
    rotation: str
    goal: str
    state: str
    cluster: str
    cluster_uid: str
    who: str
    began: datetime
    ended: datetime
    new: PlannedKey
    old: tuple[PlannedKey, ...]
    servers: tuple[tuple[str, int, tuple[str, ...]], ...]
    before: tuple[Count, ...]
    after: tuple[Count, ...]
    revisions: tuple[tuple[str, int], ...]
    history: str
    settle: float
    late: int
    records: int
    sha256: str
    moments: tuple[Mapping[str, object], ...]

    def lines(self) -> tuple[str, ...]:
        """As text without control characters, one fact a line; the last one is the hash to keep elsewhere."""
        fate = "retired" if self.state == "retired" else "kept"
        new = "abandoned" if self.state == "aborted" else "new"
        late = (f"late hits: {self.late}; the old keys were put back and all was proven again",) if self.late else ()
        found = (
            f"rotation {self.rotation}: {self.goal}, {self.state}",
            f"cluster {self.cluster}, uid {self.cluster_uid}",
            f"by {self.who}, from {self.began.isoformat()} to {self.ended.isoformat()}",
            f"{new} key {_named(self.new)}",
            *(f"{fate} key {_named(key)}" for key in self.old),
            *(f"server {name}: {proofs} proofs{_shown_by(kinds)}" for name, proofs, kinds in self.servers),
            *(f"{what}: {before} values before, {after} after" for what, before, after in self.changes()),
            f"revisions: {', '.join(f'{what} {revision}' for what, revision in self.revisions)}",
            f"settled {self.settle:g} s; history: {self.history or 'left as it is'}",
            *late,
            f"{self.records} records, last hash {self.sha256}",
        )
        return tuple(_inert(line) for line in found)

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields."""
        return {
            "path": str(self.path),
            "rotation": self.rotation,
            "goal": self.goal,
            "state": self.state,
            "cluster": self.cluster,
            "clusterUid": self.cluster_uid,
            "who": self.who,
            "began": self.began.isoformat(),
            "ended": self.ended.isoformat(),
            "new": _key_record(self.new),
            "old": [_key_record(key) for key in self.old],
            "servers": [
                {"name": name, "proofs": proofs, "loadedBy": list(kinds)} for name, proofs, kinds in self.servers
            ],
            "before": [_count_record(count) for count in self.before],
            "after": [_count_record(count) for count in self.after],
            "revisions": dict(self.revisions),
            "history": self.history,
            "settle": self.settle,
            "late": self.late,
            "records": self.records,
            "sha256": self.sha256,
            "moments": [dict(moment) for moment in self.moments],
        }

    def changes(self) -> list[tuple[str, int, int]]:
        """("secrets under aescbc/k1", values before, values after), sorted; what was not there is 0."""
        before, after = _by_place(self.before), _by_place(self.after)
        return [(place, before.get(place, 0), after.get(place, 0)) for place in sorted({*before, *after})]


def check(directory: Path) -> Checked:
    """Read `directory`/evidence.jsonl and say what it proves.

    Raises `UnusableInputError`: with the line, for a file that is missing or whose
    chain is broken; with every claim that its records do not bear out. It raises, and
    returns no list of doubts, so that nobody takes a bundle for good without looking.
    """
    path = directory / FILE_NAME
    records, last = _unchained(path)
    told = course(records)
    doubts = missing(told)
    if doubts:
        raise UnusableInputError(
            f"{path} does not show that rotation {_inert(told.rotation)} went by the rules",
            cause=_inert("; ".join(doubts)),
            hint="do not rely on this bundle; look at the cluster itself: keyctl verify-secrets",
        )
    return _checked(path, told, last)


def _unchained(path: Path) -> tuple[list[dict[str, object]], str]:
    """The records without their links, and the last hash."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise UnusableInputError(
            f"no evidence can be read at {path}, from its line 1 on",
            cause=exc.strerror,
            hint="name the directory that holds evidence.jsonl",
        ) from exc
    lines = content.split(b"\n")
    records, last = [], digest(FORMAT)
    for number, line in enumerate(lines[:-1], 1):
        record = _linked(number, line)
        if record.get("n") != number:
            raise unusable(number, "is not the one that was written there: a line was removed, inserted or moved")
        if record.get("previous") != last:
            what = "does not follow from the line before it" if number > 1 else f"does not begin the format {FORMAT}"
            raise unusable(number, what)
        last = str(record["hash"])
        records.append({name: value for name, value in record.items() if name not in LINKS})
    if lines[-1]:
        raise unusable(len(lines), "is cut off: it does not end")
    return records, last


def _linked(number: int, line: bytes) -> dict[str, object]:
    """The line as it was written, byte for byte: its own hash fits."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise unusable(number, "is no JSON object")
        text = canonical(record)
    except (ValueError, RecursionError) as exc:
        raise unusable(number, "is no JSON of this format") from exc
    unhashed = {name: value for name, value in record.items() if name != "hash"}
    if text.encode("ascii") != line or record.get("hash") != digest(canonical(unhashed)):
        raise unusable(number, "was changed: its hash does not fit")
    return record


def _checked(path: Path, told: Course, last: str) -> Checked:
    plan, entries = told.plan, told.entries
    run = told.run_throughs[-1]
    before = next(entry for entry in entries if _counts(entry, "before"))
    after = [entry for entry in entries if _counts(entry, "after")][-1]
    settles = [found for entry in entries if (found := told.settle_at(entry)) is not None]
    named = [
        ("before", before),
        *((str(e.fields["of"]), e) for e in run if e.proves("switched", "verified", "retired", "gone")),
    ]
    modes = [entry.text("mode") for entry in run if entry.proves("history")]
    return Checked(
        path=path,
        rotation=told.rotation,
        goal=plan.goal,
        state=told.end_state,
        cluster=plan.cluster,
        cluster_uid=plan.cluster_uid,
        who=", ".join(dict.fromkeys(entry.text("who") for entry in entries if "who" in entry.fields)),
        began=entries[0].at,
        ended=entries[-1].at,
        new=plan.new,
        old=plan.old,
        servers=tuple(_proofs(entries, name) for name in told.proven(len(entries))),
        before=counts(before),
        after=counts(after),
        revisions=tuple({what: entry.count("revision") for what, entry in (*named, ("after", after))}.items()),
        history=modes[-1] if modes else "",
        settle=min(settles) if settles else 0.0,
        late=sum(entry.proves("late") for entry in entries),
        records=len(entries),
        sha256=last,
        moments=tuple(moments(entry.fields for entry in entries)),
    )


def _counts(entry: Entry, which: str) -> bool:
    return entry.kind == "counts" and entry.fields.get("of") == which


def _proofs(entries: tuple[Entry, ...], server: str) -> tuple[str, int, tuple[str, ...]]:
    """The server, how often it was proven, and by what it was known which file it had loaded."""
    proofs = [entry for entry in entries if entry.proves("server") and entry.text("server") == server]
    # NOTE: older records do not say; the server's own word was the only way then.
    kinds = {str(entry.fields.get("loadedBy") or "hash") for entry in proofs}
    return server, len(proofs), tuple(sorted(kinds))


def _shown_by(kinds: tuple[str, ...]) -> str:
    return "" if set(kinds) <= {"hash"} else f"; what it had loaded was shown by {' and '.join(kinds)}"


def _by_place(found: tuple[Count, ...]) -> dict[str, int]:
    return {f"{c.resource} under {_place(c)}": c.values for c in found}


def _place(count: Count) -> str:
    if not count.provider:
        return "no known provider"
    return f"{count.provider}/{count.key}" if count.key else count.provider


def _named(key: PlannedKey) -> str:
    return f"{key}, fingerprint {key.fingerprint}" if key.fingerprint else str(key)


def _key_record(key: PlannedKey) -> dict[str, object]:
    return {"provider": key.provider, "name": key.name, "fingerprint": key.fingerprint}


def _count_record(count: Count) -> dict[str, object]:
    return {
        "resource": count.resource,
        "provider": count.provider or None,
        "key": count.key,
        "values": count.values,
    }


def _inert(text: str) -> str:
    """The last guard before a terminal: a bundle is a file that anybody may have made."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
