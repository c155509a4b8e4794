"""Whether the KMS plugins answer: as the API servers themselves say of their readiness."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import Subjects, check_beside
from keyctl.audit.checks.mappings import KEY
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.kms_health import Readiness
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.findings import Rule, Severity

KMS_HEALTH = Rule(
    "KC-KEY-108",
    Severity.MEDIUM,
    "a KMS plugin is not healthy",
    "When the plugin does not answer, what it encrypts cannot be read.",
    "look at /readyz?verbose of each API server, and at the plugin: keyctl kms check ENDPOINT",
    "",
    KEY,
)
_SERVERS: Subjects[Readiness] = Subjects(About.RUNNING_SERVER, lambda facts: facts.of(Readiness))


@check_beside(KMS_HEALTH, _SERVERS)
def plugin_healthy(server: Readiness, facts: Facts) -> Iterator[Verdict]:
    """One server; the key in the KMS itself is for a person to look at: KC-KEY-109."""
    decoded = [one.judged.decoded for one in facts.configurations]
    if server.failing:
        yield failed(f"{server.name} is not ready: {server.problem}", server)
    elif not server.ready:
        yield unknown(f"{server.name} does not say: {server.problem}", server)
    elif server.plugins or any(one is not None and has_kms(one.config) for one in decoded):
        names = f": {', '.join(server.plugins)}" if server.plugins else ""
        yield passed(f"{server.name} is ready, with its KMS plugins{names}", server)
    elif decoded and None not in decoded:
        yield not_applicable("no-kms", "no KMS provider", server)
    else:
        yield unknown(f"{server.name} is ready; whether it has a KMS provider is not known", server)


def has_kms(config: EncryptionConfig) -> bool:
    """Whether a KMS plugin is among its providers."""
    elements = (element for entry in config.entries for element in entry.providers)
    return any(isinstance(reader, KmsReader) for element in elements for reader in element.readers)
