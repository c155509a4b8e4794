"""What kube-apiserver refuses in the KMS providers of an EncryptionConfiguration: the conditions.

Mirrors k8s.io/apiserver's validation. Reaches no plugin; texts of the rules are in `refusals` and `unread`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.fields import RawConfig, RawKms
from keyctl.encryption_config.server import Server
from keyctl.encryption_config.violation import Violation, violation_at

# Go's time.ParseDuration, in nanoseconds a unit.
_DURATION_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"\+?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_MAX_DURATION = 2**63 - 1
# A subset of what Go's url.Parse takes: a path without control characters or percent signs always parses.
_ENDPOINT = re.compile(r"unix:///[^\x00-\x20\x7f-\x9f%]+")


def kms_violations(kms: RawKms, path: str, server: Server) -> Iterator[Violation]:
    """What is wrong with one KMS provider at the field `path`."""
    for rule in _KMS_RULES:
        yield from rule(kms, path)
    if not server.kms_v1 and _kms_version(kms) == "v1":
        yield violation_at(refusals.KMS_V1, kms.span, path, "a KMS v1 provider; Kubernetes 1.29 and newer refuse it")


def _kms_version(kms: RawKms) -> str:
    return kms.api_version.text or "v1"


def _kms_name(kms: RawKms, path: str) -> Iterator[Violation]:
    if not kms.name.text:
        yield violation_at(
            refusals.KMS_NAME, kms.name.span, f"{path}.name", "a KMS provider without a name", "give it a name"
        )
    if ":" in kms.name.text and _kms_version(kms) != "v1":
        yield violation_at(
            refusals.KMS_COLON,
            kms.name.span,
            f"{path}.name",
            "a colon in the name of a KMS v2 provider",
            "use another name",
        )


def _kms_timeout(kms: RawKms, path: str) -> Iterator[Violation]:
    if kms.timeout is not None and not is_positive_duration(kms.timeout.text):
        yield violation_at(
            refusals.KMS_TIMEOUT,
            kms.timeout.span,
            f"{path}.timeout",
            "not a positive duration",
            "write a duration such as 3s, or delete it",
        )


def is_positive_duration(text: str) -> bool:
    """Whether kube-apiserver takes `text` for the timeout of a provider."""
    return 0 < _nanoseconds(text) <= _MAX_DURATION


def _nanoseconds(text: str) -> int:
    """What Go's ParseDuration makes of `text`; 0 when it is none. A value of 0 is refused either way."""
    if not _DURATION.fullmatch(text):
        return 0
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        scale = _DURATION_UNITS[unit]
        # Twenty digits are beyond the limit already, and beyond a nanosecond.
        total += int(whole[-20:] or 0) * scale if len(whole.lstrip("0")) <= 20 else _MAX_DURATION + 1
        total += _fraction(fraction, scale)
    return total


def _fraction(digits: str, scale: int) -> int:
    """The digits behind a point as Go counts them: as many as fit into 63 bits, and in floating point."""
    value, power = 0, 1.0
    for digit in digits[:20]:
        if value > _MAX_DURATION // 10 or value * 10 + int(digit) > _MAX_DURATION + 1:
            break
        value, power = value * 10 + int(digit), power * 10
    return int(value * (scale / power))


def _kms_endpoint(kms: RawKms, path: str) -> Iterator[Violation]:
    if not _ENDPOINT.fullmatch(kms.endpoint.text):
        # What Go's url.Parse makes of other addresses with this scheme is not followed here.
        rule = unread.ENDPOINT if kms.endpoint.text.lower().startswith("unix:") else refusals.KMS_ENDPOINT
        yield violation_at(
            rule,
            kms.endpoint.span,
            f"{path}.endpoint",
            "not the address of a Unix socket",
            "write unix:///path/of/the.sock, without spaces or percent signs",
        )


def _kms_cachesize(kms: RawKms, path: str) -> Iterator[Violation]:
    if kms.cachesize is None:
        return
    if _kms_version(kms) != "v1":
        yield violation_at(
            refusals.KMS_CACHE, kms.span, f"{path}.cachesize", "cachesize exists for KMS v1 only", "delete cachesize"
        )
    elif kms.cachesize == 0:
        yield violation_at(
            refusals.KMS_CACHE,
            kms.span,
            f"{path}.cachesize",
            "a cachesize of 0",
            "delete cachesize, or -1 to switch it off",
        )


def _kms_api_version(kms: RawKms, path: str) -> Iterator[Violation]:
    if _kms_version(kms) not in ("v1", "v2"):
        yield violation_at(
            refusals.KMS_VERSION,
            kms.api_version.span,
            f"{path}.apiVersion",
            "a KMS version other than v1 and v2",
            "write v2",
        )


def kms_names_unique(config: RawConfig) -> Iterator[Violation]:
    """Each KMS provider whose name an earlier one has."""
    seen: set[str] = set()
    for i, entry in enumerate(config.entries):
        for j, provider in enumerate(entry.providers):
            if provider.kms is None:
                continue
            name = provider.kms.name
            if name.text in seen:
                # Without automatic reload the server lets a v1 name repeat; keyctl does not know the flag here.
                rule = unread.KMS_V1_NAME if _kms_version(provider.kms) == "v1" else refusals.KMS_NAME_TWICE
                where = f"resources[{i}].providers[{j}].kms.name"
                yield violation_at(rule, name.span, where, "a KMS provider name that stands twice")
            seen.add(name.text)


_KMS_RULES: tuple[Callable[[RawKms, str], Iterator[Violation]], ...] = (
    _kms_name,
    _kms_timeout,
    _kms_endpoint,
    _kms_cachesize,
    _kms_api_version,
)
