"""Bytes of an EncryptionConfiguration → its values, as kube-apiserver would load them. Opens no file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from keyctl.document_text import Problem, UnreadableDocumentError
from keyctl.documents import Document, parse
from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.fields import RawConfig, RawProvider, read_fields
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.encryption_config.rules import violations
from keyctl.encryption_config.secret_text import decode_secret
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.encryption_config.violation import Violation
from keyctl.errors import UnusableInputError
from keyctl.findings import Rule
from keyctl.keys.key import Key, Provider

_RULES: dict[Problem, Rule] = {
    Problem.EMPTY: refusals.EMPTY,
    Problem.UTF16: unread.ENCODING,
    Problem.NOT_UTF8: refusals.NOT_UTF8,
    Problem.CONTROL_CHARACTER: refusals.CONTROL_CHARACTER,
    Problem.ORDER_MARK: unread.ORDER_MARK,
    Problem.BEHIND: unread.BEHIND,
    Problem.LINE_SEPARATOR: unread.LINE_SEPARATOR,
    Problem.NOT_YAML: refusals.NOT_YAML,
    Problem.NOT_JSON: refusals.NOT_JSON,
    Problem.FLOW_COLON: unread.FLOW_COLON,
    Problem.ESCAPED_QUOTE: unread.ESCAPED_QUOTE,
    Problem.DIRECTIVE: unread.DIRECTIVE,
    Problem.TAG: unread.TAG,
    Problem.MERGE_KEY: unread.MERGE_KEY,
    Problem.LOOSE_ALIAS: refusals.LOOSE_ALIAS,
    Problem.MANY_ALIASES: unread.MANY_ALIASES,
    Problem.DEPTH: unread.DEPTH,
    Problem.TEMPLATE: refusals.TEMPLATE,
    Problem.FIELD_NOT_TEXT: refusals.FIELD_NOT_TEXT,
    Problem.FIELD_TWICE: refusals.FIELD_TWICE,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A configuration, and where each part of it stands. Its repr shows neither the text nor a key.

    `raw` has the same shape as `config`, with the nodes of every entry, provider element and key. `ignored` are the
    unknown fields that servers before Kubernetes 1.31 pass over.
    """

    config: EncryptionConfig
    document: Document = field(repr=False)
    raw: RawConfig = field(repr=False)
    ignored: tuple[Violation, ...] = ()

    @property
    def text(self) -> str:
        """The whole file; holds key bytes."""
        return self.document.text


def decode(content: bytes, *, name: str, server: Server = NEWEST_SERVER) -> Decoded:
    """The configuration that `server` makes of `content`; `name` is the file as the reader knows it.

    Raises `UnusableInputError`, with the rule's id, for whatever the server refuses, and for the few forms keyctl
    does not read although the server might (`keyctl.encryption_config.unread`).
    """
    result = attempt(content, name=name, server=server)
    if isinstance(result, Decoded):
        return result
    first, others = result[0], len(result) - 1
    place = f"{name}:{first.line}:{first.column}" if first.column else f"{name}:{first.line}" if first.line else name
    more = f"{others} more violation{'s' * (others > 1)} in this file: keyctl config validate FILE" if others else ""
    cause = "; ".join(text for text in (first.cause, more) if text)
    raise UnusableInputError(f"{place}: {first.message}", cause=cause or None, hint=first.hint, rule=first.rule.id)


def attempt(content: bytes, *, name: str, server: Server) -> Decoded | tuple[Violation, ...]:
    """The configuration, or every reason why there is none, in the order of the file.

    As in kube-apiserver itself the steps follow each other: text, fields, rules. What fails in one step hides what
    the next would have said.
    """
    try:
        document = parse(content, name=name)
    except UnreadableDocumentError as error:
        rule = _rule_of(error.problem, server, json=content.lstrip()[:1] == b"{")
        return (Violation(rule, error.message, error.hints[0], error.line, error.column, error.cause),)
    fields = read_fields(document, server)
    found = fields.violations or violations(fields.config, server)
    if found:
        return found
    raw = fields.config
    entries = tuple(
        ResourceEntry(
            tuple(item.text for item in entry.resources), tuple(_element(provider) for provider in entry.providers)
        )
        for entry in raw.entries
    )
    return Decoded(EncryptionConfig(entries), document, raw, fields.ignored)


def hash_of(content: bytes) -> str:
    """The hash that kube-apiserver 1.34 and newer report for a file with exactly these bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _element(raw: RawProvider) -> ProviderElement:
    (provider,) = raw.chosen
    return ProviderElement(provider, _readers(raw, provider))


def _readers(raw: RawProvider, provider: Provider) -> tuple[Reader, ...]:
    if provider is Provider.IDENTITY:
        return (IdentityReader(),)
    if raw.kms is not None:
        return (KmsReader(raw.kms.name.text, raw.kms.api_version.text or "v1"),)
    return tuple(StaticReader(Key(provider, key.name.text, decode_secret(key.secret.text) or b"")) for key in raw.keys)


def _rule_of(problem: Problem, server: Server, *, json: bool) -> Rule:
    if problem is Problem.FIELD_TWICE and not server.strict:
        return unread.FIELD_TWICE
    if json and problem in (Problem.NOT_UTF8, Problem.CONTROL_CHARACTER, Problem.NOT_YAML):
        # Go's JSON parser minds neither; the YAML parser that gives the places does.
        return unread.JSON_CHARACTERS
    return _RULES[problem]
