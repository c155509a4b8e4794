"""What the records of a finished rotation must show, claim by claim: the proofs of `docs/rotation-rules.md`.

Pure. A claim is a sentence about what is missing, with a line number where there
is one; no sentences, nothing missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from keyctl.rotation.evidence_course import Course, Entry, needs, opened

_READABLE_PROOFS = 2
# The settle time is kept by a monotonic clock; older records tell it by the wall clock only, in milliseconds.
_CLOCK_SLACK = 0.1


def missing(course: Course) -> tuple[str, ...]:
    """Each claim that the records do not bear out, as a sentence; empty when they bear out all of them."""
    return tuple(
        chain(
            _identified(course),
            _counted(course),
            _read_before_write(course),
            _removed_late(course),
            _nothing_left(course),
            _ended(course),
        )
    )


def _ended(course: Course) -> Iterator[str]:
    aborts = [entry.number for entry in course.entries if entry.kind == "abort"]
    state = course.end_state
    if state not in {"verified", "retired", "aborted"}:
        yield f"line {course.entries[-1].number}: no rotation ends in the state {state!r}"
    elif state == "aborted":
        yield from _aborted(course, aborts[0]) if aborts else ["it ends aborted, but nobody aborted it"]
    elif aborts:
        yield f"line {aborts[0]}: it was aborted, but it ends {state}"
    elif (state == "verified") is not (course.plan.goal == "enable"):
        yield f"line {course.entries[-1].number}: {course.plan.goal} does not end {state}"
    else:
        yield from _verified(course)
        if state == "retired":
            yield from _closed(course, "RETIRED", "retired")


def _identified(course: Course) -> Iterator[str]:
    """Who changed which key of which cluster."""
    plan = course.plan
    attempt = course.first("attempt")
    if attempt is None or not attempt.fields.get("who"):
        yield "nothing says who began it"
    if not plan.cluster_uid:
        yield "the plan does not say the uid of the cluster"
    for key in (plan.new, *plan.old):
        if key.lacks_fingerprint:
            yield f"the plan has no fingerprint of {key}"
    if plan.settle is None:
        yield "the plan does not say how long to settle"


def _counted(course: Course) -> Iterator[str]:
    for which in ("before", "after"):
        if not any(entry.kind == "counts" and entry.fields.get("of") == which for entry in course.entries):
            yield f"no count of the values {which} the rotation"


def _read_before_write(course: Course) -> Iterator[str]:
    """R2: before any file wrote with the new key, every server was proven to read it, and all of them twice."""
    first = _first_write(course.entries, "PROMOTED")
    if first is None or not course.plan.brings_key:
        return
    yield from _unproven(course, "ADDED", until=first.number)
    before = course.entries[: first.number - 1]
    placed = max((entry.number for entry in before if entry.written), default=0)
    proofs = sum(entry.proves("readable") for entry in before if entry.number > placed)
    if proofs < _READABLE_PROOFS:
        yield f"line {first.number}: the new key was promoted after {proofs} of {_READABLE_PROOFS} readable proofs"


def _removed_late(course: Course) -> Iterator[str]:
    """R3, R6: no old key left a file before the proof, the history and the archive were dealt with."""
    secured = course.first("secured")
    if secured is None and _first_write(course.entries, "RETIRED") is not None:
        yield "an old key was taken away, and no snapshot was secured before"
    needed = frozenset() if secured is None else needs(secured)
    for run in course.run_throughs:
        first = _first_write(run, "RETIRED")
        if first is None:
            continue
        before = [entry for entry in run if entry.number < first.number]
        # NOTE: a late hit puts the scan and the history in doubt, but not the archive.
        resecured = _last(course.entries[: first.number - 1], "resecured")
        proofs = {"verified": _last(before, "verified"), "history": _last(before, "history"), "resecured": resecured}
        for what in (what for what, proof in proofs.items() if proof is None):
            yield f"line {first.number}: an old key was taken away without a {what} proof"
        unopened = needed if resecured is None else needed - opened(resecured)
        for key in course.plan.old:
            if str(key) in unopened:
                yield f"line {first.number}: {key} was taken away before its stored copy was seen to open a value"


def _nothing_left(course: Course) -> Iterator[str]:
    """What the last run-through proved, it proved with no value left under a key that goes."""
    for entry in course.run_throughs[-1]:
        if entry.proves("verified", "retired", "gone") and (left := entry.count("leaving")):
            yield f"line {entry.number}: proven with {left} values under a key that goes"


def _verified(course: Course) -> Iterator[str]:
    """Every server wrote with the new key, and what was being handled then had landed before the scan."""
    run = course.run_throughs[-1]
    removal = _first_write(run, "RETIRED")
    before = [entry for entry in run if removal is None or entry.number < removal.number]
    verified = _last(before, "verified")
    if verified is None:
        yield "no verified proof of the last run-through"
        return
    switched = _last((entry for entry in before if entry.number < verified.number), "switched")
    if switched is None:
        yield f"line {verified.number}: verified before it was switched"
        return
    yield from _unproven(course, "PROMOTED", until=switched.number)
    yield from _unsettled(course, switched, verified)
    until = removal.number if removal is not None and course.end_state == "retired" else len(course.entries)
    yield from _written_after(course, switched, until=until)


def _aborted(course: Course, abort: int) -> Iterator[str]:
    """R7: the new key left the files by the same proof as an old one does."""
    if _first_write(course.entries, "PROMOTED") is not None and course.plan.brings_key:
        yield from _written_back(course, abort)
    if any(server.loses_key for server in course.plan.servers):
        yield from _closed(course, "BASE", "gone")
    end = len(course.entries)
    yield from _unproven(course, "BASE", until=end)
    for server, proofs in course.proven(until=end).items():
        if "BASE" in proofs and proofs["BASE"].last.number < abort:
            yield f"{server} was not looked at after the abort"


def _written_back(course: Course, abort: int) -> Iterator[str]:
    """Before the new key left a file: every server wrote with the old one again, and nothing was under the new one."""
    run = [entry for entry in course.run_throughs[-1] if entry.number > abort]
    removal = next((entry for entry in run if entry.removes_from("BASE")), None)
    before = [entry for entry in run if removal is None or entry.number < removal.number]
    verified = _last(before, "verified")
    if verified is None:
        yield "the new key was taken away without a verified proof after the abort"
        return
    if removal is not None and _last(before, "history") is None:
        yield f"line {removal.number}: the new key was taken away without a history proof after the abort"
    switched = _last((entry for entry in before if entry.number < verified.number), "switched")
    if switched is None:
        yield f"line {verified.number}: verified before it was switched back"
        return
    yield from _unproven(course, "ADDED", until=switched.number)
    yield from _unsettled(course, switched, verified)


def _closed(course: Course, stage: str, proof: str) -> Iterator[str]:
    """Every server was proven at `stage`; what was being handled then had landed before the last scan."""
    closing = _last(course.run_throughs[-1], proof)
    if closing is None:
        yield f"no last scan after the files lost the key: the {proof} proof is missing"
        return
    yield from _unproven(course, stage, until=closing.number)
    yield from _written_after(course, closing, until=len(course.entries))
    proven = (proofs[stage].first for proofs in course.proven(until=closing.number).values() if stage in proofs)
    # NOTE: from its first proof on a server is without the key; right before the scan each is proven once more.
    begun = max(proven, key=lambda entry: entry.number, default=None)
    if begun is not None:
        yield from _unsettled(course, begun, closing)


def _unproven(course: Course, stage: str, *, until: int) -> Iterator[str]:
    for server, proofs in course.proven(until).items():
        if stage not in proofs:
            yield f"line {until}: {server} was not proven to have loaded its {stage} file by then"


def _unsettled(course: Course, begun: Entry, done: Entry) -> Iterator[str]:
    waited = (done.at - begun.at).total_seconds()
    settled = done.fields.get("settled")
    if isinstance(settled, int | float) and not isinstance(settled, bool):
        # NOTE: the wall clock may have been set meanwhile.
        waited = settled
    settle = course.settle_at(begun)
    if settle is not None and waited + _CLOCK_SLACK < settle:
        yield f"line {done.number}: {waited:.1f} s after line {begun.number}, not the {settle:g} s to settle"


def _written_after(course: Course, proof: Entry, *, until: int) -> Iterator[str]:
    """A file that was written after `proof`, before line `until`, is none of those that it is about."""
    for entry in course.entries[proof.number : until - 1]:
        if entry.written is not None:
            yield f"line {entry.number}: a file was written after the proof of line {proof.number}"


def _first_write(entries: Iterable[Entry], stage: str) -> Entry | None:
    return next((entry for entry in entries if entry.written is not None and entry.written[1] == stage), None)


def _last(entries: Iterable[Entry], what: str) -> Entry | None:
    found = [entry for entry in entries if entry.proves(what)]
    return found[-1] if found else None
