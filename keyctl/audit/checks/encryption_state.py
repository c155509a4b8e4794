"""Whether servers run, and etcd holds, what the configurations say: nothing of this is told by files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keyctl.audit.checks.check import Check, Subjects, check, check_once
from keyctl.audit.checks.declared import declared
from keyctl.audit.checks.mappings import REST
from keyctl.audit.claims import Claim, Settled, settle
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import IdentityReader
from keyctl.findings import Rule, Severity

RUNNING: Subjects[RunningServer] = Subjects(About.RUNNING_SERVER, lambda facts: facts.of(RunningServer))
_PLAIN = ""
_ENCRYPTED = "k8s:enc:"

DIFFERENT = Rule(
    "KC-ENC-012",
    Severity.HIGH,
    "the API servers have different encryption configurations",
    "A value that one server writes and another cannot read is lost to half of all requests.",
    "keyctl status shows what each has loaded",
    "",
    (*REST, "nist-800-53/CM-6"),
)
NOT_LOADED = Rule(
    "KC-ENC-013",
    Severity.HIGH,
    "a running API server has not loaded the file that is there",
    "A file is read when the server starts, or by the automatic reload; a reload that fails leaves the old keys in "
    "use.",
    "keyctl status shows what each has loaded",
    "",
    REST,
)
CONTRADICTION = Rule(
    "KC-ENC-014",
    Severity.CRITICAL,
    "what is declared and what is stored contradict each other",
    "A file that says aescbc proves nothing about values that were written before it, or by a server that never read "
    "it.",
    "keyctl verify-secrets reads every value",
    "",
    REST,
)
METRICS = Rule(
    "KC-DAT-107",
    Severity.MEDIUM,
    "the API server's own counters show writes without encryption",
    "apiserver_storage_transformation_operations_total counts by prefix and status: evidence without access to etcd.",
    "look at the file that the server has loaded: keyctl status",
    "",
    REST,
)


@check_once(DIFFERENT, About.RUNNING_SERVER)
def alike(facts: Facts) -> Iterator[Verdict]:
    """All servers beside each other: the files on their hosts, and what each has loaded."""
    servers = facts.of(RunningServer)
    if not servers:
        return
    doubtful = [one for one in servers if one.disk.doubt]
    for one in doubtful:
        yield unknown(f"the file of {one.name} was not read: {one.disk.doubt}", one)
    told = [one for one in servers if one not in doubtful]
    odd = _first_other(told, [one.disk.sha256 for one in told])
    if odd is None:
        saying = [one for one in servers if not one.silent]
        odd = _first_other(saying, [one.loaded for one in saying])
        if odd is not None:
            yield failed(f"{odd.name} has another configuration loaded than {saying[0].name}", odd)
            return
    if odd is not None and _same_meaning(told):
        yield passed("the files differ in layout only: each server reads and writes as any other", odd)
    elif odd is not None:
        yield failed(f"{odd.name} has another file than {told[0].name}: {odd.disk.path}", odd)
    elif len(servers) == 1:
        # Whether there are others that were not asked is told beside it.
        yield not_applicable("single-server", f"{servers[0].name} has no other API server beside it", servers[0])
    elif not doubtful:
        yield passed(f"{len(servers)} API servers have the same", servers[0])


def _first_other(servers: Sequence[RunningServer], what: Sequence[str | None]) -> RunningServer | None:
    """The first server of which this is another one than of the first."""
    return next((one for one, has in zip(servers, what, strict=True) if has != what[0]), None)


def _same_meaning(servers: Sequence[RunningServer]) -> bool:
    configs = [one.disk.config for one in servers]
    first = configs[0]
    return first is not None and all(one is not None and effective.same_view(first, one) for one in configs)


@check(NOT_LOADED, RUNNING)
def loaded_what_is_there(server: RunningServer) -> Iterator[Verdict]:
    """What it says that it has loaded, beside the file on its host."""
    disk, refused = server.disk, f", and it refused {server.failures} reloads" if server.failures else ""
    if disk.doubt:
        yield unknown(f"the file of {server.name} was not read: {disk.doubt}", server)
    elif server.silent:
        yield unknown(f"{server.name}: {server.silent}; keyctl status concludes it from times", server)
    elif server.has_no_configuration or disk.sha256 is None:
        yield _without_file(server)
    elif server.loaded is None:
        yield failed(f"{server.name} has loaded no configuration, and {disk.path} is there", server)
    elif server.loaded != disk.sha256:
        yield failed(f"{server.name} has loaded another configuration than {disk.path} is now{refused}", server)
    else:
        yield passed(f"{server.name} has loaded {disk.path} as it is", server)


def _without_file(server: RunningServer) -> Verdict:
    """A server with no file to load: none is named, or it is not there."""
    if server.loaded is not None:
        what = "its manifest names none" if server.has_no_configuration else f"{server.disk.path} is not there"
        return failed(f"{server.name} has a configuration loaded, and {what}", server)
    if server.has_no_configuration:
        return not_applicable("no-configuration", f"{server.name} has no encryption configuration: KC-ENC-001", server)
    return failed(f"the manifest of {server.name} names {server.disk.path}, which is not there", server)


@check_once(CONTRADICTION, About.STORED_VALUES)
def declared_and_stored(facts: Facts) -> Iterator[Verdict]:
    """Each resource that a file encrypts, or that is stored encrypted: the file beside the stored values."""
    stored = [one for one in facts.of(StoredValues) if one.live]
    if not stored:
        return
    for settled in settle([*_stored(stored), *_declared(facts, stored)]):
        verdict = _settled(settled)
        if verdict is not None:
            yield verdict


def _stored(stored: Sequence[StoredValues]) -> Iterator[Claim]:
    for values in stored:
        for one in values.resources:
            if one.plaintext + one.encrypted:
                said = f"{one.plaintext} of {one.values} values of {one.resource} are stored in plaintext"
                yield Claim(one.resource, not one.plaintext, said, values.location, values.evidence)


def _declared(facts: Facts, stored: Sequence[StoredValues]) -> Iterator[Claim]:
    seen = {one.resource for values in stored for one in values.resources}
    for told in declared(facts):
        for resource in sorted({*seen, *effective.required_resources(told.config)}):
            writer = effective.writer(told.config, resource)
            said = f"{told.name} writes {resource} with {writer.ref.provider}"
            yield Claim(resource, not isinstance(writer, IdentityReader), said, told.location, told.evidence)


def _settled(settled: Settled) -> Verdict | None:
    """None where there is nothing to compare, or by all evidence everything is plaintext: that is for other checks."""
    counts, against = settled.counts, settled.against
    if against:
        more = f" and {len(against) - 1} more say so" if len(against) > 1 else ""
        severity = Severity.HIGH if counts.yes else None
        return failed(f"{against[0].said}{more}, but {counts.said}", counts, severity=severity)
    if settled.agreeing:
        return passed(f"{counts.question} are declared and stored encrypted", counts) if counts.yes else None
    if counts.question == effective.SECRETS:
        return unknown(f"only one side is known: {counts.said}", counts)
    return None


@check(METRICS, RUNNING)
def writes_encrypted(server: RunningServer) -> Iterator[Verdict]:
    """What it has written of Secrets since its start, and of what its file requires to be encrypted."""
    if server.transformed is None:
        yield unknown(f"the counters of {server.name} were not read: {server.uncounted}", server)
        return
    required = {effective.SECRETS}
    if server.disk.config is not None:
        required |= set(effective.required_resources(server.disk.config))
    # NOTE: before Kubernetes 1.32 nothing says which resource was written.
    about = [one for one in server.transformed if one.written and one.succeeded and one.resource in {*required, ""}]
    plain = sum(one.count for one in about if one.prefix == _PLAIN)
    encrypted = sum(one.count for one in about if one.prefix.startswith(_ENCRYPTED))
    which = all(one.resource for one in about)
    if plain and which and not server.reloads:
        yield failed(f"{server.name} has written {plain} values without encryption since its start", server)
    elif plain:
        why = "and has reloaded since its start" if which else "and does not say of which resource"
        yield unknown(f"{server.name} has written {plain} values without encryption, {why}", server)
    elif not encrypted:
        yield unknown(f"{server.name} counts no encrypted write since its start", server)
    else:
        yield passed(f"{server.name} has encrypted each of {encrypted} writes since its start", server)


CHECKS: tuple[Check, ...] = (
    alike,
    loaded_what_is_there,
    declared_and_stored,
    writes_encrypted,
)
