"""A rotation drawn over time: a lane a server, a line a proof, and the same in words below. For reports with `moments`.

Widths are in percent, so that the lanes fill whatever screen there is while their text keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from keyctl.reports.html.course import STAGES, Band, Lane, Milestone, lanes, milestones
from keyctl.reports.html.elements import el, name
from keyctl.reports.html.fields import Fields, shown, text
from keyctl.reports.html.parts import counted, section, table
from keyctl.reports.html.timescale import instant, lasted, moment

_LETTERS = "ABCD"
_WORDS = (
    "the file as it was",
    "a file that also reads with the new key",
    "a file that writes with the new key",
    "a file without the key that goes",
)
# Narrower bands have no room for a letter, nor have knobs that are nearer to each other.
_ROOM = 4.0
_KNOB = 7.0
_ROW = 24
_STEP_FIELDS = ("of", "step", "server", "stage", "state", "loadedBy", "revision", "values", "leaving", "mode", "who")


def drawn(moments: Sequence[Fields], *, until: str = "") -> Element | None:
    """The lanes and what was proven when; None without moments. `until`: they go on to this time, the report's own."""
    if not moments:
        return None
    line = (*moments, {"at": until, "kind": "now"}) if until else tuple(moments)
    found, marked = lanes(line), milestones(line)
    return section(
        "timeline",
        "The rotation over time",
        el(
            "p",
            f"From {instant(text(line[0], 'at'))} to {instant(text(line[-1], 'at'))}, {_between(line[0], line[-1])}. "
            "Longer waits are drawn wider, but not by as much as they were longer; the times stand in the table.",
        ),
        _patterns(),
        _legend(),
        el("div", _axis(marked), *(_drawn_lane(lane, marked) for lane in found), class_="lanes"),
        _proven(marked, moments[0]),
        _steps(moments),
    )


def _patterns() -> Element:
    """The hatching of what is waited for, which all pictures of the page use."""
    return el(
        "svg",
        el(
            "defs",
            el(
                "pattern",
                el("rect", width=8, height=8, class_="hatch-ground"),
                el("line", x1=0, y1=0, x2=0, y2=8, class_="hatch-line"),
                id="hatch",
                width=8,
                height=8,
                patternUnits="userSpaceOnUse",
                patternTransform="rotate(45)",
            ),
        ),
        width=0,
        height=0,
        aria_hidden="true",
        class_="patterns",
    )


def _legend() -> Element:
    keys = [
        el("li", _swatch(f"stage stage-{place}", letter), words)
        for place, (letter, words) in enumerate(zip(_LETTERS, _WORDS, strict=True))
    ]
    waiting = el("li", _swatch("waiting"), "written, and not yet seen loaded")
    return el("ul", *keys, waiting, class_="legend")


def _swatch(kind: str, letter: str = "") -> Element:
    said = el("text", letter, x="50%", y=15, text_anchor="middle") if letter else None
    return el("svg", el("rect", width="100%", height="100%", class_=kind), said, aria_hidden="true")


def _axis(marked: Sequence[Milestone]) -> Element | None:
    """The numbers of what was proven, over the lanes; those that would touch stand in rows."""
    if not marked:
        return None
    rows: list[float] = []
    knobs: list[Element] = []
    for number, one in enumerate(marked, 1):
        row = next((place for place, last in enumerate(rows) if one.place - last >= _KNOB), len(rows))
        rows[row : row + 1] = [one.place]
        knobs += _knob(number, one, row)
    said = f"{counted(len(marked), 'proof')} and turns in the order of the table below"
    return el("div", el("svg", *knobs, role="img", aria_label=said, height=_ROW * len(rows)), class_="axis")


def _knob(number: int, one: Milestone, row: int) -> tuple[Element, Element]:
    middle = _ROW * row + _ROW // 2
    title = el("title", f"{number}: {one.said}, {one.at}")
    circle = el("circle", title, cx=_percent(one.place), cy=middle, r=10, class_="knob")
    return circle, el("text", str(number), x=_percent(one.place), y=middle + 5, text_anchor="middle")


def _drawn_lane(lane: Lane, marked: Sequence[Milestone]) -> Element:
    bands = [part for band in lane.loaded for part in _band(band)]
    waits = [
        el(
            "rect",
            el("title", f"waiting for {_letter(band.stage)}"),
            x=_percent(band.start),
            y="55%",
            width=_percent(band.end - band.start),
            height="45%",
            class_="waiting",
        )
        for band in lane.waiting
    ]
    lines = [
        el("line", x1=_percent(one.place), x2=_percent(one.place), y1=0, y2="100%", class_="proof") for one in marked
    ]
    frame = el("rect", width="100%", height="100%", class_="frame")
    return el(
        "div",
        el("p", name(lane.server)),
        el("svg", frame, *bands, *waits, *lines, role="img", aria_label=_in_words(lane)),
        class_="lane",
    )


def _band(band: Band) -> list[Element]:
    letter, width = _letter(band.stage), band.end - band.start
    kind = f"stage stage-{STAGES.index(band.stage) if band.stage in STAGES else 'unknown'}"
    rect = el("rect", el("title", letter), x=_percent(band.start), width=_percent(width), height="100%", class_=kind)
    if width < _ROOM:
        return [rect]
    return [rect, el("text", letter, x=_percent(band.start + width / 2), y=15, text_anchor="middle")]


def _letter(stage: str) -> str:
    return _LETTERS[STAGES.index(stage)] if stage in STAGES else "?"


def _in_words(lane: Lane) -> str:
    loaded = ", then ".join(_letter(band.stage) for band in lane.loaded)
    waits = f"; {counted(len(lane.waiting), 'wait')} for a file to be loaded" if lane.waiting else ""
    return f"{lane.server} had loaded {loaded}{waits}"


def _percent(place: float) -> str:
    return f"{place:.2f}%"


def _proven(marked: Sequence[Milestone], first: Fields) -> Element | None:
    """The lines of the picture as a table."""
    if not marked:
        return None
    began = moment(text(first, "at"))
    rows = []
    for number, one in enumerate(marked, 1):
        at = moment(one.at)
        since = lasted(max((at - began).total_seconds(), 0)) if at and began else "?"
        rows.append((str(number), one.said, instant(one.at), since, str(one.revision) if one.revision else "-"))
    columns = ("no.", "what was proven", "at", "after", "etcd revision")
    return table("what was proven when", columns, rows, counts=frozenset({3, 4}))


def _steps(moments: Sequence[Fields]) -> Element:
    """Every moment, folded: the lanes of the picture as text."""
    rows = [
        (
            text(one, "at"),
            text(one, "kind"),
            ", ".join(f"{key} {shown(one[key])}" for key in _STEP_FIELDS if key in one),
        )
        for one in moments
    ]
    return el(
        "details",
        el("summary", f"every step: {counted(len(moments), 'record')}"),
        table("every step", ("at", "record", "what it says"), rows),
    )


def _between(first: Fields, last: Fields) -> str:
    begin, end = moment(text(first, "at")), moment(text(last, "at"))
    return lasted(max((end - begin).total_seconds(), 0)) if begin and end else "how long is not known"
