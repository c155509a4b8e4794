"""The next safe steps, in order: in words, and as a command where there is one. Pure.

Whatever the accident, nothing here takes a key away: first everything is readable everywhere, then it is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.keys.shown import shown_ref
from keyctl.rotation.diagnosis import marks, rules
from keyctl.rotation.diagnosis.diagnose import Diagnosis, short, under_way
from keyctl.rotation.diagnosis.facts import Facts
from keyctl.rotation.diagnosis.union import Union
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
    if found.hidden:
        yield from _about_hidden(facts, found)
        return
    if _is_unseen(facts, found):
        yield "mend what could not be looked at, then run this again: keyctl doctor"
    if under_way(facts) and not found.flagless:
        yield from _with_journal(facts, found)
        return
    if found.flagless and (under_way(facts) or not needs_union(found)):
        yield (
            f"{_flag_back(found.flagless)}; it has to become ready before anything else is changed; then look again: "
            "keyctl doctor"
        )
        return
    if needs_union(found) and found.union is not None and facts.servers:
        yield from _by_union(facts, found, found.union)
    elif found.not_loaded:
        yield from _to_load(facts)
    if marks.under_way(facts.stages):
        yield marks.next_of(facts.stages)
    elif _is_left(found):
        yield from _rewriting(found)


def _about_hidden(facts: Facts, found: Diagnosis) -> Iterator[str]:
    """What runs on a file that nobody has may be the only one that has its key: a restart would lose it."""
    names = _and(found.hidden)
    hashes = [short(server.loaded_hash) for server in facts.servers if server.name in found.hidden]
    known = tuple(dict.fromkeys(one for one in hashes if one != short(None)))
    which = f", whose SHA-256 begins with {_and(known)}" if known else ""
    yield (
        f"restart nothing, and put no other file on {names}: what runs there may be all that is left of its keys; find "
        f"the file that it has loaded{which}, and try it: keyctl doctor --encryption-config OLD.yaml"
    )
    if found.lost or facts.values is None:
        yield f"{names} may read what no key at hand opens: save that through its own address before the process ends"
    else:
        yield (
            f"where that file is gone for good: keep all requests away from {names}, look again (keyctl doctor), and "
            "stop it only while every value opens without it"
        )


def _is_unseen(facts: Facts, found: Diagnosis) -> bool:
    """Whether something is not known that the steps below do not mend: they mend what is down for want of a key."""
    down = {s.name for s in facts.servers if not s.answers and s.file is not None}
    mended = down & {one.server for one in found.unread if one.later}
    unknown = [s for s in facts.servers if s.name not in mended and (not s.answers or not s.loaded_by)]
    return found.has(rules.NOT_READ) or not facts.servers or bool(unknown and found.has(rules.LOADED_UNKNOWN))


def _flag_back(names: tuple[str, ...]) -> str:
    return f"put --encryption-provider-config and its mount back into the manifest of {_and(names)}"


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


def _by_union(facts: Facts, found: Diagnosis, union: Union) -> Iterator[str]:
    if union.lacking:
        yield (
            f"how the KMS plugin {_and(union.lacking)} is reached stands in no file at hand: give one that says it: "
            "keyctl doctor --encryption-config OLD.yaml"
        )
        return
    brought = ", ".join(f"{shown_ref(known.key.ref)} from {known.origin}" for known in union.brought)
    with_keys = f", with {brought}" if brought else ""
    tool = found.tool
    as_json = tool is not None and tool.wants_json
    yield (
        "restart nothing; make the one file that reads everything"
        f"{with_keys}: keyctl doctor --union-config union.{'json' if as_json else 'yaml'}"
    )
    if tool is not None:
        yield f"do not let {tool.name} change the key meanwhile (known by {tool.mark}): {tool.way}"
    yield from _placing(facts, found, union)
    if found.flagless:
        yield _flag_back(found.flagless)
    yield from _to_load(facts)
    if found.has(rules.TWO_KEYS):
        yield (
            "keyctl rotates no key whose name has two meanings: put a key with a new name first on every server, "
            f"rewrite ({_REWRITE_BY_HAND}), prove it (keyctl verify-secrets), then take both keys out"
        )
    else:
        yield from _rewriting(found)


def _placing(facts: Facts, found: Diagnosis, union: Union) -> Iterator[str]:
    """Where the union goes; what it takes the place of is kept, for it may have a key that nothing needs yet."""
    blind = dict.fromkeys((*(one.server for one in found.unread), *(n for one in found.unwritable for n in one.blind)))
    order = tuple(dict.fromkeys((*blind, *(server.name for server in facts.servers))))
    names = f"{_and(order)}, in that order" if len(order) > 1 else order[0]
    promise = (
        f"it writes {', '.join(union.divided)} with a key that not every server reads yet, so do it in one go"
        if union.divided
        else "what it writes every server reads already"
    )
    tool = found.tool
    if tool is not None and tool.owns:
        yield (
            f"leave the file of {tool.name} as it is ({tool.name} does not start with one that its datastore does "
            f"not have, and asks to remove it: remove nothing); put union.json beside it on {names}, at mode 0600, "
            "and name it in kube-apiserver-arg of each: encryption-provider-config=PATH"
            f"{', mounted by kube-apiserver-extra-mount' if tool.name == 'rke2' else ''}; {promise}"
        )
        return
    yield f"put it in the place of the file on {names}, at mode 0600, and keep each old one; {promise}"


def _to_load(facts: Facts) -> Iterator[str]:
    by_hand = tuple(s.name for s in facts.servers if not s.reloads)
    one_by_one = ", one at a time, each ready before the next" if len(by_hand) > 1 else ""
    which = f"restart {_and(by_hand)}{one_by_one}" if by_hand else "wait a minute"
    yield f"have every server load its file ({which}), then look again: keyctl doctor"


def _is_left(found: Diagnosis) -> bool:
    left = found.has(stored_rules.PLAINTEXT) or found.has(stored_rules.STALE)
    return left and not needs_union(found) and not found.lost and not found.flagless


def _rewriting(found: Diagnosis) -> Iterator[str]:
    tool = found.tool
    if tool is not None and tool.owns:
        yield (
            f"{tool.name} writes its file itself, from what it keeps for servers that join: see that "
            f"{tool.name} secrets-encrypt status agrees on every server, and that its file opens everything (keyctl "
            f"verify-secrets --encryption-config FILE), before anything else is made of it, and before "
            f"{tool.name} secrets-encrypt rotate-keys"
        )
    else:
        yield "then rewrite every value under a new key: keyctl rotate"


def _and(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
