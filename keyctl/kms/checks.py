"""What the answers of a plugin mean: one function a rule, in the order of a report. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from keyctl.findings import Rule
from keyctl.findings import Status as Outcome
from keyctl.kms import rules
from keyctl.kms.examine import Old, Seen
from keyctl.kms.interface import Failed, Sealed, SocketFile, Timed
from keyctl.stored.display import display

# The limits of kube-apiserver 1.37: k8s.io/apiserver pkg/storage/value/encrypt/envelope/kmsv2/envelope.go.
MAX_KEY_ID_BYTES = 1024
MAX_CIPHERTEXT_BYTES = 1024
MAX_ANNOTATION_BYTES = 32 * 1024
_VERSIONS = ("v2", "v2beta1")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST_DOMAIN = 253


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one rule, and in one line what was seen. `label` is what was looked at, in two words."""

    rule: Rule
    label: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Subject:
    """All there is to judge. `socket` is None for an abstract one; `timeout` in seconds."""

    seen: Seen
    socket: SocketFile | None
    timeout: float


_Said = tuple[Outcome, str]
_NOT_ASKED = (Outcome.UNKNOWN, "not seen: the plugin did not get so far")


def judge(subject: Subject) -> tuple[Judged, ...]:
    """Every rule on `subject`."""
    return tuple(Judged(rule, label, *check(subject)) for rule, label, check in _CHECKS)


def _fail_or_pass(problem: str | None, passed: str) -> _Said:
    return (Outcome.FAIL, problem) if problem else (Outcome.PASS, passed)


def _version(subject: Subject) -> _Said:
    first = subject.seen.rounds[0].status
    if isinstance(first, Failed):
        return Outcome.FAIL, f"Status failed: {display(str(first))}"
    versions = [status.version for status in subject.seen.statuses]
    strange = next((version for version in versions if version not in _VERSIONS), None)
    problem = None if strange is None else f"its version is {strange[:40]!r}, not v2"
    if problem is None and len(set(versions)) > 1:
        problem = f"its version changed between {' and '.join(sorted(set(versions)))}"
    return _fail_or_pass(problem, f"version {versions[0]}")


def _health(subject: Subject) -> _Said:
    statuses = subject.seen.statuses
    if not statuses:
        return _NOT_ASKED
    ill = next((status for status in statuses if status.healthz != "ok"), None)
    return _fail_or_pass(None if ill is None else f"healthz is {ill.healthz[:200]!r}", f"ok, {len(statuses)} times")


def _key_id(subject: Subject) -> _Said:
    ids = [*(status.key_id for status in subject.seen.statuses), *(sealed.key_id for sealed in subject.seen.sealed)]
    if not ids:
        return _NOT_ASKED
    if "" in ids:
        return Outcome.FAIL, "the key id is empty"
    longest = max(len(key_id.encode()) for key_id in ids)
    problem = f"the key id has {longest} bytes" if longest > MAX_KEY_ID_BYTES else None
    return _fail_or_pass(problem, f"{display(ids[-1])}, {len(ids[-1].encode())} bytes")


def _same_key_id(subject: Subject) -> _Said:
    rounds, statuses = subject.seen.rounds, subject.seen.statuses
    compared = 0
    for number, one in enumerate(rounds):
        if not isinstance(one.sealed, Timed):
            continue
        # NOTE: the key may be rotated between the two calls: then the Status behind it names the same key.
        around = {status.key_id for status in statuses[number : number + 2]}
        if one.sealed.value.key_id not in around:
            said = " or ".join(display(key_id) for key_id in sorted(around))
            return Outcome.FAIL, f"Status names {said!r}, Encrypt {display(one.sealed.value.key_id)!r}"
        compared += 1
    return (Outcome.PASS, f"equal, {compared} times") if compared else _NOT_ASKED


def _steady_key_id(subject: Subject) -> _Said:
    ids = [status.key_id for status in subject.seen.statuses]
    if len(ids) < 2:
        return _NOT_ASKED
    turns = [key_id for key_id, _ in groupby(ids)]
    if len(turns) > len(set(turns)):
        return Outcome.FAIL, f"a key id came back after another one, within {len(ids)} calls"
    if len(turns) > 2:
        return Outcome.FAIL, f"it changed {len(turns) - 1} times within {len(ids)} calls"
    if len(turns) == 2:
        return Outcome.UNKNOWN, "it changed once: if the key was rotated just now that is right; look again"
    return Outcome.PASS, f"the same, {len(ids)} times"


def _size(subject: Subject) -> _Said:
    sizes = [len(sealed.ciphertext) for sealed in subject.seen.sealed]
    if not sizes:
        return _NOT_ASKED
    wrong = next((size for size in sizes if not 0 < size <= MAX_CIPHERTEXT_BYTES), None)
    return _fail_or_pass(None if wrong is None else f"it has {wrong} bytes", f"{max(sizes)} bytes")


def _annotations(subject: Subject) -> _Said:
    if not subject.seen.sealed:
        return _NOT_ASKED
    problem = next((found for found in map(_annotation_problem, subject.seen.sealed) if found), None)
    last = subject.seen.sealed[-1]
    return _fail_or_pass(problem, f"{_annotation_bytes(last)} bytes" if last.annotations else "none")


def _annotation_problem(sealed: Sealed) -> str | None:
    wrong = next((name for name in sealed.annotations if not is_domain_name(name)), None)
    if wrong is not None:
        return f"{display(wrong)!r} is no domain name"
    size = _annotation_bytes(sealed)
    return f"they have {size} bytes" if size > MAX_ANNOTATION_BYTES else None


