"""What a report rests on: where it was read, how each finding is known, and the hashes to compare it by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from xml.etree.ElementTree import Element

from keyctl.findings import Evidence, Report
from keyctl.reports import json
from keyctl.reports.html.elements import Child, el, name
from keyctl.reports.html.fields import Fields, inner, shown, text, texts
from keyctl.reports.html.parts import facts, section, table
from keyctl.reports.html.timescale import instant

_LEVELS = {
    Evidence.E0: "said by somebody, seen by nobody",
    Evidence.E1: "read in a file",
    Evidence.E2: "told by a running process",
    Evidence.E3: "seen in stored data, or in an exchange with a server",
}
_HASH_FIELDS = frozenset({"sha256", "hash", "integrity", "fingerprint"})
_SOURCE = (("type", "read from"), ("location", "at"), ("revision", "revision"), ("clusterId", "cluster id"))


def drawn(report: Report) -> Element:
    """The last section of the page."""
    return section(
        "evidence",
        "Evidence",
        facts(_rests_on(report)),
        _levels(report),
        _hashes(report.data),
        el("p", "The same report as JSON (--report json=FILE of the same run) has this SHA-256:"),
        el("p", el("code", json_hash(report), class_="hash")),
    )


def json_hash(report: Report) -> str:
    """The SHA-256 of the file that `--report json` writes of `report`."""
    return hashlib.sha256(f"{json.render(report)}\n".encode()).hexdigest()


def _rests_on(report: Report) -> Iterator[tuple[str, Child]]:
    data = report.data
    source = inner(data, "source")
    yield from ((words, name(shown(source[field]))) for field, words in _SOURCE if field in source)
    if "proof" in data:
        proofs = {"decrypted": "an object came out of every value", "prefix": "told from the heads of values"}
        yield "proof", proofs.get(text(data, "proof"), shown(data["proof"]))
    if integrity := text(source, "integrity"):
        yield "integrity of the file", name(integrity)
    if path := text(data, "path"):
        yield "bundle", name(path)
    if looked := data.get("filesLookedInto"):
        yield "files looked into", shown(looked)
    if profile := text(data, "profile"):
        yield "profile", name(profile)


def _levels(report: Report) -> Element | None:
    found = Counter(one.evidence for one in report.findings)
    if not found:
        return None
    rows = [(str(level), words, str(found[level])) for level, words in _LEVELS.items() if found[level]]
    columns = ("level", "how it is known", "findings")
    return table("how the findings are known", columns, rows, counts=frozenset({2}))


def _hashes(data: Mapping[str, object]) -> Element | None:
    rows = [(name(place), name(found)) for place, found in dict.fromkeys(_found(data, ""))]
    return table("hashes and fingerprints", ("of", "value"), rows) if rows else None


def _found(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Every hash in the data, with the names on the way to it."""
    if isinstance(value, Mapping):
        called = _called(value)
        for key, inner_value in value.items():
            at = " ".join(part for part in (place, called, str(key)) if part)
            if key in _HASH_FIELDS and isinstance(inner_value, str) and inner_value:
                yield at, inner_value
            else:
                yield from _found(inner_value, at)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _found(item, place)


def _called(fields: Fields) -> str:
    """What an object of the data calls itself, for a list has many."""
    return next((named for key in ("name", "path", "file", "id", "location") if (named := text(fields, key))), "")


def scope(report: Report) -> Iterator[tuple[str, Child]]:
    """What was looked at, for the top of the page."""
    data, source = report.data, inner(report.data, "source")
    for words, value in (
        ("cluster", text(data, "cluster")),
        ("cluster id", text(source, "clusterId") or text(data, "clusterUid")),
        ("read from", text(source, "location")),
        ("profile", text(data, "profile")),
        ("rotation", text(data, "rotation")),
        ("by", text(data, "who")),
        ("file", text(data, "file")),
        ("files", ", ".join(texts(data, "files"))),
        ("revision", shown(source.get("revision", data.get("revision")))),
        ("at", text(data, "at") or text(data, "date") or _span(data)),
    ):
        if value and value != "-":
            yield words, name(value)
    if report.made is not None:
        yield "report made", report.made.astimezone(UTC).isoformat(timespec="seconds")
    yield "exit code", str(int(report.exit_code))


def _span(data: Fields) -> str:
    return f"{instant(text(data, 'began'))} to {instant(text(data, 'ended'))}" if text(data, "ended") else ""
