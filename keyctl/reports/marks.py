"""The sign and the word of every state, and text made fit to show: what every format for a person has in common."""

from __future__ import annotations

from collections.abc import Mapping

from keyctl.findings import Finding, Location, Report, Severity, Status

# State word: (symbol, ASCII symbol, colour at a terminal).
MARKS: Mapping[str, tuple[str, str, int]] = {
    "ok": ("✓", "ok", 32),
    "pass": ("✓", "ok", 32),
    "waiting": ("!", "!!", 33),
    "differs": ("!", "!!", 33),
    "no flag": ("✗", "XX", 31),
    "blind": ("✗", "XX", 31),
    "down": ("✗", "XX", 31),
    "stale": ("!", "!!", 33),
    "plaintext": ("✗", "XX", 31),
    "unreadable": ("✗", "XX", 31),
    "unrecognised": ("✗", "XX", 31),
    "missing": ("✗", "XX", 31),
    "fail": ("✗", "XX", 31),
    "critical": ("✗", "XX", 31),
    "high": ("✗", "XX", 31),
    "medium": ("!", "!!", 33),
    "low": ("!", "!!", 33),
    "info": ("!", "!!", 33),
    "attention": ("!", "!!", 33),
    "unknown": ("?", "??", 33),
    "manual": ("?", "??", 33),
    "waived": ("-", "--", 2),
    "none": ("-", "--", 2),
    "not-applicable": ("-", "--", 2),
    "not required": ("-", "--", 2),
}


def inert(text: str) -> str:
    """`text` on one line, with control and format characters escaped: nothing in it acts on a reader's screen."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def where(location: Location) -> str | None:
    """What a finding points at, in one word: a place in a file, a key of etcd, or an endpoint."""
    if location.file is None:
        return location.etcd_key or location.endpoint
    return ":".join(str(part) for part in (location.file, location.line, location.column) if part)


def verdict_word(report: Report) -> str:
    """fail, attention or ok: the state word of the whole report."""
    return "fail" if report.exit_code else "attention" if any(map(_is_serious, report.findings)) else "ok"


def _is_serious(finding: Finding) -> bool:
    """Whether it stands there with a cross: no tick may stand beside it, whatever the exit code is."""
    return finding.status is Status.FAIL and finding.severity in (Severity.CRITICAL, Severity.HIGH)