def _annotation_bytes(sealed: Sealed) -> int:
    return sum(len(name.encode()) + len(value) for name, value in sealed.annotations.items())


def is_domain_name(name: str) -> bool:
    """Whether k8s.io/apimachinery takes `name` for a fully qualified domain name; a final dot is allowed."""
    whole = name.removesuffix(".")
    labels = whole.split(".")
    return len(labels) > 1 and len(whole) <= _LONGEST_DOMAIN and all(_LABEL.fullmatch(label) for label in labels)


def _round_trip(subject: Subject) -> _Said:
    tried = [one for one in subject.seen.rounds if isinstance(one.opened, Timed)]
    wrong = sum(isinstance(one.opened, Timed) and one.opened.value != one.seed for one in tried)
    if not tried:
        return _NOT_ASKED
    return _fail_or_pass(f"{wrong} of {len(tried)} came back as other bytes" if wrong else None, f"{len(tried)} times")


def _honest(subject: Subject) -> _Said:
    for one in subject.seen.rounds:
        for name, answer in (("Encrypt", one.sealed), ("Decrypt", one.opened)):
            if isinstance(answer, Failed):
                said_ok = isinstance(one.status, Timed) and one.status.value.healthz == "ok"
                how = f"{name} {'hung' if answer.timed_out else 'failed'}: {display(str(answer))}"
                return (Outcome.FAIL if said_ok else Outcome.PASS), how if said_ok else f"not healthy, and {how}"
    later = next((one.status for one in subject.seen.rounds[1:] if isinstance(one.status, Failed)), subject.seen.last)
    if isinstance(later, Failed):
        return Outcome.FAIL, f"Status answered at first, then not: {display(str(later))}"
    return _NOT_ASKED if later is None else (Outcome.PASS, "it says ok, and seals and opens")


def _secret(subject: Subject) -> _Said:
    tried = [(one.seed, one.sealed.value) for one in subject.seen.rounds if isinstance(one.sealed, Timed)]
    shown = any(seed in part for seed, sealed in tried for part in (sealed.ciphertext, *sealed.annotations.values()))
    if not tried:
        return _NOT_ASKED
    return _fail_or_pass("the plaintext stands in the answer" if shown else None, "the plaintext is not in the answer")


def _altered(subject: Subject) -> _Said:
    altered = subject.seen.altered
    if not altered:
        return _NOT_ASKED
    hung = [answer for answer in altered if isinstance(answer, Failed) and answer.timed_out]
    taken = sum(isinstance(answer, Timed) for answer in altered)
    if hung and not taken:
        return Outcome.UNKNOWN, f"{len(hung)} of {len(altered)} were not answered in time"
    return _fail_or_pass(f"{taken} of {len(altered)} were opened" if taken else None, f"{len(altered)} of them refused")


def _old(subject: Subject) -> _Said:
    olds = subject.seen.olds
    if not olds:
        return Outcome.NOT_APPLICABLE, "none given: keep one with --keep, and give it with --old"
    lost = [old for old in olds if not _opens(old)]
    return _fail_or_pass(_lost(lost[0], subject) if lost else None, f"{len(olds)} opened")


def _opens(old: Old) -> bool:
    return isinstance(old.opened, Timed) and old.kept.opens_to(old.opened.value)


def _lost(old: Old, subject: Subject) -> str:
    said = display(str(old.opened)) if isinstance(old.opened, Failed) else "other bytes came back"
    now = {status.key_id for status in subject.seen.statuses}
    again = "; its key id is that of today's key" if old.kept.sealed.key_id in now else ""
    return f"{old.kept.name}, sealed {display(old.kept.at)}: {said}{again}"


def _socket(subject: Subject) -> _Said:
    if subject.socket is None:
        return Outcome.FAIL, "an abstract socket: every process in the network namespace of its host can connect"
    found = subject.socket
    if found.replaceable is not None:
        return Outcome.FAIL, f"anybody can put another socket in its place: {display(found.replaceable)} is open to all"
    who = f"mode {found.mode:04o}, user {found.uid}, group {found.gid}"
    return _fail_or_pass(f"anybody can connect: {who}" if found.connectable else None, who)


def _slow(subject: Subject) -> _Said:
    times = [answer.seconds for _, answer in subject.seen.calls() if isinstance(answer, Timed)]
    if not times:
        return _NOT_ASKED
    worst = percentile(times, 99)
    said = f"99 of 100 calls within {worst * 1000:.0f} ms, of {subject.timeout:g} s"
    return (Outcome.FAIL if worst > subject.timeout / 2 else Outcome.PASS), said


def percentile(values: Sequence[float], rank: int) -> float:
    """The smallest of `values` that `rank` percent of them do not exceed. `ValueError` for none."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(math.ceil(len(values) * rank / 100), 1) - 1]


_CHECKS: tuple[tuple[Rule, str, Callable[[Subject], _Said]], ...] = (
    (rules.VERSION, "version", _version),
    (rules.HEALTH, "health", _health),
    (rules.KEY_ID, "key id", _key_id),
    (rules.SAME_KEY_ID, "equal key ids", _same_key_id),
    (rules.STEADY_KEY_ID, "steady key id", _steady_key_id),
    (rules.SIZE, "ciphertext", _size),
    (rules.ANNOTATIONS, "annotations", _annotations),
    (rules.ROUND_TRIP, "round trip", _round_trip),
    (rules.HONEST, "honest health", _honest),
    (rules.SECRET, "encryption", _secret),
    (rules.ALTERED, "altered bytes", _altered),
    (rules.OLD, "old values", _old),
    (rules.SOCKET, "socket", _socket),
    (rules.SLOW, "latency", _slow),
)
