"""A report as one page: the verdict first, then pictures, findings with what to do, figures, and evidence at the end.

The same report gives the same bytes: nothing here asks a clock, the machine or chance.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from keyctl import __version__
from keyctl.findings import Report, Severity, Status
from keyctl.reports.html import (
    checks_grid,
    convergence,
    evidence,
    figures,
    findings_list,
    residue_map,
    timeline,
    values_grid,
)
from keyctl.reports.html.elements import el, extend, mark, said, style_sheet, tone, written
from keyctl.reports.html.fields import inner, items, number, text
from keyctl.reports.html.parts import facts, section
from keyctl.reports.html.style import STYLE
from keyctl.reports.marks import MARKS, verdict_word

# How every page begins, by which it is known again.
HEAD = "<!DOCTYPE html>\n"
GENERATOR = "keyctl/v1 HTML report"

_KINDS = {
    "VerifyReport": "Verification of stored values",
    "AuditReport": "Audit",
    "ClusterStatus": "Status of a cluster",
    "RotationEvidence": "Evidence of a rotation",
    "DoctorReport": "Examination of a cluster",
    "ConfigReport": "Encryption configuration",
    "KmsReport": "Check of a KMS v2 plugin",
    "SanitizeReport": "Clearing of old material",
    "SanitizePlan": "Plan for clearing old material",
    "SnapshotInspection": "Content of a snapshot",
    "SnapshotSaveReport": "Saved snapshots",
    "SnapshotVerifyReport": "Verification of snapshots",
    "RestoreTestReport": "Restore test of a snapshot",
}
_SUMMARY = ("values", "plaintext", "unreadable", "stale")


def render(report: Report) -> str:
    """One HTML document without a newline at its end."""
    title = _KINDS.get(report.kind, report.kind)
    sections = [part for part in _sections(report) if part is not None]
    body = el(
        "body",
        el("a", "Skip to the report", href="#report", class_="skip"),
        _header(report, title),
        _contents(sections),
        el("main", *sections, id="report"),
        _footer(report),
    )
    head = _head(f"{title}: {verdict_word(report)}")
    return HEAD + written(el("html", head, body, lang="en", dir="ltr")).rstrip("\n")


def _head(title: str) -> Element:
    policy = f"default-src 'none'; style-src 'sha256-{_digest(STYLE)}'; base-uri 'none'; form-action 'none'"
    policy_meta = el("meta", content=policy)
    policy_meta.set("http-equiv", "Content-Security-Policy")
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="generator", content=GENERATOR),
        policy_meta,
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"keyctl: {title}"),
        style_sheet(STYLE),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _header(report: Report, title: str) -> Element:
    word = verdict_word(report)
    return el(
        "header",
        el("p", f"keyctl: {title}", class_="kicker"),
        el("div", el("h1", mark(word), ": ", said(report.verdict)), class_=f"verdict {tone(word)}"),
        _tiles(report),
        facts(evidence.scope(report)),
    )


def _tiles(report: Report) -> Element | None:
    """A few numbers for one glance: what fails, what is not known, and how much was looked at."""
    found = Counter(one.status for one in report.findings)
    failed = [one.severity for one in report.findings if one.status is Status.FAIL]
    worst = min(failed, key=tuple(Severity).index, default=Severity.INFO)
    summary, coverage = inner(report.data, "summary"), inner(report.data, "coverage")
    tiles = [_tile(found[Status.FAIL], worst, "failed"), _tile(found[Status.UNKNOWN], "unknown", "not known")]
    tiles += [_tile(number(summary, field), field, field) for field in _SUMMARY if field in summary]
    if "applicable" in coverage:
        judged = f"{number(coverage, 'evaluated')} of {number(coverage, 'applicable')}"
        tiles.append(el("li", el("strong", judged), "checks were judged"))
    return el("ul", *tiles, class_="tiles") if report.findings or summary else None


def _tile(count: int, word: str, shown: str) -> Element:
    """A number with what it counts; the sign of the state `word` stands there where it counts something."""
    told = mark(word, shown=shown) if count and word in MARKS else el("span", shown, class_="aside")
    return el("li", el("strong", str(count)), told)


def _contents(sections: list[Element]) -> Element:
    links = [
        el("li", el("a", part[0].text or "", href=f"#{part.get('id')}"))
        for part in sections
        if part.get("id") is not None
    ]
    return el("nav", el("ul", *links), aria_label="Contents")


def _sections(report: Report) -> Iterator[Element | None]:
    rotation = inner(report.data, "rotation")
    yield _next_steps(report)
    yield values_grid.drawn(report.data)
    yield convergence.board(report.data)
    yield convergence.track(rotation)
    yield timeline.drawn(items(report.data, "moments"))
    yield timeline.drawn(items(rotation, "moments"), until=text(report.data, "at"))
    yield residue_map.drawn(report.data)
    yield checks_grid.drawn(report.data)
    yield findings_list.drawn(report.findings, report.rules)
    yield figures.tables(report.tables)
    yield _notes(report)
    yield figures.data(report.data)
    yield evidence.drawn(report)


def _next_steps(report: Report) -> Element | None:
    if not report.next_steps:
        return None
    return section("next", "What to do next", el("ol", *(_step(step) for step in report.next_steps), class_="steps"))


def _step(step: str) -> Element:
    """A step; what stands behind its command is an explanation."""
    command, gap, meaning = step.partition("    ")
    shown = el("code", command) if command.startswith("keyctl ") else said(command)
    return el("li", shown, f" {meaning.strip()}" if gap else None)


def _notes(report: Report) -> Element | None:
    if not report.notes:
        return None
    notes = el("ul")
    extend(notes, (el("li", said(note)) for note in report.notes))
    return section("notes", "Notes", notes)


def _footer(report: Report) -> Element:
    kind = f"{report.kind}, keyctl/v1"
    return el("footer", el("p", f"Made by keyctl {__version__} ({kind}). This page loads nothing and runs nothing."))
