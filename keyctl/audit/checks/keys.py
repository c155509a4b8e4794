"""The keys: how good their bytes are, where they are kept, how old they are."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import CONFIGURATIONS, Check, check, check_beside, manual
from keyctl.audit.checks.encryption_config import loaded, part, told
from keyctl.audit.checks.key_lives import destroyed_when_done, young_enough
from keyctl.audit.checks.kms_health import plugin_healthy
from keyctl.audit.checks.mappings import KEY
from keyctl.audit.facts import About, Configuration, Facts, Git
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config.effective import all_static_keys, refs
from keyctl.findings import Rule, Severity

TOO_MANY_WRITES = Rule(
    "KC-KEY-103",
    Severity.HIGH,
    "an aesgcm key has written more than 200,000 times",
    "Its nonces are random: with too many of them two are equal, and then the key is lost.",
    "keyctl rotate",
    "kubernetes.io, Encrypting Confidential Data at Rest",
    KEY,
)
PUBLIC = Rule(
    "KC-KEY-104",
    Severity.CRITICAL,
    "a key that is published, or a placeholder",
    "A key from documentation, a tutorial or a template is the first that anybody tries.",
    "bring in a new key and rewrite what is stored: keyctl rotate",
    "SHA-256 of the key compared with keys collected from public documentation and repositories",
    KEY,
)
WEAK = Rule(
    "KC-KEY-105",
    Severity.HIGH,
    "a key that is not 32 random bytes of its own",
    "Text, patterns, short keys, and bytes that are used twice hold less than they seem to.",
    "bring in a new key and rewrite what is stored: keyctl rotate",
    "",
    KEY,
)
EXPOSED = Rule(
    "KC-KEY-106",
    Severity.HIGH,
    "a raw key is kept where others read it",
    "A key in a Git repository is in every clone and stays in its history; one in a ConfigMap is in etcd itself, "
    "beside what it encrypts.",
    "take it out, bring in a new key: keyctl rotate; keep keys in Vault, or use a KMS",
    "PCI DSS 4.0.1, 3.6.1.2 to 3.6.1.4",
    KEY,
)
NAMES = Rule(
    "KC-KEY-107",
    Severity.MEDIUM,
    "key names that do not tell keys apart, or an order that not every server can read",
    "Values name their key. A new key may come first only after every server reads it.",
    "a name of letters, digits and hyphens, used once; change the order by keyctl rotate",
    "docs/rotation-rules.md, R2 and R5",
    KEY,
)
CUSTODIAN = Rule(
    "KC-KEY-109",
    Severity.LOW,
    "nobody is named as the keys' custodian, or no record of the last rotation is kept",
    "Auditors ask who may touch the keys and when they were last changed. A key of a KMS that is to be deleted takes "
    "the data with it.",
    "write it down; the evidence of a rotation is such a record: docs/evidence.md",
    "PCI DSS 4.0.1, 3.7.8",
    KEY,
)

_PUBLIC = frozenset({"KC-KEY-001", "KC-KEY-002"})
_WEAK = frozenset({"KC-KEY-003", "KC-KEY-004", "KC-KEY-005", "KC-KEY-006", "KC-KEY-007"})
_NAMES = frozenset({"KC-CFG-004", "KC-CFG-005", "KC-KEY-008", "KC-KEY-009", "KC-KEY-011"})


@check(PUBLIC, CONFIGURATIONS)
def not_published(configuration: Configuration) -> Iterator[Verdict]:
    """Each key against what is known to be public."""
    yield from _judged(configuration, _PUBLIC, "no key is known to be public")


@check(WEAK, CONFIGURATIONS)
def of_good_quality(configuration: Configuration) -> Iterator[Verdict]:
    """Each key's bytes, and bytes that stand twice."""
    yield from _judged(configuration, _WEAK, "every key looks like random bytes of its own")


@check(NAMES, CONFIGURATIONS)
def named_apart(configuration: Configuration) -> Iterator[Verdict]:
    """The names; the order only where there is nothing to be ordered."""
    decoded = loaded(configuration)
    problems = tuple(told(configuration, _NAMES))
    yield from problems
    if problems:
        return
    if len(refs(decoded.config)) > 1:
        yield unknown("whether every server reads the first key needs what each has loaded", configuration)
    else:
        yield passed("one key, with a name of its own", configuration)


@check_beside(EXPOSED, CONFIGURATIONS)
def kept_apart(configuration: Configuration, facts: Facts) -> Iterator[Verdict]:
    """Where the files with raw keys are."""
    decoded = loaded(configuration)
    keys = [key for entry in decoded.raw.entries for provider in entry.providers for key in provider.keys]
    if not keys:
        yield not_applicable("no-raw-key", "the file holds no raw key", configuration)
        return
    at = part(configuration, keys[0].node.span)
    if configuration.holder == "ConfigMap":
        yield failed("raw keys stand in a ConfigMap", at)
        return
    match next((one.git for one in facts.files if one.path == configuration.location.file), Git.OUTSIDE):
        case Git.TRACKED:
            yield failed("raw keys are committed to a Git repository", at)
        case Git.UNTOLD:
            yield unknown("whether the file is committed to its Git repository is not known", at)
        case Git.UNTRACKED | Git.OUTSIDE:
            yield passed("raw keys in a file that no Git repository has; who reads it: KC-FS-001", at)


def _judged(configuration: Configuration, ids: frozenset[str], right: str) -> Iterator[Verdict]:
    decoded = loaded(configuration)
    problems = tuple(told(configuration, ids))
    yield from problems
    if problems:
        return
    if all_static_keys(decoded.config):
        yield passed(right, configuration)
    else:
        yield not_applicable("no-raw-key", "the file holds no raw key", configuration)


CHECKS: tuple[Check, ...] = (
    young_enough,
    destroyed_when_done,
    not_published,
    of_good_quality,
    kept_apart,
    named_apart,
    plugin_healthy,
    manual(
        CUSTODIAN, About.CLUSTER, "who the custodian is, when the key was last changed, and in a KMS whether it stays"
    ),
)
