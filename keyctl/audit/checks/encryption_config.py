"""The EncryptionConfigurations themselves: what kube-apiserver makes of them, and what it would not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keyctl.audit.checks import write_budget
from keyctl.audit.checks.check import CONFIGURATIONS, Check, check, check_beside
from keyctl.audit.checks.mappings import KEY, REST
from keyctl.audit.facts import Configuration, Facts, Program, UndecidedError
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.sources.near import is_called_alike
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.documents import Span
from keyctl.encryption_config.decode import Decoded
from keyctl.encryption_config.effective import SECRETS, GroupResource, covering_entries, named_resources, writer
from keyctl.encryption_config.model import IdentityReader, KmsReader
from keyctl.findings import Evidence, Finding, Location, Rule, Severity, Status
from keyctl.keys.key import KeyRef, Provider

LEGACY_KIND = Rule(
    "KC-ENC-005",
    Severity.MEDIUM,
    "the document is not of today's kind",
    "v1, EncryptionConfig is an alias from before Kubernetes 1.13 that is still read; tools that look for "
    "EncryptionConfiguration do not see the file. Any other kind is refused.",
    "keyctl config migrate FILE --write",
    "k8s.io/apiserver v0.37 pkg/apis/apiserver/register.go",
    REST,
)
REFUSED = Rule(
    "KC-ENC-006",
    Severity.CRITICAL,
    "kube-apiserver does not take the file as it is meant",
    "With a file that it refuses kube-apiserver does not start, and a running one goes on with the old keys. What "
    "stands behind the first document, and in old versions unknown fields, is passed over without a word.",
    "each reason, and a repair: keyctl config validate FILE, keyctl config fix FILE",
    "the loader of k8s.io/apiserver, compared document by document",
    REST,
)
PLAINTEXT = Rule(
    "KC-ENC-007",
    Severity.CRITICAL,
    "Secrets are written in plaintext",
    "The first provider of the first entry that covers a resource writes. With identity there, or without an entry, "
    "new Secrets are plaintext, whatever stands below.",
    "put an encrypting provider first, on every API server and in a safe order: keyctl enable",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig",
    REST,
)
UNCOVERED = Rule(
    "KC-ENC-008",
    Severity.HIGH,
    "a resource that should be encrypted is not covered, or not as it reads",
    "What no entry names is plaintext. A name that no API has encrypts nothing, and an entry behind another one for "
    "the same resource never writes.",
    "name each resource once, as kubectl api-resources prints it: keyctl config explain RESOURCE",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig",
    REST,
)
WEAK_PROVIDER = Rule(
    "KC-ENC-009",
    Severity.MEDIUM,
    "the provider that writes is not one that frameworks accept without more evidence",
    "CIS and STIG accept aescbc, secretbox and kms. aesgcm draws its nonces at random: a key must be changed after "
    "200,000 writes, which needs evidence of rotation. secretbox is not approved by FIPS; the documentation of "
    "Kubernetes calls aescbc weak, for it does not authenticate.",
    "keyctl rotate --provider secretbox, or a KMS",
    "CIS Kubernetes Benchmark 1.12, 1.2.28; kubernetes.io, Encrypting Confidential Data at Rest",
    REST,
)
IDENTITY_LEFT = Rule(
    "KC-ENC-010",
    Severity.MEDIUM,
    "plaintext is still read although none is stored, or not read although some is",
    "identity among the readers is needed while plaintext is stored. After that it lets whoever writes to etcd put "
    "values in that were never encrypted.",
    "keyctl rotate --remove-identity proves that it can go",
    "k8s.io/apiserver v0.37 pkg/storage/value",
    REST,
)
KMS_V1 = Rule(
    "KC-ENC-011",
    Severity.HIGH,
    "a KMS v1 provider",
    "KMS v1 is deprecated since Kubernetes 1.28 and off since 1.29: without the feature gate KMSv1 the API server does "
    "not start with it.",
    "move to KMS v2, first as a reader on every server",
    "k8s.io/apiserver v0.37 pkg/apis/apiserver/validation",
    (*REST, *KEY),
)

_REFUSED_KIND = "KC-CFG-111"
_LEGACY = "KC-CFG-008"
_PASSED_OVER = frozenset({"KC-CFG-009", "KC-CFG-010"})
_NOT_AS_IT_READS = frozenset({"KC-CFG-003", "KC-CFG-007"})
_REFUSED_KMS = "KC-CFG-147"
_MINOR = re.compile(r"1\.([0-9]{1,3})\b")
# Before, a wildcard was the name of a resource that no API has.
_KNOWS_WILDCARDS = 27


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a configuration, where it stands."""

    location: Location
    evidence: Evidence


