"""Every report that a command shows in these tests is held against the schema of its kind, and against 80 columns."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import jsonschema
import pytest

from keyctl.cli import terminal
from keyctl.findings import Report
from keyctl.reports import json as json_report
from keyctl.reports import text
from tests.support.manual import schemas

_NARROW = 80


@cache
def closed_schema(kind: str) -> jsonschema.Draft202012Validator:
    """The schema of `kind`, which must be there, refusing what it does not name."""
    assert kind in schemas.KINDS, f"{kind} has no schema: write its fields into tests/support/manual/kinds_of_*.py"
    shown = schemas.closed(schemas.schema(kind))
    assert isinstance(shown, dict)
    return jsonschema.Draft202012Validator(shown)


def table_lines(report: Report) -> list[str]:
    """The lines of the tables alone, as a terminal of the usual width shows them."""
    untitled = tuple(replace(table, title=None) for table in report.tables)
    tables = replace(report, tables=untitled, findings=(), notes=(), next_steps=(), verdict="")
    return text.render(tables, width=_NARROW, color=False, unicode=True, wide=False).splitlines()


@pytest.fixture(autouse=True)
def _shown_reports_are_as_their_schema_says(monkeypatch: pytest.MonkeyPatch) -> None:
    show = terminal.show

    def checked(report: Report, output: str) -> None:
        # NOTE: a test that puts something else in the place of the work leaves a report without data behind.
        if report.data:
            closed_schema(report.kind).validate(json.loads(json_report.render(report)))
        assert [line for line in table_lines(report) if len(line) > _NARROW] == []
        show(report, output)

    monkeypatch.setattr(terminal, "show", checked)
