"""API servers: can each be reached on its own address, may we do what a rotation does, does it say what it loaded."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.cli import wiring
from keyctl.cli.checkup import rules
from keyctl.cli.checkup.hosts import SKEW
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cli.checkup.subject import Subject
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import KeyctlError
from keyctl.rotation import membership, rights, server_facts
from keyctl.rotation.diagnosis.look import Look, sentence
from keyctl.rotation.loaded import LoadedBy
from keyctl.rotation.owner import check_owner
from keyctl.rotation.preflight import check_binding
from keyctl.rotation.world import World

_CHECKS = Checks(Area.SERVERS)


def look_at_servers(looks: tuple[Look, ...]) -> Iterator[Item]:
    """Each server by itself."""
    for look in looks:
        yield from _reach(look)
    if not looks:
        fix = "list every one by its own address under apiServers"
        yield _CHECKS.unknown(rules.SERVER_REACH, "API servers", "the cluster file lists none", fix=fix)


def _reach(look: Look) -> Iterator[Item]:
    name, probe = look.place.name, look.probe
    if look.place.api is None:
        fix = look.place.mend_api or None
        yield _CHECKS.unknown(rules.SERVER_REACH, name, f"not asked: {look.place.no_api}", fix=fix)
        return
    if probe.refuses_us:
        fix = "check the kubeconfig: kubectl auth whoami"
        yield _CHECKS.out_of_reach(rules.SERVER_REACH, name, f"refuses our credentials: {probe.problem}", fix=fix)
        return
    if not probe.ready:
        yield _CHECKS.out_of_reach(rules.SERVER_REACH, name, probe.problem or "not ready")
    else:
        yield _CHECKS.ok(rules.SERVER_REACH, name, f"ready, {probe.version or 'version not told'}")
    if not look.seen.answers:
        return
    shown = {
        LoadedBy.HASH: "its metrics tell",
        LoadedBy.RELOAD: "its last reload shows",
        LoadedBy.START: "its start shows",
    }
    if look.seen.loaded_by:
        yield _CHECKS.ok(rules.METRICS, name, f"{shown[LoadedBy(look.seen.loaded_by)]} what it has loaded")
    elif look.seen.flag is not False:
        yield _CHECKS.bad(rules.METRICS, name, f"what it has loaded is not shown: {look.seen.doubt}")
    if probe.reload_failures:
        told = f"it refused to reload its file {probe.reload_failures} times since its start"
        yield _CHECKS.bad(rules.METRICS, name, told, fix="look at its log; keyctl config validate judges the file")
    if probe.ahead is not None:
        apart = f"its clock is {abs(probe.ahead):.0f} s {'ahead of' if probe.ahead > 0 else 'behind'} ours"
        good = abs(probe.ahead) <= SKEW
        yield _CHECKS.ok(rules.CLOCK, name, "its clock is ours") if good else _CHECKS.bad(rules.CLOCK, name, apart)


def look_at_rotation(subject: Subject, looks: tuple[Look, ...], config: EncryptionConfig | None) -> Iterator[Item]:
    """What a rotation would ask of the servers together: the checks of its preflight, each on its own."""
    ready = tuple(look for look in looks if look.seen.ready)
    if not ready:
        message = "rights, census and binding were not checked: no API server is ready"
        yield _CHECKS.unknown(rules.RIGHTS, "rotation", message, fix=rules.SERVER_REACH.fix)
        return
    try:
        world = wiring.rotation_parts(subject.settings).world
    except KeyctlError as error:
        message = f"rights, census and binding were not checked: {sentence(error)}"
        yield _CHECKS.unknown(rules.RIGHTS, "rotation", message, fix="; ".join(error.hints) or None)
        return
    try:
        yield from _together(subject, world, looks, config)
    finally:
        for etcd in world.etcds:
            etcd.etcd.close()


def _together(
    subject: Subject, world: World, looks: tuple[Look, ...], config: EncryptionConfig | None
) -> Iterator[Item]:
    api = next(world.server(look.place.name).api for look in looks if look.seen.ready)
    version = next(look.probe.version for look in looks if look.seen.ready)
    yield _CHECKS.tried(
        rules.BINDING, "etcd and API", "the same cluster by its uid", lambda: check_binding(world, config, api)
    )
    yield _census(subject, world, looks)
    yield from _rights(world, looks, config)
    if subject.described:
        yield from _flags(world, looks)
    yield _CHECKS.tried(
        rules.OWNER,
        "configuration file",
        "no other tool is known to manage it",
        lambda: check_owner(world, version, enabling=False, template_updated=False),
    )


def _census(subject: Subject, world: World, looks: tuple[Look, ...]) -> Item:
    label = "API servers"
    if not all(look.seen.ready for look in looks):
        return _CHECKS.unknown(rules.CENSUS, label, "who there is was not compared: not every server is ready")
    try:
        census = world.servers[0].api.census()
    except KeyctlError as error:
        return _CHECKS.of_error(rules.CENSUS, label, error)
    if not subject.described:
        others = len(census.endpoints)
        if others > 1:
            told = f"{others - 1} more, which were not looked at: {', '.join(sorted(census.endpoints))}"
            return _CHECKS.unknown(rules.CENSUS, label, told, fix="list them all in keyctl.yaml: docs/cluster-file.md")
        return _CHECKS.ok(rules.CENSUS, label, "the cluster names no other")
    problem = membership.disagreement(census, world.servers, [look.probe for look in looks])
    if problem is not None:
        return _CHECKS.bad(rules.CENSUS, label, problem.message, fix="; ".join(problem.hints))
    return _CHECKS.ok(rules.CENSUS, label, f"the cluster names the same {len(looks)}")


def _rights(world: World, looks: tuple[Look, ...], config: EncryptionConfig | None) -> Iterator[Item]:
    name = next(look.place.name for look in looks if look.seen.ready)
    api = world.server(name).api
    try:
        needed = rights.needed(config, rights.written(config), api.discover())
        missing = [right for right in needed if not api.may(right.verb, right.resource, namespace=right.namespace)]
    except KeyctlError as error:
        yield _CHECKS.of_error(rules.RIGHTS, "rights", error)
        return
    for right in missing:
        yield _CHECKS.bad(rules.RIGHTS, "rights", f"you may not {right}", fix=f"check: {right.command}")
    if not missing:
        yield _CHECKS.ok(rules.RIGHTS, "rights", f"all {len(needed)} that keyctl rotate needs")


def _flags(world: World, looks: tuple[Look, ...]) -> Iterator[Item]:
    """What preflight asks of each server's flags; those that cannot be read are told with the files."""
    for look in looks:
        if look.flags is None:
            continue
        server = world.server(look.place.name)
        try:
            facts = server_facts.look(server)
            server_facts.check_flags(world, facts)
            server_facts.check_etcds(world, facts)
        except KeyctlError as error:
            yield _CHECKS.of_error(rules.FLAGS, look.place.name, error)
        else:
            yield _CHECKS.ok(rules.FLAGS, look.place.name, "its flags are what the cluster file says")
