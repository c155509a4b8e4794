"""Checks by area and by what came of them, and how much was judged. For reports with `checks` and `coverage`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from keyctl.findings import Status
from keyctl.reports.html.elements import el, mark, name, tone
from keyctl.reports.html.fields import Fields, inner, items, number, text
from keyctl.reports.html.parts import captioned, scrolled, section

# Worst first.
_ORDER = (Status.FAIL, Status.UNKNOWN, Status.MANUAL, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
_AREAS = {
    "AUTH": "access",
    "BKP": "backups",
    "DAT": "stored data",
    "ENC": "encryption settings",
    "FS": "files",
    "KEY": "keys",
    "LOG": "audit log",
    "META": "the audit itself",
    "NET": "network",
    "TLS": "certificates and TLS",
    "VER": "versions",
}


def drawn(data: Fields) -> Element | None:
    """The grid and the share of what was judged; None for data without checks."""
    checks = [one for one in items(data, "checks") if text(one, "id") and text(one, "status")]
    coverage = inner(data, "coverage")
    if not checks or "applicable" not in coverage:
        return None
    applicable, evaluated = number(coverage, "applicable"), number(coverage, "evaluated")
    return section(
        "checks",
        "What was checked",
        el("p", _share(evaluated, applicable)),
        _bar(evaluated, applicable),
        _grid(checks),
    )


def _share(evaluated: int, applicable: int) -> str:
    if not applicable:
        return "No check applies to what was given, so nothing was judged: that is no pass."
    return f"{evaluated} of the {applicable} checks that apply were judged; the rest is unknown, and no pass."


def _bar(evaluated: int, applicable: int) -> Element | None:
    if not applicable:
        return None
    share = min(max(round(100 * evaluated / applicable), 0), 100)
    return el(
        "svg",
        el("rect", width="100%", height="100%", class_="stage stage-unknown"),
        el("rect", width=f"{share}%", height="100%", class_="full"),
        role="img",
        aria_label=f"{share} percent of the checks that apply were judged",
        class_="bar",
    )


def _grid(checks: Sequence[Fields]) -> Element:
    found = Counter((_area(one), text(one, "status")) for one in checks)
    statuses = [status for status in _ORDER if any(key[1] == status for key in found)]
    heads = [el("th", "area", scope="col")] + [
        el("th", mark(status, shown=_words(status)), scope="col", class_="count") for status in statuses
    ]
    rows = [
        el(
            "tr",
            el("th", name(area), f" {_AREAS.get(area.removeprefix('KC-'), '')}", scope="row"),
            *(_cell(found[area, status], status) for status in statuses),
        )
        for area in sorted({area for area, _ in found})
    ]
    caption = "checks by area"
    table = el("table", captioned(caption), el("thead", el("tr", *heads)), el("tbody", *rows), class_="grid")
    return scrolled(caption, table)


def _area(check: Fields) -> str:
    return text(check, "id").rpartition("-")[0] or text(check, "id")


def _words(status: Status) -> str:
    return {Status.MANUAL: "for a person", Status.NOT_APPLICABLE: "not applicable"}.get(status, str(status))


def _cell(count: int, status: Status) -> Element:
    if not count:
        return el("td", "0", class_="count nothing")
    kind = {"bad": "is-bad", "warn": "is-warn", "open": "is-open", "good": "shade-3"}.get(tone(status), "")
    return el("td", str(count), class_=f"count {kind}".rstrip())
