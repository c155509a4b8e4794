"""How new parts of an EncryptionConfiguration are written: like their neighbours.

Turns plain values (mappings, lists, text) into lines of block or flow style. Places nothing in a file: that is
`layout`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping as MappingView
from collections.abc import Sequence as ListView
from dataclasses import dataclass

from keyctl.documents import Document, Kind, Mapping, Node, Sequence
from keyctl.encryption_config.editing.layout import dash_gap, indent_of_own_line
from keyctl.encryption_config.fields import RawConfig
from keyctl.encryption_config.plugin import Plugin, Writer
from keyctl.go_scalars import go_kind
from keyctl.keys.key import Key

Value = str | ListView["Value"] | MappingView[str, "Value"]

# An element of a `providers` list that stands for plaintext.
PLAINTEXT: Value = {"identity": {}}

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*|[A-Za-z0-9+/]{16,}={0,2}")
# json.dumps writes these as they are; YAML wants them escaped.
_ESCAPE_TOO = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class BlockStyle:
    """Columns of block style: how far fields, dashes and what follows a dash are indented."""

    step: int = 2
    dash: int = 2
    gap: int = 1


def key_value(key: Key) -> MappingView[str, Value]:
    """An element of a `keys` list."""
    return {"name": key.name, "secret": base64.b64encode(key.material).decode("ascii")}


def provider_value(key: Writer) -> MappingView[str, Value]:
    """An element of a `providers` list that holds only `key`."""
    if isinstance(key, Plugin):
        fields = {"apiVersion": "v2", "name": key.name, "endpoint": key.endpoint}
        return {key.provider.value: fields if key.timeout is None else {**fields, "timeout": key.timeout}}
    return {key.provider.value: {"keys": [key_value(key)]}}


def element(document: Document, raw: RawConfig, items: Sequence, index: int, value: Value) -> list[str]:
    """The lines of a new element of the list `items`, written like its element at `index`."""
    neighbour = items.items[index]
    if items.flow:
        return _flow_element(document, neighbour, value)
    style = style_of(document, raw)
    indent = " " * (items.span.column - 1)
    gap = dash_gap(document, items)
    if _is_flow(neighbour):
        return [f"{indent}-{' ' * gap}{_flow(value, quote_names=_quotes_names(neighbour))}"]
    lines = _block(value, style)
    return [f"{indent}-{' ' * gap}{lines[0]}", *(f"{indent} {' ' * gap}{line}" for line in lines[1:])]


def style_of(document: Document, raw: RawConfig) -> BlockStyle:
    """The block style of the first list of keys, else of the first list of providers, else the usual one."""
    for entry in raw.entries:
        for provider in entry.providers:
            if isinstance(provider.node, Mapping) and not provider.node.flow and provider.key_list is not None:
                name, value = provider.node.items[0]
                if isinstance(value, Mapping) and not value.flow and not provider.key_list.flow:
                    field = value.items[0][0]
                    return BlockStyle(
                        field.span.column - name.span.column,
                        provider.key_list.span.column - field.span.column,
                        dash_gap(document, provider.key_list),
                    )
    for entry in raw.entries:
        if isinstance(entry.node, Mapping) and entry.provider_list is not None and not entry.provider_list.flow:
            dash = entry.provider_list.span.column - entry.node.span.column
            return BlockStyle(dash=dash, gap=dash_gap(document, entry.provider_list))
    return BlockStyle()


def _flow_element(document: Document, neighbour: Node, value: Value) -> list[str]:
    quote = document.json or _quotes_names(neighbour)
    indent = indent_of_own_line(document, neighbour)
    first = neighbour.items[0][0] if isinstance(neighbour, Mapping) and neighbour.items else None
    inner = indent_of_own_line(document, first) if first else None
    if indent is None or inner is None or not quote or not inner.startswith(indent) or inner == indent:
        return [_flow(value, quote_names=quote)]
    return _escape(json.dumps(value, ensure_ascii=False, indent=inner.removeprefix(indent))).split("\n")


def _is_flow(node: Node) -> bool:
    return isinstance(node, Mapping) and node.flow


def _quotes_names(node: Node) -> bool:
    return isinstance(node, Mapping) and bool(node.items) and node.items[0][0].quoted


def _flow(value: Value, *, quote_names: bool) -> str:
    if isinstance(value, str):
        return _quoted(value) if quote_names else scalar(value)
    if isinstance(value, MappingView):
        parts = (
            f"{_quoted(name) if quote_names else name}: {_flow(inner, quote_names=quote_names)}"
            for name, inner in value.items()
        )
        return "{" + ", ".join(parts) + "}"
    return "[" + ", ".join(_flow(inner, quote_names=quote_names) for inner in value) + "]"


def _block(value: Value, style: BlockStyle) -> list[str]:
    if isinstance(value, str):
        return [scalar(value)]
    lines: list[str] = []
    if isinstance(value, MappingView):
        for name, inner in value.items():
            if isinstance(inner, str) or not inner:
                lines.append(f"{name}: {_flow(inner, quote_names=False)}")
            else:
                indent = " " * (style.step if isinstance(inner, MappingView) else style.dash)
                lines += [f"{name}:", *(indent + line for line in _block(inner, style))]
        return lines
    for inner in value:
        first, *rest = _block(inner, style)
        lines += [f"-{' ' * style.gap}{first}", *(" " * (1 + style.gap) + line for line in rest)]
    return lines


def scalar(text: str) -> str:
    """`text` as a YAML scalar that Go reads as this very text: plain where that is certain, else in double quotes."""
    return text if _PLAIN.fullmatch(text) and go_kind(text) is Kind.STRING else _quoted(text)


def _quoted(text: str) -> str:
    return _escape(json.dumps(text, ensure_ascii=False))


def _escape(text: str) -> str:
    return _ESCAPE_TOO.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def block_lines(value: Value, style: BlockStyle) -> list[str]:
    """`value` in block style, from column 0."""
    return _block(value, style)
