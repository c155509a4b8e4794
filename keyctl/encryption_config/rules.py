"""What kube-apiserver refuses in an EncryptionConfiguration whose fields could be read.

Mirrors k8s.io/apiserver's validation and the masking check made while its transformers are built; where keyctl
refuses more, the rule says so. Repeats no text of the file but resources without a REST API and wildcards. What
the server accepts although it is wrong is told by `advice`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyctl.documents import Span
from keyctl.encryption_config.effective import ANYTHING, GroupResource
from keyctl.encryption_config.fields import RawConfig, RawEntry, RawKey, RawKms, RawProvider
from keyctl.errors import UnusableInputError
from keyctl.keys.key import STATIC_PROVIDERS, Provider

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
_DURATION = re.compile(r"\+?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_MAX_DURATION = 2**63 - 1
# A subset of what Go's url.Parse takes: a path without control characters or percent signs always parses.
_ENDPOINT = re.compile(r"unix:///[^\x00-\x20\x7f-\x9f%]+")
_NOT_REST = frozenset({"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason to refuse the file, at one place. `path` is the field as kube-apiserver writes it."""

    span: Span
    path: str
    message: str
    hint: str


def check(config: RawConfig, *, name: str, kms_v1: bool = False) -> None:
    """Refuse what kube-apiserver refuses.

    `kms_v1` is True for a server with the feature gate KMSv1, without which Kubernetes 1.29 and newer load no
    KMS v1 provider. Raises `UnusableInputError` for the first violation in the file, with the count of the others.
    """
    found = sorted(_violations(config, kms_v1=kms_v1), key=lambda violation: violation.span.start)
    if not found:
        return
    first = found[0]
    others = len(found) - 1
    raise UnusableInputError(
        f"{name}:{first.span.line}:{first.span.column}: {first.path}: {first.message}",
        cause=f"{others} more violation{'s' * (others > 1)} in this file" if others else None,
        hint=first.hint,
    )


def decode_secret(text: str) -> bytes | None:
    """The bytes of a key's base64 text as Go's StdEncoding reads it, CR and LF skipped; None when it does not."""
    packed = text.replace("\r", "").replace("\n", "")
    if not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", packed):
        return None
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error:
        return None


def _violations(config: RawConfig, *, kms_v1: bool) -> Iterator[Violation]:
    if not config.entries:
        yield Violation(config.span, "resources", "no entry", "add an entry with resources and providers")
    for i, entry in enumerate(config.entries):
        for entry_rule in _ENTRY_RULES:
            yield from entry_rule(entry, f"resources[{i}]")
        for j, provider in enumerate(entry.providers):
            yield from _one_type(provider, f"resources[{i}].providers[{j}]")
            if len(provider.chosen) == 1:
                yield from _provider_violations(provider, f"resources[{i}].providers[{j}]", kms_v1=kms_v1)
    yield from _kms_names_unique(config)
    yield from _not_masked(config)


def _provider_violations(provider: RawProvider, path: str, *, kms_v1: bool) -> Iterator[Violation]:
    (chosen,) = provider.chosen
    if provider.kms is not None:
        for kms_rule in _KMS_RULES:
            yield from kms_rule(provider.kms, f"{path}.kms")
        if not kms_v1 and _kms_version(provider.kms) == "v1":
            yield Violation(
                provider.kms.span,
                f"{path}.kms",
                "a KMS v1 provider; Kubernetes 1.29 and newer refuse it",
                'use a v2 plugin and write "apiVersion: v2", or set --feature-gates=KMSv1=true on every API server',
            )
    elif chosen is not Provider.IDENTITY:
        yield from _has_keys(provider, f"{path}.{chosen}")
        for k, key in enumerate(provider.keys):
            yield from _key_valid(key, STATIC_PROVIDERS[chosen], f"{path}.{chosen}.keys[{k}]")


def _has_lists(entry: RawEntry, path: str) -> Iterator[Violation]:
    for label, items in (("resources", entry.resources), ("providers", entry.providers)):
        if not items:
            yield Violation(entry.node.span, f"{path}.{label}", "an empty or missing list", f"add to {label}")


def _no_capitals(entry: RawEntry, path: str) -> Iterator[Violation]:
    for i, item in enumerate(entry.resources):
        # NOTE: the server lets lower-case letters beyond ASCII pass; no API has such a resource.
        if not item.text.isascii() or item.text != item.text.lower():
            yield Violation(
                item.span,
                f"{path}.resources[{i}]",
                "a resource name with other than lower-case ASCII letters",
                "write the plural in lower case, as kubectl api-resources prints it",
            )


