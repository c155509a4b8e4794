"""A rotation's steps in words, before it begins: the same for --dry-run and for the question to the user."""

from __future__ import annotations

from keyctl.encryption_config import effective
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Facts
from keyctl.rotation.world import World


def lines(world: World, facts: Facts) -> tuple[str, ...]:
    """The plan for `facts`, a line a step."""
    names = ", ".join(server.name for server in world.servers)
    resources = ", ".join(facts.resources)
    values = sum(g.values for g in facts.scan.groups if not g.infrastructure and _changes(facts, g.resource))
    old = ", ".join(map(str, facts.old)) or "plaintext"
    restarted = [server.name for server in world.servers if not server.reloads]
    how = "restarting one at a time" if restarted else "each loads it by itself within about a minute"
    flag = [facts_of.server.name for facts_of in facts.servers if not facts_of.flags.encryption_provider_config]
    last = "identity stays as the last provider" if facts.wish.goal is Goal.ENABLE else f"{old} stays as a read key"
    canary = "; prove it by a canary through each" if _changes(facts, "secrets") else ""
    steps = [
        f"save a snapshot of etcd in {world.snapshot_directory} and open every value in it",
        f"keep every key in the key store ({world.store.location}); make a new {facts.provider} key and read it back",
        f"+ the new key as a read key on {names}: {how}",
        "= prove twice that every server has loaded it and lists every encrypted resource",
        f"~ the new key first on {names}: {how}{canary}",
        f"~ rewrite the values of {resources} through the API ({values} now)",
        f"= after {world.settle:.0f} s of settling, scan every etcd: nothing under an old key, every value opens",
    ]
    if flag:
        steps.insert(2, f"~ add the encryption flag and its mount to the manifest of {', '.join(flag)}")
    return (
        f"Plan for {world.cluster}: {len(world.servers)} API servers, {facts.scan.values} values, "
        f"etcd revision {facts.scan.revision}",
        *(f"  {number} {step}" for number, step in enumerate(steps, 1)),
        f"Nothing is removed: {last}. Both keys stay in every file.",
    )


def _changes(facts: Facts, resource: str) -> bool:
    """Whether the new key will write `resource`: it is to be covered, or its writer stands in an entry that changes."""
    config = facts.servers[0].config
    covering = effective.covering_entries(config, resource) if config is not None else ()
    return covering[0] in facts.entries if covering else resource in facts.resources
