"""A rotation's steps in words, before it begins: the same for --dry-run and for the question to the user."""

from __future__ import annotations

from keyctl.keys.key import Provider
from keyctl.rotation.plan import Engine, Goal, History, Plan, Stage
from keyctl.rotation.plugin_moves import TRADE_OFF
from keyctl.rotation.preflight import Facts
from keyctl.rotation.reach import changes
from keyctl.rotation.world import World

_KEPT = "The old key stays in the key store: registered snapshots need it. Until the end: keyctl rotate --abort"
_LAST = {
    Goal.ENABLE: "Nothing is removed: identity stays as the last provider.",
    Goal.ROTATE: _KEPT,
    Goal.DISABLE: _KEPT,
    Goal.REMOVE_IDENTITY: "A plaintext value that is restored from a backup cannot be read then. "
    "Until the end: keyctl rotate --abort",
}


def lines(world: World, facts: Facts) -> tuple[str, ...]:
    """The plan for `facts`, a line a step."""
    steps = [*_beginning(world, facts), *(_ending(world, facts) if facts.wish.goal is not Goal.ENABLE else ())]
    return (
        f"Plan for {world.cluster}: {counted(len(world.servers), 'API server')}, "
        f"{counted(facts.scan.values, 'value')}, etcd revision {facts.scan.revision}",
        *_warnings(facts),
        *(f"  {number} {step}" for number, step in enumerate(steps, 1)),
        _last(facts),
    )


def _last(facts: Facts) -> str:
    if facts.plugin is not None and facts.provider is not Provider.KMS:
        what = f"the plugin {facts.plugin.name} and its key at the KMS"
        return f"Snapshots of before need {what}: keep both. Until the end: keyctl rotate --abort"
    return _LAST[facts.wish.goal]


def back(world: World, plan: Plan) -> tuple[str, ...]:
    """What `--abort` does, a line a step."""
    names = ", ".join(server.name for server in world.servers)
    what = str(plan.new)
    writer = "plaintext" if plan.goal is Goal.ENABLE else "the old key"
    settled = f"= after {world.settle:.0f} s of settling, scan every etcd"
    steps = [
        f"~ on {names}: files in which {writer} writes; {what} can still be read",
        f"~ rewrite the values of {', '.join(plan.resources)} that are under {what}",
        f"{settled}: nothing under {what}",
        _history(plan.history, "that show values under it"),
    ]
    if any(server.floor is Stage.BASE for server in plan.servers):
        steps += [*_taken_back(plan, what), f"{settled} again with {what} in hand"]
    return (
        f"The way back from {plan.rotation} on {world.cluster}:",
        *(f"  {number} {step}" for number, step in enumerate(steps, 1)),
        "What was never done is skipped. It can be stopped and resumed like a rotation.",
    )


def counted(count: int, noun: str) -> str:
    """`1 value`, `2 values`."""
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def _taken_back(plan: Plan, what: str) -> list[str]:
    """The steps after which the files are as they were: where there was none, there is none."""
    servers = [server for server in plan.servers if server.floor is Stage.BASE]
    flag = ", ".join(server.name for server in servers if server.flag_missing)
    absent = ", ".join(server.name for server in servers if server.hashes[Stage.BASE][0] is None)
    there = ", ".join(server.name for server in servers if server.hashes[Stage.BASE][0] is not None)
    steps = []
    if flag:
        steps.append(f"- the encryption flag and its mount on {flag}: the manifest as it was, one server at a time")
    if absent:
        steps.append(f"- the file, and {what} with it, on {absent}: there was none")
    if there:
        steps.append(f"- {what} on {there}: the files as they were")
    return steps


def _warnings(facts: Facts) -> list[str]:
    gaps = [f"  ! {gap}" for gap in facts.gaps]
    if facts.provider is Provider.KMS:
        return [*TRADE_OFF, *gaps]
    if facts.wish.goal is not Goal.DISABLE:
        return gaps
    resources = facts.change.resources
    what = "Secrets" if resources == ("secrets",) else f"The values of {', '.join(resources)}"
    return [f"  ! {what} will stand in plaintext in etcd, in its backups and in the second snapshot", *gaps]


