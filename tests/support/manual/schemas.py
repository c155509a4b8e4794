"""JSON Schema of every kind of document that keyctl prints: docs/reference/schemas/, and the page that lists them.

Published schemas are open: fields are added within `keyctl/v1`, so a program that reads them must not refuse what it
does not know. A test closes them, so that no field is printed that is not in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Severity, Status
from keyctl.reports.json import API_VERSION
from tests.support.manual import kinds_of_clusters, kinds_of_files, kinds_of_values
from tests.support.manual.shapes import Kind, Leaf, Mapping, Maybe, Shape

KINDS: dict[str, Kind] = dict(sorted((kinds_of_values.KINDS | kinds_of_files.KINDS | kinds_of_clusters.KINDS).items()))
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OPTIONAL = "?"
_TEXT = {"type": "string"}
_FINDING: dict[str, object] = {
    "id": _TEXT,
    "severity": {"enum": [one.value for one in Severity]},
    "status": {"enum": [one.value for one in Status]},
    "message": _TEXT,
    "location": {
        "type": "object",
        "properties": {
            "file": _TEXT,
            "line": {"type": "integer"},
            "column": {"type": "integer"},
            "etcdKey": _TEXT,
            "endpoint": _TEXT,
        },
    },
    "evidence": {
        "type": "object",
        "properties": {"level": {"enum": [one.value for one in Evidence]}},
        "required": ["level"],
    },
    "fix": _TEXT,
    "counts": {"const": False},
    "mappings": {"type": "array", "items": _TEXT},
}
_HEAD = """# JSON that keyctl prints

One schema (JSON Schema, draft 2020-12) for each `kind`. Generated: `make generate`. Within `apiVersion: keyctl/v1`
fields are added, never renamed, removed, or given another meaning; so ignore what you do not know. `-o json` prints one
document, indented, in ASCII, on stdout; `--report json=PATH` writes the same to a file. A change (`rotate`, `enable`,
`disable`) prints one `RotationEvent` a line. Errors are told on stderr in words, and by the
[exit code](../../exit-codes.md).

`keyctl version -o json` has no kind: `{"keyctl", "python", "libraries"}`. `keyctl rotate --verify-evidence DIR -o json`
prints the fields of `RotationEvidence` without those that all kinds have in common.

| kind | printed by |
|---|---|
"""


def schema(name: str) -> dict[str, object]:
    """The schema of the kind `name`."""
    kind = KINDS[name]
    own = _object(kind.fields)
    common: dict[str, object] = {"apiVersion": {"const": API_VERSION}, "kind": {"const": name}}
    if kind.common:
        common |= {"exitCode": {"enum": [code.value for code in ExitCode]}}
        common |= {"findings": {"type": "array", "items": {"$ref": "#/$defs/finding"}}}
    properties, required = own["properties"], own["required"]
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise TypeError(name)
    shown: dict[str, object] = {
        "$schema": _DRAFT,
        "title": name,
        "description": "Printed by " + " and ".join(f"keyctl {command}" for command in kind.by),
        "type": "object",
        "properties": common | properties,
        "required": [*common, *required],
    }
    if not kind.common:
        return shown
    needed = [field for field in _FINDING if field not in ("fix", "counts")]
    return shown | {"$defs": {"finding": {"type": "object", "properties": _FINDING, "required": needed}}}


def closed(shown: object) -> object:
    """`shown` such that every object in it refuses fields that it does not name."""
    if isinstance(shown, list):
        return [closed(one) for one in shown]
    if not isinstance(shown, dict):
        return shown
    found = {name: closed(value) for name, value in shown.items()}
    is_object = found.get("type") == "object" and "properties" in found
    return found | {"additionalProperties": False} if is_object else found


def pages() -> dict[str, str]:
    """The text of each schema and of the page that lists them, by file name."""
    found = {f"{name}.json": json.dumps(schema(name), indent=2) + "\n" for name in KINDS}
    return found | {"README.md": _HEAD + "".join(_rows())}


def _rows() -> Iterator[str]:
    for name, kind in KINDS.items():
        by = ", ".join(f"`{command}`" for command in kind.by)
        yield f"| [{name}]({name}.json) | {by} |\n"


def _json(shape: Shape) -> dict[str, object]:
    match shape:
        case Leaf(type=""):
            return {}
        case Leaf(type=kind):
            return {"type": kind}
        case Maybe(shape=inner):
            return {"anyOf": [_json(inner), {"type": "null"}]}
        case Mapping(shape=inner):
            return {"type": "object", "additionalProperties": _json(inner)}
        case [one]:
            return {"type": "array", "items": _json(one)}
        case dict():
            return _object(shape)
    raise TypeError(f"no shape: {shape!r}")


def _object(fields: dict[str, Shape]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name.removesuffix(_OPTIONAL): _json(shape) for name, shape in fields.items()},
        "required": [name for name in fields if not name.endswith(_OPTIONAL)],
    }
