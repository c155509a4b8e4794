"""The published schemas of the formats, in schemas/, and documents held against them. Where each is from: README.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jsonschema
import xmlschema

_SCHEMAS = Path(__file__).parent / "schemas"


def require_sarif(text: str) -> None:
    """Raise unless `text` is SARIF 2.1.0."""
    _sarif().validate(json.loads(text))


def require_oscal(text: str) -> None:
    """Raise unless `text` is an OSCAL 1.1.3 document of assessment results."""
    document = json.loads(text)
    assert list(document) == ["assessment-results"]
    _oscal().validate(document)


def require_junit(text: str) -> None:
    """Raise unless `text` is JUnit XML as Jenkins' xUnit plugin has it."""
    _junit().validate(text)


@cache
def _sarif() -> jsonschema.Draft4Validator:
    schema = json.loads((_SCHEMAS / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


@cache
def _oscal() -> jsonschema.Draft7Validator:
    text = (_SCHEMAS / "oscal_complete_schema-1-1-3.json").read_text(encoding="utf-8")
    # NOTE: patterns there are ECMAScript's; Python has no \p{…} and says the same in other words.
    text = text.replace(r"\\p{L}", r"[^\\W\\d_]").replace(r"\\p{N}", r"\\d")
    return jsonschema.Draft7Validator(json.loads(text), format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)


@cache
def _junit() -> xmlschema.XMLSchema10:
    return xmlschema.XMLSchema10(_SCHEMAS / "junit-10.xsd")
