"""Which server lags: what each has in its file, has loaded, and writes with. For reports that have `servers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from keyctl.reports.html.elements import Child, el, mark, name, said
from keyctl.reports.html.fields import Fields, inner, items, shown, text
from keyctl.reports.html.parts import counted, section, table
from keyctl.reports.html.timescale import instant

_HASH = 16
STATES = (
    "preflight",
    "secured",
    "generated",
    "adding",
    "readable",
    "promoting",
    "switched",
    "rewriting",
    "verified",
    "resecured",
    "retiring",
    "retired",
)


def board(data: Fields) -> Element | None:
    """Servers by file, loaded, writes; equal hashes have the same letter. None for data without servers' files."""
    servers = [one for one in items(data, "servers") if "file" in one and "loaded" in one]
    if not servers:
        return None
    letters = _letters([hash_ for one in servers for hash_ in _hashes(one)])
    rows = [
        (
            name(text(one, "name")),
            mark(text(one, "state") or "unknown"),
            _hash(_hashes(one)[0], letters),
            el("span", _hash(_hashes(one)[1], letters), _by(inner(one, "loaded"))),
            name(text(one, "writes") or "?"),
            {True: "on", False: "off"}.get(one.get("reload") is True, "-") if one.get("reload") is not None else "-",
            name(text(one, "version") or "-"),
        )
        for one in servers
    ]
    columns = ("server", "state", "file", "loaded", "writes with", "reload", "version")
    lagging = sum(text(one, "state") != "ok" for one in servers)
    return section(
        "servers",
        "What each server has loaded",
        el(
            "p",
            f"{lagging} of {counted(len(servers), 'server')} not as it should be." if lagging else "Every server is.",
        ),
        table("servers; equal letters are equal hashes", columns, rows),
        _problems(servers),
    )


def track(rotation: Fields) -> Element | None:
    """Where a rotation that is under way stands among the states it goes through; None without one."""
    state = text(rotation, "state")
    if not text(rotation, "id") and not text(rotation, "problem"):
        return None
    at = STATES.index(state) if state in STATES else -1
    steps = [
        el("li", word + (" (now)" if place == at else ""), class_=_place(place, at), aria_current=_current(place, at))
        for place, word in enumerate(STATES)
    ]
    times: list[Child] = [name(text(rotation, "id") or "?")]
    times.append(f", begun {instant(text(rotation, 'began')) or 'at an unknown time'}")
    times.append(f", last record {instant(text(rotation, 'last'))}" if text(rotation, "last") else None)
    back = el("p", mark("attention", shown="it goes back to the old key")) if rotation.get("back") is True else None
    problem = text(rotation, "problem")
    return section(
        "rotation",
        "The rotation under way",
        el("p", "rotation ", *times),
        back,
        el("p", mark("unknown", shown="the record cannot be read"), ": ", said(problem)) if problem else None,
        el("ol", *steps, class_="track") if at >= 0 else el("p", "state: ", name(state or "not known")),
    )


def _place(place: int, at: int) -> str:
    return "done" if place < at else "now" if place == at else "later"


def _current(place: int, at: int) -> str | None:
    return "step" if place == at else None


def _hashes(server: Fields) -> tuple[str, str]:
    return text(inner(server, "file"), "hash"), text(inner(server, "loaded"), "hash")


def _letters(hashes: Sequence[str]) -> Mapping[str, str]:
    return {found: _letter(place) for place, found in enumerate(dict.fromkeys(one for one in hashes if one))}


def _letter(place: int) -> str:
    """A, B, … Z, A1, …: short, and never used up."""
    letter = chr(ord("A") + place % 26)
    return letter if place < 26 else f"{letter}{place // 26}"


def _hash(found: str, letters: Mapping[str, str]) -> Element:
    if not found:
        return mark("unknown", shown="not known")
    short = found.removeprefix("sha256:")
    shown_hash = short if len(short) <= _HASH else f"{short[:_HASH]}…"
    return el("span", el("span", letters[found], class_="pair"), el("span", shown_hash, class_="hash"))


def _by(loaded: Fields) -> Element | None:
    parts = [f"by {text(loaded, 'by')}"] if text(loaded, "by") else []
    parts += [text(loaded, "doubt")] if text(loaded, "doubt") else []
    return el("span", " (", said("; ".join(parts)), ")", class_="title") if parts else None


def _problems(servers: Sequence[Fields]) -> Element | None:
    lines = [
        el("li", name(text(one, "name")), ": ", said(shown(one.get("problem"))))
        for one in servers
        if text(one, "problem")
    ]
    return el("ul", *lines) if lines else None
