"""What kube-apiserver refuses in an EncryptionConfiguration whose fields could be read: the conditions.

Their texts are in `refusals` and `unread`. Mirrors k8s.io/apiserver's validation and the masking check made while
its transformers are built; where keyctl refuses more, the rule says so. Repeats no text of the file but resources
without a REST API and wildcards. What the server accepts although it is wrong is told by `advice`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from keyctl.encryption_config import refusals
from keyctl.encryption_config.effective import ANYTHING, GroupResource
from keyctl.encryption_config.fields import RawConfig, RawEntry, RawKey, RawProvider
from keyctl.encryption_config.key_names import names_no_key
from keyctl.encryption_config.kms_rules import kms_names_unique, kms_violations
from keyctl.encryption_config.resource_names import problem_of
from keyctl.encryption_config.secret_text import cause_of, decode_secret
from keyctl.encryption_config.server import Server
from keyctl.encryption_config.violation import Violation, violation_at
from keyctl.keys.key import STATIC_PROVIDERS, Provider
from keyctl.keys.shown import shown_name


def violations(config: RawConfig, server: Server) -> tuple[Violation, ...]:
    """Why `server` refuses `config`, in the order of the file; empty when it does not."""
    return tuple(sorted(_violations(config, server), key=lambda one: (one.line or 0, one.column or 0)))


def _violations(config: RawConfig, server: Server) -> Iterator[Violation]:
    if not config.entries:
        yield violation_at(
            refusals.NO_ENTRY, config.span, "resources", "no entry", "add an entry with resources and providers"
        )
    for i, entry in enumerate(config.entries):
        for entry_rule in _ENTRY_RULES:
            yield from entry_rule(entry, f"resources[{i}]")
        for j, provider in enumerate(entry.providers):
            yield from _one_type(provider, f"resources[{i}].providers[{j}]")
            if len(provider.chosen) == 1:
                yield from _provider_violations(provider, f"resources[{i}].providers[{j}]", server)
    yield from kms_names_unique(config)
    yield from names_no_key(config)
    yield from _not_masked(config)


def _provider_violations(provider: RawProvider, path: str, server: Server) -> Iterator[Violation]:
    (chosen,) = provider.chosen
    if provider.kms is not None:
        yield from kms_violations(provider.kms, f"{path}.kms", server)
    elif chosen is not Provider.IDENTITY:
        yield from _has_keys(provider, f"{path}.{chosen}")
        for k, key in enumerate(provider.keys):
            yield from _key_valid(key, STATIC_PROVIDERS[chosen], f"{path}.{chosen}.keys[{k}]")


def _has_lists(entry: RawEntry, path: str) -> Iterator[Violation]:
    for label, items in (("resources", entry.resources), ("providers", entry.providers)):
        if not items:
            yield violation_at(
                refusals.EMPTY_LIST, entry.node.span, f"{path}.{label}", "an empty or missing list", f"add to {label}"
            )


def _names(entry: RawEntry, path: str) -> Iterator[Violation]:
    for i, item in enumerate(entry.resources):
        problem = problem_of(item.text)
        if problem is not None:
            yield violation_at(problem.rule, item.span, f"{path}.resources[{i}]", problem.message, problem.hint)


def _no_duplicates(entry: RawEntry, path: str) -> Iterator[Violation]:
    seen: set[GroupResource] = set()
    for i, item in enumerate(entry.resources):
        parsed = GroupResource.parse(item.text)
        if parsed in seen:
            yield violation_at(
                refusals.DUPLICATE,
                item.span,
                f"{path}.resources[{i}]",
                "the same resource twice in one list",
                "delete the line",
            )
        seen.add(parsed)


def _no_overlap(entry: RawEntry, path: str) -> Iterator[Violation]:
    parsed = [GroupResource.parse(item.text) for item in entry.resources]
    distinct = set(parsed)
    in_group = Counter(one.group for one in distinct)
    for i, one in enumerate(parsed):
        if (one == ANYTHING and len(distinct) > 1) or (one.resource == "*" and in_group[one.group] > 1):
            yield violation_at(
                refusals.OVERLAP,
                entry.resources[i].span,
                f"{path}.resources[{i}]",
                f"'{shown_name(str(one))}' covers other resources of the same list",
                "delete those, or put them into an entry of their own before this one",
            )


def _one_type(provider: RawProvider, path: str) -> Iterator[Violation]:
    if not provider.chosen:
        yield violation_at(
            refusals.NO_PROVIDER,
            provider.node.span,
            path,
            "no provider is set",
            'write one of aescbc, aesgcm, secretbox, kms, or "identity: {}" with the braces',
        )
    elif len(provider.chosen) > 1:
        yield violation_at(
            refusals.SEVERAL_PROVIDERS,
            provider.node.span,
            path,
            f"{len(provider.chosen)} providers in one element ({', '.join(provider.chosen)})",
            "start each provider with a dash of its own",
        )


def _has_keys(provider: RawProvider, path: str) -> Iterator[Violation]:
    if not provider.keys:
        yield violation_at(
            refusals.NO_KEY, provider.node.span, f"{path}.keys", "no key", "add a key with name and secret"
        )


def _key_valid(key: RawKey, lengths: tuple[int, ...], path: str) -> Iterator[Violation]:
    if not key.name.text:
        yield violation_at(
            refusals.NO_NAME, key.name.span, f"{path}.name", "a key without a name", "give the key a name"
        )
    if not key.secret.text:
        yield violation_at(
            refusals.NO_SECRET,
            key.secret.span,
            f"{path}.secret",
            "a key without a secret",
            "put its base64 there, or let keyctl config new write a whole file",
        )
        return
    material = decode_secret(key.secret.text)
    if material is not None and len(material) in lengths:
        return
    if material is None:
        found = violation_at(
            refusals.NOT_BASE64,
            key.secret.span,
            f"{path}.secret",
            "the secret is not standard base64",
            "write the key's bytes as padded base64 in one line; variables and templates are not filled in by anyone",
        )
    else:
        takes = " or ".join(str(length) for length in sorted(lengths))
        found = violation_at(
            refusals.KEY_LENGTH,
            key.secret.span,
            f"{path}.secret",
            f"the secret has {len(material)} bytes once decoded; this provider takes {takes}",
            "keyctl makes keys of the right length: keyctl rotate, or keyctl config new",
        )
    yield replace(found, cause=cause_of(key.secret.text, lengths))


def _not_masked(config: RawConfig) -> Iterator[Violation]:
    earlier: dict[GroupResource, int] = {}
    for i, entry in enumerate(config.entries):
        parsed_names = [GroupResource.parse(item.text) for item in entry.resources]
        for j, (parsed, item) in enumerate(zip(parsed_names, entry.resources, strict=True)):
            mask = next((one for one in (GroupResource("*", parsed.group), ANYTHING) if one in earlier), None)
            if mask is not None:
                yield violation_at(
                    refusals.MASKED,
                    item.span,
                    f"resources[{i}].resources[{j}]",
                    f"masked by '{shown_name(str(mask))}' in resources[{earlier[mask]}]",
                    f"move resources[{i}] before resources[{earlier[mask]}]",
                )
        # What one list names beside its own wildcard is told by `_no_overlap`.
        for parsed in parsed_names:
            earlier.setdefault(parsed, i)


_ENTRY_RULES: tuple[Callable[[RawEntry, str], Iterator[Violation]], ...] = (
    _has_lists,
    _names,
    _no_duplicates,
    _no_overlap,
)
