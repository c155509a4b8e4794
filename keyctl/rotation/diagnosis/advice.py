"""The next safe steps, in order: in words, and as a command where there is one. Pure.

Whatever the accident, nothing here takes a key away: first everything is readable everywhere, then it is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.keys.shown import shown_ref
from keyctl.rotation.diagnosis import marks, rules
from keyctl.rotation.diagnosis.diagnose import Diagnosis, short, under_way
from keyctl.rotation.diagnosis.facts import Facts
from keyctl.rotation.outline import counted
from keyctl.rotation.plan import Stage
from keyctl.stored import rules as stored_rules

_REWRITE_BY_HAND = "kubectl get secrets -A -o json | kubectl replace -f -"


def steps(facts: Facts, found: Diagnosis) -> tuple[str, ...]:
    """What to do, one step a line; none where nothing is wrong."""
    return tuple(_steps(facts, found))


def needs_union(found: Diagnosis) -> bool:
    """Whether some server does not read what another writes or what is stored, or would not after its next start."""
    return bool(
        found.unread
        or found.unwritable
        or found.has(rules.TWO_KEYS)
        or found.has(rules.ENCODED)
        or found.has(stored_rules.SERVERS_DIFFER)
    )


def _steps(facts: Facts, found: Diagnosis) -> Iterator[str]:
    if found.lost:
        yield (
            f"look for the key of {counted(found.lost, 'value')} in old copies of the file, and try it: "
            "keyctl doctor --encryption-config OLD.yaml; delete no key and no value meanwhile"
        )
    if found.has(rules.LOADED_UNKNOWN) or found.has(rules.NOT_READ):
        yield "mend what could not be looked at, then run this again: keyctl doctor"
    if found.flagless:
        yield (
            f"put --encryption-provider-config and its mount back into the manifest of {_and(found.flagless)}; "
            "it has to become ready before anything else is changed"
        )
    if under_way(facts) and not found.flagless:
        yield from _with_journal(facts, found)
        return
    if needs_union(found) and found.union is not None:
        yield from _by_union(facts, found)
    elif found.not_loaded:
        yield from _to_load(facts)
    if marks.under_way(facts.stages):
        yield marks.next_of(facts.stages)
    elif _is_left(found):
        yield from _rewriting(found)


def _with_journal(facts: Facts, found: Diagnosis) -> Iterator[str]:
    journal = facts.journal
    if journal is None or journal.plan is None:
        raise RuntimeError("no rotation is under way")
    for name in found.strangers:
        hashes = journal.plan.server(name).hashes
        placed = [short(one) for stage in (Stage.PROMOTED, Stage.ADDED) for one in hashes[stage] if one]
        yield f"put back on {name} the file that the rotation placed: the one whose SHA-256 begins with {placed[0]}"
    if found.strangers:
        yield (
            "where that file is gone: keyctl doctor --union-config union.yaml, the same on every server, and then move "
            f"{journal.path} away; a new rotation rewrites everything"
        )
    on, other = ("--abort", "") if journal.back else ("--resume", "; or go back: keyctl rotate --abort")
    yield f"go on: keyctl rotate {on}{other}"


def _by_union(facts: Facts, found: Diagnosis) -> Iterator[str]:
    union = found.union
    if union is None:
        raise RuntimeError("there is no union")
    brought = ", ".join(f"{shown_ref(known.key.ref)} from {known.origin}" for known in union.brought)
    with_keys = f", with {brought}" if brought else ""
    as_json = found.tool is not None and found.tool.wants_json
    yield (
        "restart nothing; make the one file that reads everything"
        f"{with_keys}: keyctl doctor --union-config union.{'json' if as_json else 'yaml'}"
    )
    blind = dict.fromkeys((*(one.server for one in found.unread), *(n for one in found.unwritable for n in one.blind)))
    order = dict.fromkeys((*blind, *(server.name for server in facts.servers)))
    yield (
        f"put it in the place of the file on {_and(tuple(order))}, in that order, at mode 0600; "
        + (
            f"it writes {', '.join(union.divided)} with a key that not every server reads yet, so do it in one go"
            if union.divided
            else "what it writes every server reads already"
        )
    )
    yield from _to_load(facts)
    if found.has(rules.TWO_KEYS):
        yield (
            "keyctl rotates no key whose name has two meanings: put a key with a new name first on every server, "
            f"rewrite ({_REWRITE_BY_HAND}), prove it (keyctl verify-secrets), then take both keys out"
        )
    else:
        yield from _rewriting(found)


def _to_load(facts: Facts) -> Iterator[str]:
    by_hand = tuple(s.name for s in facts.servers if not s.reloads)
    which = f"restart {_and(by_hand)}, one at a time, each ready before the next" if by_hand else "wait a minute"
    yield f"have every server load its file ({which}), then look again: keyctl doctor"


def _is_left(found: Diagnosis) -> bool:
    left = found.has(stored_rules.PLAINTEXT) or found.has(stored_rules.STALE)
    return left and not needs_union(found) and not found.lost and not found.flagless


def _rewriting(found: Diagnosis) -> Iterator[str]:
    tool = found.tool
    if tool is not None and tool.owns:
        yield (
            f"{tool.name} writes this file itself, from what it keeps for servers that join: see that "
            f"{tool.name} secrets-encrypt status agrees on every server before "
            f"{tool.name} secrets-encrypt rotate-keys; prove the result: keyctl verify-secrets"
        )
    else:
        yield "then rewrite every value under a new key: keyctl rotate"


def _and(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
