"""The fields of an EncryptionConfiguration as they stand in the file, with their places; not yet judged.

What the server's decoder refuses is collected here: unknown fields (ignored before Kubernetes 1.31) and wrong
types. What the fields say is judged in `rules`; values that kube-apiserver may refuse (a short key, no provider)
are still representable here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingView
from dataclasses import dataclass, field

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, Span
from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.server import Server
from keyctl.encryption_config.violation import Violation
from keyctl.findings import Rule
from keyctl.go_scalars import is_finite
from keyctl.keys.key import STATIC_PROVIDERS, Provider

# Pairs of apiVersion and kind that kube-apiserver registers for this file: today's, and that before Kubernetes 1.13.
CURRENT = ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
LEGACY = ("v1", "EncryptionConfig")
KINDS = {CURRENT, LEGACY}
# A group that is empty may be written out.
_ACCEPTED = {*KINDS, (f"/{LEGACY[0]}", LEGACY[1])}

_INT32 = "a whole number of 32 bits"
_DECIMAL = re.compile("-?(0|[1-9][0-9]*)", re.ASCII)

_TOP = ("apiVersion", "kind", "resources")
_ENTRY = ("resources", "providers")
_PROVIDERS = tuple(provider.value for provider in Provider)
_KEYS = ("keys",)
_KEY = ("name", "secret")
_KMS = ("apiVersion", "name", "cachesize", "endpoint", "timeout")

_HOME = {
    "apiVersion": "the top level",
    "kind": "the top level",
    "providers": "an element of the top list resources",
    **dict.fromkeys(_PROVIDERS, "an element of a providers list"),
    "keys": " or ".join(STATIC_PROVIDERS),
    "secret": "an element of a keys list",
    **dict.fromkeys(("name", "endpoint", "timeout", "cachesize"), "kms"),
    "resources": "the top level or an element of the top list resources",
}


@dataclass(frozen=True, slots=True)
class RawText:
    """A string field; "" when it is missing or null, `span` then being that of what should hold it."""

    text: str = field(repr=False)
    span: Span


@dataclass(frozen=True, slots=True)
class RawKey:
    """One element of a `keys` list. `secret` is the base64 text."""

    node: Node
    name: RawText
    secret: RawText


@dataclass(frozen=True, slots=True)
class RawKms:
    """A `kms` field. `cachesize` is None when it is missing."""

    span: Span
    api_version: RawText
    name: RawText
    endpoint: RawText
    timeout: RawText | None
    cachesize: int | None


@dataclass(frozen=True, slots=True)
class RawProvider:
    """One element of a `providers` list; `chosen` are the types that are set, of which there should be one."""

    node: Node
    chosen: tuple[Provider, ...]
    keys: tuple[RawKey, ...] = ()
    key_list: Sequence | None = None
    kms: RawKms | None = None


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One element of the top `resources` list."""

    node: Node
    resources: tuple[RawText, ...]
    providers: tuple[RawProvider, ...]
    provider_list: Sequence | None


@dataclass(frozen=True, slots=True)
class RawConfig:
    """The whole file. `entry_list` is the node of the top `resources` list."""

    span: Span
    entries: tuple[RawEntry, ...]
    entry_list: Sequence | None


@dataclass(frozen=True, slots=True)
class Fields:
    """What stands in the file, why its decoder would refuse it, and the unknown fields that it would ignore."""

    config: RawConfig
    violations: tuple[Violation, ...]
    ignored: tuple[Violation, ...]


def read_fields(document: Document, server: Server) -> Fields:
    """The fields of `document` as `server` decodes them. What is refused counts as missing in the fields."""
    reader = _FieldReader(server)
    config = reader.config(document.root)
    return Fields(config, tuple(reader.violations), tuple(reader.ignored))