def _no_bare_star(entry: RawEntry, path: str) -> Iterator[Violation]:
    for i, item in enumerate(entry.resources):
        if item.text == "*":
            yield Violation(
                item.span, f"{path}.resources[{i}]", "a bare *", "write '*.' for the core group, '*.*' for everything"
            )


def _rest_only(entry: RawEntry, path: str) -> Iterator[Violation]:
    for i, item in enumerate(entry.resources):
        if item.text in _NOT_REST:
            yield Violation(item.span, f"{path}.resources[{i}]", f'"{item.text}" has no REST API', "delete the line")


def _groups_exist(entry: RawEntry, path: str) -> Iterator[Violation]:
    hints = {
        "events.k8s.io": "write events: that is how both event groups are stored",
        "extensions": "write the group that has the resource today, such as ingresses.networking.k8s.io",
    }
    for i, item in enumerate(entry.resources):
        group = GroupResource.parse(item.text).group
        if group in hints:
            yield Violation(
                item.span, f"{path}.resources[{i}]", f"nothing is stored under the group {group}", hints[group]
            )


def _no_star_group(entry: RawEntry, path: str) -> Iterator[Violation]:
    for i, item in enumerate(entry.resources):
        parsed = GroupResource.parse(item.text)
        if parsed.group == "*" and parsed.resource != "*":
            yield Violation(
                item.span,
                f"{path}.resources[{i}]",
                "one resource across all groups cannot be named",
                "name each group, or write '*.*' for everything",
            )


def _no_duplicates(entry: RawEntry, path: str) -> Iterator[Violation]:
    seen: set[GroupResource] = set()
    for i, item in enumerate(entry.resources):
        parsed = GroupResource.parse(item.text)
        if parsed in seen:
            yield Violation(
                item.span, f"{path}.resources[{i}]", "the same resource twice in one list", "delete the line"
            )
        seen.add(parsed)


def _no_overlap(entry: RawEntry, path: str) -> Iterator[Violation]:
    parsed = [GroupResource.parse(item.text) for item in entry.resources]
    for i, one in enumerate(parsed):
        others = [other for other in parsed if other != one]
        if (one == ANYTHING and others) or (one.resource == "*" and any(other.group == one.group for other in others)):
            yield Violation(
                entry.resources[i].span,
                f"{path}.resources[{i}]",
                f"'{one}' covers other resources of the same list",
                "delete those, or put them into an entry of their own before this one",
            )


def _one_type(provider: RawProvider, path: str) -> Iterator[Violation]:
    if not provider.chosen:
        yield Violation(
            provider.node.span,
            path,
            "no provider is set",
            'write one of aescbc, aesgcm, secretbox, kms, or "identity: {}" with the braces',
        )
    elif len(provider.chosen) > 1:
        yield Violation(
            provider.node.span,
            path,
            f"{len(provider.chosen)} providers in one element ({', '.join(provider.chosen)})",
            "start each provider with a dash of its own",
        )


def _has_keys(provider: RawProvider, path: str) -> Iterator[Violation]:
    if not provider.keys:
        yield Violation(provider.node.span, f"{path}.keys", "no key", "add a key with name and secret")


def _key_valid(key: RawKey, lengths: tuple[int, ...], path: str) -> Iterator[Violation]:
    if not key.name.text:
        yield Violation(key.name.span, f"{path}.name", "a key without a name", "give the key a name")
    if not key.secret.text:
        yield Violation(
            key.secret.span,
            f"{path}.secret",
            "a key without a secret",
            "put its base64 there, or let keyctl config new write a whole file",
        )
        return
    material = decode_secret(key.secret.text)
    if material is None:
        yield Violation(
            key.secret.span,
            f"{path}.secret",
            "the secret is not standard base64",
            "write the key's bytes as padded base64 in one line; variables and templates are not filled in by anyone",
        )
    elif len(material) not in lengths:
        takes = " or ".join(str(length) for length in sorted(lengths))
        yield Violation(
            key.secret.span,
            f"{path}.secret",
            f"the secret has {len(material)} bytes once decoded; this provider takes {takes}",
            "keyctl makes keys of the right length: keyctl rotate, or keyctl config new",
        )