def loaded(configuration: Configuration) -> Decoded:
    """What kube-apiserver loads of it. Raises `UndecidedError` where it loads nothing."""
    if configuration.judged.decoded is None:
        raise UndecidedError("kube-apiserver does not take the file as it is: KC-ENC-006", configuration)
    return configuration.judged.decoded


def part(configuration: Configuration, span: Span) -> Part:
    """The place of a span of the configuration."""
    at = configuration.location
    if configuration.line is not None:
        return Part(at, configuration.evidence)
    column = None if configuration.holder else span.column
    return Part(Location(at.file, span.line + configuration.before, column), configuration.evidence)


def told(configuration: Configuration, ids: frozenset[str]) -> Iterator[Verdict]:
    """The findings of these rules as failures, each with its own severity and place."""
    for one in configuration.judged.findings:
        if one.id in ids:
            yield _failure(configuration, one)


def _failure(configuration: Configuration, finding: Finding) -> Verdict:
    at = Part(finding.location, configuration.evidence)
    return failed(f"{finding.message} ({finding.id})", at, severity=finding.severity, fix=finding.fix)


@check(LEGACY_KIND, CONFIGURATIONS)
def todays_kind(configuration: Configuration) -> Iterator[Verdict]:
    """Kind and version."""
    found = {one.id: one for one in configuration.judged.findings}
    if _REFUSED_KIND in found:
        yield failed(found[_REFUSED_KIND].message, Part(found[_REFUSED_KIND].location, configuration.evidence))
    elif _LEGACY in found:
        at = Part(found[_LEGACY].location, configuration.evidence)
        yield failed("the kind from before Kubernetes 1.13, still read as an alias", at)
    else:
        loaded(configuration)
        yield passed("apiserver.config.k8s.io/v1, EncryptionConfiguration", configuration)


@check(REFUSED, CONFIGURATIONS)
def taken(configuration: Configuration) -> Iterator[Verdict]:
    """As kube-apiserver judges it."""
    judged = configuration.judged
    if judged.accepted is not True and configuration.template:
        yield unknown("parts of it are put in later", configuration)
    elif judged.accepted is None:
        for one in judged.findings:
            yield unknown(f"{one.message} ({one.id})", Part(one.location, configuration.evidence))
    elif judged.accepted is False:
        for one in judged.findings:
            yield _failure(configuration, one)
    else:
        problems = tuple(told(configuration, _PASSED_OVER))
        yield from problems
        if not problems:
            yield passed("kube-apiserver takes the file", configuration)


@check_beside(PLAINTEXT, CONFIGURATIONS)
def secrets_encrypted(configuration: Configuration, facts: Facts) -> Iterator[Verdict]:
    """What writes Secrets."""
    decoded = loaded(configuration)
    old = _reader_without_wildcards(configuration, facts)
    if old is not None and GroupResource.parse(SECRETS) not in decoded.config.named:
        yield failed(f"kube-apiserver {old.version} knows no wildcards: Secrets are stored in plaintext", configuration)
        return
    entries = covering_entries(decoded.config, SECRETS)
    writes = writer(decoded.config, SECRETS)
    if not entries:
        yield failed("no entry covers secrets: they are stored in plaintext", configuration)
        return
    at = part(configuration, decoded.raw.entries[entries[0]].providers[0].node.span)
    if isinstance(writes, IdentityReader):
        yield failed(f"identity is the first provider of resources[{entries[0]}]: Secrets are stored in plaintext", at)
    else:
        yield passed(f"Secrets are written with {writes.ref.provider}", at)


