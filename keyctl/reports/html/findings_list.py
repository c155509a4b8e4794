"""Findings, worst first, each rule once with all that fell under it. Much of a kind is folded, never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

from keyctl.findings import Finding, Rule, Severity, Status
from keyctl.reports.html.elements import Child, el, mark, name, said, tone
from keyctl.reports.html.parts import counted, section
from keyctl.reports.marks import where

# More than this of one kind are folded.
_OPEN = 8
_STATUSES = (
    (Status.FAIL, "What fails"),
    (Status.UNKNOWN, "What is not known"),
    (Status.MANUAL, "What a person has to look at"),
    (Status.WAIVED, "What is waived"),
    (Status.PASS, "What is right"),
    (Status.NOT_APPLICABLE, "What does not apply"),
)
_FOLDED = frozenset({Status.PASS, Status.NOT_APPLICABLE})
_SEVERITIES = tuple(Severity)
_NO_MATTER = "Does not count: it is below the severity that was asked for, or was known before."


def drawn(findings: Sequence[Finding], rules: Sequence[Rule] = ()) -> Element:
    """All of `findings`; `rules` says what their ids mean, where that is known."""
    known = {rule.id: rule for rule in rules}
    parts: list[Child] = []
    for status, title in _STATUSES:
        of_status = [one for one in findings if one.status is status]
        if of_status:
            parts.append(_group(status, title, of_status, known))
    if not parts:
        parts.append(el("p", "No finding."))
    return section("findings", f"Findings: {len(findings)}", *parts)


def _group(status: Status, title: str, findings: Sequence[Finding], known: Mapping[str, Rule]) -> Element:
    ordered = sorted(findings, key=_order)
    rules = [
        _rule(status, list(some), known.get(rule))
        for (_, rule), some in groupby(ordered, key=lambda one: (one.severity, one.id))
    ]
    heading = f"{title}: {len(findings)}"
    if status in _FOLDED:
        return el("details", el("summary", heading), *rules)
    return el("div", el("h3", heading), *rules)


def _order(finding: Finding) -> tuple[int, str]:
    return _SEVERITIES.index(finding.severity), finding.id


def _rule(status: Status, findings: Sequence[Finding], rule: Rule | None) -> Element:
    """What fell under one rule alike: heading, messages with their places, what to do, how it is known."""
    first = findings[0]
    word = str(first.severity if status is Status.FAIL else status)
    fixes = list(dict.fromkeys(one.fix for one in findings if one.fix))
    messages: dict[tuple[str, str | None, bool], list[Finding]] = {}
    for one in findings:
        messages.setdefault((one.message, one.fix if len(fixes) > 1 else None, one.counts), []).append(one)
    told = [_message(message, fix, some) for (message, fix, _), some in messages.items()]
    heading = el(
        "h3" if status in _FOLDED else "h4",
        mark(word),
        " ",
        el("code", first.id),
        el("span", f" {rule.title}", class_="title") if rule else None,
    )
    return el(
        "article",
        heading,
        el("p", rule.why, class_="aside") if rule and status is Status.FAIL else None,
        *told[:_OPEN],
        _folded(told, "more like that"),
        el("p", "What to do: ", said(fixes[0]), class_="fix") if len(fixes) == 1 else None,
        el("p", _known(findings), class_="aside"),
        class_=f"finding {tone(word)}",
        id=_anchor(status, first),
    )


def _message(message: str, fix: str | None, findings: Sequence[Finding]) -> Element:
    """A message, and the places it was said of."""
    places = [place for one in findings if (place := where(one.location))]
    times = f" ({len(findings)} times)" if len(findings) > 1 else ""
    excuses = dict.fromkeys(one.excuse for one in findings if one.excuse)
    known = None if findings[0].counts else el("p", _NO_MATTER, class_="aside")
    shown = [el("li", name(place)) for place in places]
    parts: list[Child] = [el("p", said(message), times), known]
    if shown:
        parts += [el("ul", *shown[:_OPEN]), _folded(shown, "more places", within="ul")]
    parts += [el("p", "Excused: ", said(excuse)) for excuse in excuses]
    if fix:
        parts.append(el("p", "What to do: ", said(fix), class_="fix"))
    return el("div", *parts)


def _folded(shown: Sequence[Element], what: str, *, within: str = "div") -> Element | None:
    """Those of `shown` that are too many to stand open, behind their number; None where none are."""
    more = shown[_OPEN:]
    return el("details", el("summary", f"{len(more)} {what}"), el(within, *more)) if more else None


def _known(findings: Sequence[Finding]) -> str:
    levels = sorted({str(one.evidence) for one in findings})
    mappings = dict.fromkeys(mapping for one in findings for mapping in one.mappings)
    known = f"{counted(len(findings), 'finding')}; evidence {', '.join(levels)}"
    return f"{known}; asked for by {', '.join(mappings)}" if mappings else known


def _anchor(status: Status, finding: Finding) -> str:
    """A name for the place on the page, the same in every report: the status, how bad, and the rule."""
    plain = re.sub(r"[^a-z0-9]+", "-", finding.id.lower()).strip("-")
    return f"{status}-{finding.severity}-{plain}"