def _kms_version(kms: RawKms) -> str:
    return kms.api_version.text or "v1"


def _kms_name(kms: RawKms, path: str) -> Iterator[Violation]:
    if not kms.name.text:
        yield Violation(kms.name.span, f"{path}.name", "a KMS provider without a name", "give it a name")
    if ":" in kms.name.text and _kms_version(kms) != "v1":
        yield Violation(kms.name.span, f"{path}.name", "a colon in the name of a KMS v2 provider", "use another name")


def _kms_timeout(kms: RawKms, path: str) -> Iterator[Violation]:
    if kms.timeout is not None and not 0 < _nanoseconds(kms.timeout.text) <= _MAX_DURATION:
        yield Violation(
            kms.timeout.span, f"{path}.timeout", "not a positive duration", "write a duration such as 3s, or delete it"
        )


def _nanoseconds(text: str) -> int:
    """What Go's ParseDuration makes of `text`, rounded down; 0 when it is none. A value of 0 is refused either way."""
    if not _DURATION.fullmatch(text):
        return 0
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        scale = _DURATION_UNITS[unit]
        # Twenty digits are beyond the limit already, and beyond a nanosecond.
        total += int(whole[-20:] or 0) * scale if len(whole.lstrip("0")) <= 20 else _MAX_DURATION + 1
        total += int(fraction[:20] or 0) * scale // 10 ** len(fraction[:20])
    return total


def _kms_endpoint(kms: RawKms, path: str) -> Iterator[Violation]:
    if not _ENDPOINT.fullmatch(kms.endpoint.text):
        yield Violation(
            kms.endpoint.span,
            f"{path}.endpoint",
            "not the address of a Unix socket",
            "write unix:///path/of/the.sock, without spaces or percent signs",
        )


def _kms_cachesize(kms: RawKms, path: str) -> Iterator[Violation]:
    if kms.cachesize is None:
        return
    if _kms_version(kms) != "v1":
        yield Violation(kms.span, f"{path}.cachesize", "cachesize exists for KMS v1 only", "delete cachesize")
    elif kms.cachesize == 0:
        yield Violation(kms.span, f"{path}.cachesize", "a cachesize of 0", "delete cachesize, or -1 to switch it off")


def _kms_api_version(kms: RawKms, path: str) -> Iterator[Violation]:
    if _kms_version(kms) not in ("v1", "v2"):
        yield Violation(kms.api_version.span, f"{path}.apiVersion", "a KMS version other than v1 and v2", "write v2")


def _kms_names_unique(config: RawConfig) -> Iterator[Violation]:
    # NOTE: without automatic reload the server lets KMS v1 names repeat; keyctl does not know the flag here.
    seen: set[str] = set()
    for i, entry in enumerate(config.entries):
        for j, provider in enumerate(entry.providers):
            if provider.kms is None:
                continue
            name = provider.kms.name
            if name.text in seen:
                yield Violation(
                    name.span,
                    f"resources[{i}].providers[{j}].kms.name",
                    "a KMS provider name that stands twice",
                    "give each KMS provider its own name, or name all its resources in one entry",
                )
            seen.add(name.text)


def _not_masked(config: RawConfig) -> Iterator[Violation]:
    earlier: dict[GroupResource, int] = {}
    for i, entry in enumerate(config.entries):
        for j, item in enumerate(entry.resources):
            parsed = GroupResource.parse(item.text)
            mask = next((one for one in (GroupResource("*", parsed.group), ANYTHING) if one in earlier), None)
            if mask is not None:
                yield Violation(
                    item.span,
                    f"resources[{i}].resources[{j}]",
                    f"masked by '{mask}' in resources[{earlier[mask]}]",
                    f"move resources[{i}] before resources[{earlier[mask]}]",
                )
            earlier.setdefault(parsed, i)


_ENTRY_RULES: tuple[Callable[[RawEntry, str], Iterator[Violation]], ...] = (
    _has_lists,
    _no_capitals,
    _no_bare_star,
    _rest_only,
    _groups_exist,
    _no_star_group,
    _no_duplicates,
    _no_overlap,
)
_KMS_RULES: tuple[Callable[[RawKms, str], Iterator[Violation]], ...] = (
    _kms_name,
    _kms_timeout,
    _kms_endpoint,
    _kms_cachesize,
    _kms_api_version,
)