def _beginning(world: World, facts: Facts) -> list[str]:
    if facts.wish.goal is Goal.REMOVE_IDENTITY:
        return _sealing(world, facts)
    names = ", ".join(server.name for server in world.servers)
    resources = ", ".join(facts.change.resources)
    values = _values_of(facts)
    how = _how(world)
    flag = [facts_of.server.name for facts_of in facts.servers if not facts_of.flags.encryption_provider_config]
    canary = "; prove it by a canary through each" if _changes(facts, "secrets") else ""
    keep = f"keep every key in the key store ({world.store.location})"
    if facts.wish.goal is Goal.DISABLE:
        new, made = "plaintext (identity)", keep
    elif facts.renamed is not None:
        new, made = str(facts.renamed.ref), f"{keep}; keep the bytes that write now as {facts.renamed.ref}, too"
    elif facts.plugin is not None and facts.provider is Provider.KMS:
        new, made = f"the plugin {facts.plugin.name}", f"{keep}; the plugin's own key stays in its KMS"
    else:
        new, made = "the new key", f"{keep}; make a new {facts.provider} key and read it back"
    steps = [
        f"save a snapshot of etcd in {world.snapshot_directory} and open every value in it",
        made,
        f"+ {new} as a read key on {names}: {how}",
        "= prove twice that every server has loaded it and lists every encrypted resource",
        f"~ {new} first on {names}: {how}{canary}",
        f"~ rewrite the values of {resources} {_engine(facts)} ({values} now){_second_pass(facts)}",
        f"= after {world.settle:.0f} s of settling, scan every etcd: nothing {_left_behind(facts)}, every value opens",
    ]
    if facts.wish.compromised is not None:
        what = f"what was stored under {facts.wish.compromised} until then"
        steps.insert(5, f"save a snapshot once more, before anything is rewritten: {what} is listed at the end")
    if flag:
        steps.insert(2, f"~ add the encryption flag and its mount to the manifest of {', '.join(flag)}")
    return steps


def _sealing(world: World, facts: Facts) -> list[str]:
    """Up to the proof that no plaintext is left where it will not be read."""
    what, values = ", ".join(facts.change.resources), _values_of(facts)
    canary = ", and that each writes with it, by a canary" if _changes(facts, "secrets") else ""
    return [
        f"save a snapshot of etcd in {world.snapshot_directory} and open every value in it",
        f"keep every key in the key store ({world.store.location})",
        f"= prove that every server lists every encrypted resource{canary}",
        f"~ rewrite what is in plaintext of {what} {_engine(facts)} ({values} values in all){_second_pass(facts)}",
        f"= after {world.settle:.0f} s of settling, scan every etcd: nothing {_left_behind(facts)}, every value opens",
    ]


def _engine(facts: Facts) -> str:
    return "by a StorageVersionMigration each" if facts.wish.engine is Engine.SVM else "through the API"


def _second_pass(facts: Facts) -> str:
    return "; send every object through every server once more: nothing may move" if facts.wish.second_pass else ""


def _values_of(facts: Facts) -> int:
    """How many values there are now of what changes."""
    return sum(g.values for g in facts.scan.groups if not g.infrastructure and _changes(facts, g.resource))


def _left_behind(facts: Facts) -> str:
    """What no value may stand in or under any more."""
    if facts.wish.goal is Goal.REMOVE_IDENTITY:
        return "in plaintext"
    if facts.wish.goal is not Goal.ENABLE:
        return "under an old key"
    return "in plaintext or under an old key" if facts.old else "in plaintext"


def _ending(world: World, facts: Facts) -> list[str]:
    names = ", ".join(server.name for server in world.servers)
    old = ", ".join(str(key.ref) for key in facts.old)
    kept = ", ".join(str(key.ref) for key in facts.old if key.ref.provider is not Provider.KMS)
    if facts.wish.goal is Goal.REMOVE_IDENTITY:
        shown, archive = "in plaintext", "save a second snapshot and open it without reading plaintext there"
    else:
        shown = "under an old key"
        opens = f"the key store's copy of {kept} opens what stood under it; " if kept else ""
        archive = f"{opens}save a second snapshot and open it without"
    return [
        _history(facts.wish.history, f"that show values {shown}"),
        f"= {archive}",
        f"- {old} on {names}: {_how(world)}",
        f"= after {world.settle:.0f} s of settling, scan every etcd again with {old} in hand; write the evidence",
    ]


def _history(mode: History, which: str) -> str:
    match mode:
        case History.COMPACT:
            return f"~ compact every etcd at the revision of that proof: revisions {which} cannot be listed any more"
        case History.WAIT:
            return f"= wait until the API server has compacted the revisions {which} (about 10 minutes)"
    return f"! leave the revisions {which}: a list with an old token answers 500 until they are compacted"


def _how(world: World) -> str:
    restarted = [server.name for server in world.servers if not server.reloads]
    return "restarting one at a time" if restarted else "each loads it by itself within about a minute"


def _changes(facts: Facts, resource: str) -> bool:
    return changes(facts.servers[0].config, facts.change, resource)
