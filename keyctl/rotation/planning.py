"""From what preflight found to the plan of a rotation, and whether that is still so."""

from __future__ import annotations

from datetime import datetime

from keyctl.encryption_config import effective
from keyctl.encryption_config.plugin import Writer
from keyctl.errors import RefusedError
from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider
from keyctl.rotation.known_keys import old_keys_of
from keyctl.rotation.plan import Goal, Plan, ServerPlan
from keyctl.rotation.preflight import Facts
from keyctl.rotation.stages import IDENTITY, Files
from keyctl.rotation.world import World


def make_plan(world: World, facts: Facts, rotation: str, new: Writer | None) -> Plan:
    """The plan of `rotation` that brings `new`, None for plaintext; every file's text at every stage is made for it."""
    old = old_keys_of(world, facts.old, facts.plugin)
    return Plan(
        rotation=rotation,
        goal=facts.wish.goal,
        cluster=world.cluster,
        cluster_uid=facts.uid,
        new=IDENTITY if new is None else new.ref,
        fingerprint=new.fingerprint if isinstance(new, Key) else "",
        old=facts.old,
        change=facts.change,
        history=facts.wish.history,
        engine=facts.wish.engine,
        second_pass=facts.wish.second_pass,
        settle=world.settle,
        servers=_server_plans(facts, Files(facts.change, facts.old, new, old)),
        compromised=facts.wish.compromised,
        plugin=facts.plugin,
    )


def check_files(facts: Facts, *, now: datetime) -> None:
    """Every file lets itself be changed as is wished, there and back: tried with a key that nobody will see again.

    Raises `RefusedError` or `UnusableInputError` where one does not, before anything is touched.
    """
    config = facts.servers[0].config
    new: Writer | None = facts.plugin if facts.provider is Provider.KMS else facts.writer or facts.renamed
    if new is None and facts.provider in STATIC_PROVIDERS:
        new = generate(facts.provider, now=now)
    refs = {old.ref for old in facts.old}
    known: tuple[Writer, ...] = () if config is None else effective.static_keys(config)
    old = tuple(key for key in (*known, *(() if facts.plugin is None else (facts.plugin,))) if key.ref in refs)
    try:
        _server_plans(facts, Files(facts.change, facts.old, new, old))
    except RefusedError as error:
        # NOTE: what edits a text knows of no rules but those of the text.
        error.rule = error.rule or "preflight"
        raise


def _server_plans(facts: Facts, files: Files) -> tuple[ServerPlan, ...]:
    retires = facts.wish.goal is not Goal.ENABLE
    found = []
    for server in facts.servers:
        base = None if server.file is None else server.file.content
        name = f"{server.server.name}:{server.server.config_path}"
        flag_missing = not server.flags.encryption_provider_config
        found.append(ServerPlan(server.server.name, files.hashes(base, retires=retires, name=name), flag_missing))
    return tuple(found)


def check_still_so(facts: Facts) -> None:
    """The files are those that the plan was made from: asking the user may have taken a while (R8)."""
    for seen in facts.servers:
        path = seen.server.config_path
        file = seen.server.host.read(path)
        if (None if file is None else file.sha256) != (None if seen.file is None else seen.file.sha256):
            raise RefusedError(
                f"{path} on {seen.server.name} was changed after the plan was made",
                hint="run the same command again and look at its plan",
                rule="R8",
            )