@check_beside(UNCOVERED, CONFIGURATIONS)
def resources_covered(configuration: Configuration, facts: Facts) -> Iterator[Verdict]:
    """Which resources are encrypted, and names that do nothing."""
    decoded = loaded(configuration)
    problems = list(told(configuration, _NOT_AS_IT_READS))
    old = _reader_without_wildcards(configuration, facts)
    if old is not None:
        problems.append(failed(f"kube-apiserver {old.version} knows no wildcards, which came with 1.27", configuration))
    if not covering_entries(decoded.config, SECRETS):
        problems.append(failed("no entry covers secrets", configuration))
    yield from problems
    if not problems:
        yield passed(f"{len(named_resources(decoded.config))} named, secrets among what is covered", configuration)


def _reader_without_wildcards(configuration: Configuration, facts: Facts) -> Program | None:
    """An API server that reads this file, in which wildcards stand, and is too old for them."""
    if not any(GroupResource.parse(text).is_wildcard for text in named_resources(loaded(configuration).config)):
        return None
    name = configuration.inner or configuration.location.file or ""
    for server in facts.api_servers:
        minor = _MINOR.match(server.version)
        if minor and int(minor[1]) < _KNOWS_WILDCARDS and _names(server, name):
            return server
    return None


def _names(server: Program, file: str) -> bool:
    return any(is_called_alike(file, one.value) for one in server.settings if one.name == "encryption-provider-config")


@check_beside(WEAK_PROVIDER, CONFIGURATIONS)
def accepted_provider(configuration: Configuration, facts: Facts) -> Iterator[Verdict]:
    """The provider that writes Secrets; of aesgcm also how often its key has written."""
    decoded = loaded(configuration)
    ref = writer(decoded.config, SECRETS).ref
    provider = ref.provider
    if provider is Provider.IDENTITY:
        yield not_applicable("plaintext", "nothing encrypts Secrets: KC-ENC-007", configuration)
        return
    entry = covering_entries(decoded.config, SECRETS)[0]
    at = part(configuration, decoded.raw.entries[entry].providers[0].node.span)
    if provider is Provider.AESGCM:
        yield _rotated_in_time(ref, at, facts)
    else:
        yield passed(f"Secrets are written with {provider}", at)


def _rotated_in_time(ref: KeyRef, at: Part, facts: Facts) -> Verdict:
    """A key of aesgcm is accepted with evidence that it has not written too often; by the wording of CIS it is not."""
    live = [one for one in facts.of(StoredValues) if one.live]
    told = [found[ref] for found in (write_budget.of_aesgcm(one, facts) for one in live) if ref in found]
    # An etcd without a value of this key, or one of two clusters whose keys are called alike, proves nothing right.
    tied = write_budget.is_one_key(ref, facts) and all(write_budget.holds(one, ref) for one in live)
    told = [one for one in told if tied or one.status is not Status.PASS]
    message = "aesgcm is safe only with a new key every 200,000 writes"
    for status in (Status.FAIL, Status.UNKNOWN, Status.PASS):
        for one in told:
            if one.status is status:
                return Verdict(status, f"{message}: {one.message}", at.location, one.evidence, literal=Status.FAIL)
    message = f"{message}, of which there is no evidence here"
    return Verdict(Status.UNKNOWN, message, at.location, at.evidence, literal=Status.FAIL)


@check(KMS_V1, CONFIGURATIONS)
def kms_version(configuration: Configuration) -> Iterator[Verdict]:
    """Every KMS provider of the file."""
    refused = next((one for one in configuration.judged.findings if one.id == _REFUSED_KMS), None)
    if refused is not None:
        yield _failure(configuration, refused)
        return
    decoded = loaded(configuration)
    plugins = 0
    for i, entry in enumerate(decoded.config.entries):
        for j, element in enumerate(entry.providers):
            plugins += any(isinstance(reader, KmsReader) for reader in element.readers)
            if any(isinstance(reader, KmsReader) and reader.version == "v1" for reader in element.readers):
                at = part(configuration, decoded.raw.entries[i].providers[j].node.span)
                yield failed(f"resources[{i}].providers[{j}].kms is KMS v1", at)
    if not plugins:
        yield not_applicable("no-kms", "no KMS provider", configuration)
    else:
        yield passed("KMS v2", configuration)


CHECKS: tuple[Check, ...] = (
    todays_kind,
    taken,
    secrets_encrypted,
    resources_covered,
    accepted_provider,
    kms_version,
)