class _FieldReader:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.violations: list[Violation] = []
        self.ignored: list[Violation] = []

    def config(self, root: Node) -> RawConfig:
        if _is_null(root):
            self._refuse(
                refusals.FIRST_DOCUMENT,
                root,
                "the first document is empty",
                "delete the first --- line",
                cause="kube-apiserver reads the first document only",
            )
        elif isinstance(root, Mapping) and not self._is_of_kind(root):
            # Another kind of document should not be answered with a list of its unknown fields.
            return RawConfig(root.span, (), None)
        fields = self._mapping(root, _TOP, "the top level")
        entry_list = self._list(fields.get("resources"), "resources")
        items = entry_list.items if entry_list else ()
        return RawConfig(
            root.span, tuple(self._entry(item, f"resources[{i}]") for i, item in enumerate(items)), entry_list
        )

    def _is_of_kind(self, root: Mapping) -> bool:
        said = {key.text: node for key, node in root.items if key.kind is Kind.STRING}
        texts = {
            name: node.text for name, node in said.items() if isinstance(node, Scalar) and node.kind is Kind.STRING
        }
        if not self._server.strict and (other := next((key for key, _ in root.items if _is_respelt(key)), None)):
            self._refuse(unread.IGNORED_FIELD, other, "apiVersion or kind in another spelling", "delete the field")
            return False
        if (texts.get("apiVersion"), texts.get("kind")) in _ACCEPTED:
            return True
        mixed = texts.get("apiVersion") in {version for version, _ in KINDS}
        order = ("apiVersion", "kind") if texts.get("kind") in {kind for _, kind in KINDS} else ("kind", "apiVersion")
        place = next((said[name] for name in order if name in said), root)
        self._refuse(
            refusals.KIND,
            place,
            "not an EncryptionConfiguration",
            'write "apiVersion: apiserver.config.k8s.io/v1" and "kind: EncryptionConfiguration"',
            cause="apiVersion and kind do not belong together"
            if mixed
            else "apiVersion or kind is another, or missing",
        )
        return False

    def _entry(self, node: Node, path: str) -> RawEntry:
        fields = self._mapping(node, _ENTRY, path)
        names = self._list(fields.get("resources"), f"{path}.resources")
        providers = self._list(fields.get("providers"), f"{path}.providers")
        return RawEntry(
            node,
            tuple(self._text(item, f"{path}.resources[{i}]") for i, item in enumerate(names.items if names else ())),
            tuple(
                self._provider(item, f"{path}.providers[{i}]")
                for i, item in enumerate(providers.items if providers else ())
            ),
            providers,
        )

    def _provider(self, node: Node, path: str) -> RawProvider:
        fields = self._mapping(node, _PROVIDERS, path)
        # A null value is "not set" to Go: "identity:" without braces names no provider.
        values = {Provider(name): value for name, value in fields.items() if not _is_null(value)}
        keys: tuple[RawKey, ...] = ()
        key_list = None
        kms = None
        for provider, value in values.items():
            where = f"{path}.{provider}"
            if provider is Provider.KMS:
                kms = self._kms(value, where)
            elif provider is Provider.IDENTITY:
                self._mapping(value, (), where)
            else:
                key_list = self._list(self._mapping(value, _KEYS, where).get("keys"), f"{where}.keys")
                items = key_list.items if key_list else ()
                keys = tuple(self._key(item, f"{where}.keys[{i}]") for i, item in enumerate(items))
        return RawProvider(node, tuple(values), keys, key_list, kms)

    def _key(self, node: Node, path: str) -> RawKey:
        fields = self._mapping(node, _KEY, path)
        return RawKey(node, self._field(fields, "name", node, path), self._field(fields, "secret", node, path))

    def _kms(self, node: Node, path: str) -> RawKms:
        fields = self._mapping(node, _KMS, path)
        timeout = fields.get("timeout")
        return RawKms(
            node.span,
            self._field(fields, "apiVersion", node, path),
            self._field(fields, "name", node, path),
            self._field(fields, "endpoint", node, path),
            None if timeout is None or _is_null(timeout) else self._text(timeout, f"{path}.timeout"),
            self._int32(fields.get("cachesize"), f"{path}.cachesize"),
        )

    def _mapping(self, node: Node, known: tuple[str, ...], path: str) -> MappingView[str, Node]:
        if _is_null(node):
            return {}
        if not isinstance(node, Mapping):
            self._wrong_type(node, path, "a mapping")
            return {}
        fields: dict[str, Node] = {}
        for key, value in node.items:
            if key.kind is Kind.STRING and key.text in known:
                fields[key.text] = value
            else:
                self._unknown_field(key, value, known, path)
        return fields

    def _list(self, node: Node | None, path: str) -> Sequence | None:
        if node is None or _is_null(node):
            return None
        if not isinstance(node, Sequence):
            self._wrong_type(node, path, "a list")
            return None
        return node

    def _field(self, fields: MappingView[str, Node], name: str, owner: Node, path: str) -> RawText:
        node = fields.get(name)
        return RawText("", owner.span) if node is None else self._text(node, f"{path}.{name}")

    def _text(self, node: Node, path: str) -> RawText:
        if not isinstance(node, Scalar) or node.kind in (Kind.NUMBER, Kind.BOOL):
            self._wrong_type(node, path, "text")
            return RawText("", node.span)
        return RawText(node.text, node.span)

    def _int32(self, node: Node | None, path: str) -> int | None:
        if node is None or _is_null(node):
            return None
        if not isinstance(node, Scalar) or node.kind is not Kind.NUMBER:
            self._wrong_type(node, path, _INT32)
            return None
        if not _DECIMAL.fullmatch(node.text):
            self._refuse(unread.NUMBER, node, f"{path} is not written in decimal digits", "write decimal digits only")
            return None
        if len(node.text) > 11 or not -(2**31) <= int(node.text) < 2**31:
            self._wrong_type(node, path, _INT32)
            return None
        return int(node.text)

    def _unknown_field(self, key: Scalar, value: Node, known: tuple[str, ...], path: str) -> None:
        spelling = {name.lower(): name for name in (*known, *_HOME)}.get(key.text.lower())
        # Only names of the schema are repeated: the text in the file may be a key in the wrong place.
        if spelling is None:
            hint = f"delete the field; known here: {', '.join(known) or 'none'}"
        elif spelling in known:
            hint = f"write it as {spelling}: case matters"
        else:
            hint = f"{spelling} belongs to {_HOME[spelling]}: check the indentation"
        named = f' "{spelling}"' if spelling == key.text else ""
        message = f"unknown field{named} at {path}"
        if self._server.strict:
            self._refuse(
                refusals.UNKNOWN_FIELD, key, message, hint, cause="kube-apiserver 1.31 and newer refuse the file for it"
            )
        elif key.kind is not Kind.STRING or not _is_json(value):
            self._refuse(unread.IGNORED_FIELD, key, message, "delete the field")
        else:
            self.ignored.append(
                Violation(refusals.UNKNOWN_FIELD, f"{message} is ignored", hint, key.span.line, key.span.column)
            )

    def _wrong_type(self, node: Node, path: str, wanted: str) -> None:
        if isinstance(node, Scalar):
            found = {Kind.STRING: "text"}.get(node.kind, f"a {node.kind.value}")
        else:
            found = "a list" if isinstance(node, Sequence) else "a mapping"
        quote = wanted == "text" and isinstance(node, Scalar)
        self._refuse(
            refusals.WRONG_TYPE,
            node,
            f"{path} should be {wanted}, and is {found}",
            "put the value in quotes" if quote else f"make it {wanted}",
            cause="to kube-apiserver an unquoted number, yes, no, on, off, y or n is no text" if quote else None,
        )

    def _refuse(self, rule: Rule, node: Node, message: str, hint: str, *, cause: str | None = None) -> None:
        self.violations.append(Violation(rule, message, hint, node.span.line, node.span.column, cause))


def _is_json(node: Node) -> bool:
    """Whether JSON can hold what an ignored field has: every field name text, every number finite."""
    if isinstance(node, Mapping):
        return all(key.kind is Kind.STRING and _is_json(value) for key, value in node.items)
    if isinstance(node, Sequence):
        return all(map(_is_json, node.items))
    return node.kind is not Kind.NUMBER or is_finite(node.text)


def _is_respelt(key: Scalar) -> bool:
    """Whether Go's own JSON decoder, which finds the kind, takes `key` for apiVersion or kind, though it is not."""
    folded = key.text.replace("\u212a", "k").replace("\u017f", "s").lower()
    return folded in ("apiversion", "kind") and key.text not in ("apiVersion", "kind")


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind is Kind.NULL
