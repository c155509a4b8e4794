"""EncryptionConfigurations as people write them, line by line, and how their indentation goes wrong."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True)
class Written:
    """A line: its indentation, its dash with the spaces after it, and the rest. Comments have `comment` set."""

    indent: str
    dash: str
    text: str
    comment: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """How far lists and mappings stand in from the field above them, the gap after a dash, and the line end."""

    lists: int
    mappings: int
    gap: int
    end: str


STYLES = st.builds(
    Style,
    lists=st.sampled_from([0, 2, 2, 4]),
    mappings=st.sampled_from([1, 2, 2, 4]),
    gap=st.sampled_from([1, 1, 3]),
    end=st.sampled_from(["\n", "\r\n"]),
)
# Key names that need quotes are drawn too.
KEY_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True).map(lambda name: f"k{name}") | st.sampled_from(
    ['"key: 1"', "'it''s'", '"2026"', "key#1", '"a # b"']
)
# Bytes without a pattern: no two windows of their base64 agree by design.
SECRETS = st.binary(min_size=32, max_size=32).map(lambda material: base64.b64encode(material).decode())
COMMENTS = st.sampled_from(["# why", "#", "# secret: old", "# - identity: {}"])


def join(lines: list[Written], end: str) -> str:
    """The text of `lines`."""
    return "".join(f"{line.indent}{line.dash}{line.text}{end}" for line in lines)


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[Written], Style]:
    """The lines of a configuration that kube-apiserver accepts, and the style that they are written in."""
    style = draw(STYLES)
    top = {
        "apiVersion": [Written("", "", "apiVersion: apiserver.config.k8s.io/v1")],
        "kind": [Written("", "", "kind: EncryptionConfiguration  # what it is")],
        "resources": [
            Written("", "", "resources:"),
            *(
                line
                for number in range(draw(st.integers(1, 2)))
                for line in _element(_entry(draw, style, number), style)
            ),
        ],
    }
    lines = [line for name in draw(st.permutations(sorted(top))) for line in top[name]]
    if draw(st.booleans()):
        lines.insert(0, Written("", "", "---", comment=True))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines)))
        blank = draw(st.booleans())
        indent = "" if blank else " " * draw(st.integers(0, 9))
        lines.insert(place, Written(indent, "", "" if blank else draw(COMMENTS), comment=True))
    return lines, style


def _entry(draw: st.DrawFn, style: Style, number: int) -> list[Written]:
    names = draw(st.sampled_from([["secrets"], ["configmaps", "'events'"], ["leases.coordination.k8s.io"]]))
    if draw(st.booleans()):
        resources = [Written("", "", f"resources: [{', '.join(names)}]  # flow")]
    else:
        items = [_dashed(Written("", "", name), style) for name in names]
        resources = [Written("", "", "resources:"), *(_in(item, style.lists) for item in items)]
    providers = [Written("", "", "providers:")]
    for place in range(draw(st.integers(1, 3))):
        provider = draw(st.sampled_from([_static, _static, _kms, _identity]))(draw, style, 10 * number + place)
        providers += _element(provider, style)
    parts = draw(st.permutations([resources, providers]))
    return [line for part in parts for line in part]


def _static(draw: st.DrawFn, style: Style, _: int) -> list[Written]:
    provider = draw(st.sampled_from(["aescbc", "aesgcm", "secretbox"]))
    lines = [Written("", "", f"{provider}:"), Written(" " * style.mappings, "", "keys:")]
    for _count in range(draw(st.integers(1, 3))):
        fields = [Written("", "", f"name: {draw(KEY_NAMES)}"), Written("", "", f"secret: {draw(SECRETS)}")]
        lines += [_in(line, style.mappings) for line in _element(draw(st.permutations(fields)), style)]
    return lines


def _kms(draw: st.DrawFn, style: Style, number: int) -> list[Written]:
    fields = ["apiVersion: v2", f"name: plugin-{number}", "endpoint: unix:///run/kms.sock", "timeout: 3s"]
    return [
        Written("", "", "kms:"),
        *(Written(" " * style.mappings, "", text) for text in draw(st.permutations(fields))),
    ]


def _identity(_draw: st.DrawFn, _style: Style, _number: int) -> list[Written]:
    return [Written("", "", "identity: {}")]


def _element(lines: list[Written], style: Style) -> list[Written]:
    """`lines`, which start at column 0, as an element of a list under a field at column 0."""
    first, *others = lines
    return [_in(_dashed(first, style), style.lists), *(_in(line, style.lists + 1 + style.gap) for line in others)]


def _dashed(line: Written, style: Style) -> Written:
    return replace(line, dash=f"-{' ' * style.gap}")


def _in(line: Written, columns: int) -> Written:
    return replace(line, indent=" " * columns + line.indent)
