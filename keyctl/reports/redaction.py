"""A report without the names in it: what is to be shown to others keeps its statuses, checks and counts.

A pure function of a report and a salt: each name becomes the same pseudonym wherever it stands in the report, and
another one under another salt. What is no name is known, not what is one: of a text only the words that keyctl's own
rules are written in are kept, so a name that nobody thought of goes too.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from keyctl.findings import Finding, Location, Report, Rule, Status, Table

# Shorter ones can be guessed, and with them names by trying.
SHORTEST_SALT = 16
# Words of messages that no rule has. What is no name of anybody's: no host, user or file is called so.
_OWN = """
    a about above absent addresses adds after age ago alarms alerts all also an and any applicable applies apply are
    arrives as at baseline be because been before below beside but by called came can certificate certificates check
    checked checks cipher collected come committed compared concludes conclusion config connections could crash cut
    day days defaults deleted does during each effect either enabled every everything excused exhaust expired
    expires failed failures file files find first for from full given good group had handshakes has have hidden hint
    holds if imported in installer into is it its judged just key keys known last later leases ledger lets like line
    lists logged looked made manual many member members more most must named needs neither never newest newly next
    no none nor not noted nothing nowhere of old on one only or other others our out over owner passed passes
    permissions person plaintext puts read revocation right same scanned see served server servers silent so some
    somewhere stands still stored strong such than that the their them then there these they this those to too
    tracked travel trusted under unfinished unknown until used value values waived waiver waivers was watch way what
    when where whether which while who whole whose why will with without wording would written years young
"""
# These fields hold words of keyctl's own and no names; these nothing but names.
_PLAIN = frozenset({"profile", "reason", "ruleset"})
_NAMES = frozenset({"location", "file", "knownAs", "observed"})
# What fields within fields are called; anything else there is a name that something is filed under.
_FIELDS = (
    _PLAIN
    | _NAMES
    | {"applicable", "evaluated", "id", "title", "status", "results", "literal", "line", "sha256", "bytes", "whole"}
)
_QUOTED = re.compile(r"""(?<!\w)('[^']*'|"[^"]*"|`[^`]*`)""")
_TOKEN = re.compile(r"\S+")
_EDGES = re.compile(r"^([(\[{]*)(.*?)([)\]},.;:!?%]*)$", re.DOTALL)
_FLAG = re.compile(r"(--[a-z][a-z0-9-]*=)(.+)", re.DOTALL)
_ENDING = re.compile(r"(.+?)((?::\d+){1,2})", re.DOTALL)
# Numbers, dates, flags, versions and advisories.
_NO_NAME = re.compile(
    r"-?\d{1,6}|\d{4}-\d\d-\d\d|--[a-z][a-z0-9-]*|v?\d{1,2}\.\d{1,3}(?:\.\d{1,3}(?:-\d)?)?|CVE-\d+-\d+|GHSA(?:-\w{4}){3}"
)


def redact(report: Report, salt: bytes, rules: Iterable[Rule]) -> Report:
    """`report` under pseudonyms; the words of `rules` are no names. `ValueError` for a salt that is too short."""
    if len(salt) < SHORTEST_SALT:
        raise ValueError(f"a salt has at least {SHORTEST_SALT} bytes")
    names = _names(report, salt, tuple(rules))
    return replace(
        report,
        verdict=names.of_verdict(report),
        findings=tuple(_finding(one, names) for one in report.findings),
        data={key: names.of_field(key, value) for key, value in report.data.items()},
        tables=tuple(_table(one, names) for one in report.tables),
        notes=tuple(names.of_text(one) for one in report.notes),
        next_steps=tuple(names.of_text(one) for one in report.next_steps),
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """What to call what. `words` and whole `texts` are kept but for what is `known` as a name.

    `spaced` finds those of the known names that are more than one word.
    """

    salt: bytes
    words: frozenset[str]
    texts: frozenset[str]
    known: frozenset[str]
    spaced: re.Pattern[str] | None

    def of(self, name: str) -> str:
        """The pseudonym of a whole name."""
        mark = hmac.new(self.salt, name.encode("utf-8", "backslashreplace"), sha256).hexdigest()
        return f"name-{mark[:12]}"

    def of_text(self, text: str) -> str:
        """A text with its names exchanged: known ones of several words, then what is quoted, then word by word."""
        if text in self.texts:
            return text
        parts = self.spaced.split(text) if self.spaced else [text]
        return "".join(self.of(part) if number % 2 else self._unquoted(part) for number, part in enumerate(parts))

    def of_field(self, key: str, value: object) -> object:
        """A value of a report's data: texts under `key` are names unless it is known what they are."""
        if key in _PLAIN:
            return value
        if isinstance(value, Mapping):
            if key in _NAMES:
                return {self.of(inner): self.of_field(key, one) for inner, one in value.items()}
            return {self._key(inner): self.of_field(inner, one) for inner, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.of_field(key, one) for one in value]
        if not isinstance(value, str):
            return value
        return self.of(value) if key in _NAMES else self.of_text(value)

    def of_verdict(self, report: Report) -> str:
        """The verdict, in which the name of the profile is no secret."""
        profile = report.data.get("profile")
        head = f"{profile}:"
        if isinstance(profile, str) and report.verdict.startswith(head):
            return head + self.of_text(report.verdict.removeprefix(head))
        return self.of_text(report.verdict)

    def _key(self, key: str) -> str:
        return key if key in _FIELDS else self.of(key)

    def _unquoted(self, text: str) -> str:
        parts = _QUOTED.split(text)
        return "".join(self._quoted(part) if number % 2 else self._by_word(part) for number, part in enumerate(parts))

    def _quoted(self, quoted: str) -> str:
        inner = quoted[1:-1]
        if all(self._is_word(_split(one)[1]) for one in inner.split()):
            return quoted
        return f"{quoted[0]}{self.of(inner)}{quoted[0]}"

    def _by_word(self, text: str) -> str:
        return _TOKEN.sub(lambda one: self._token(one[0]), text)

    def _token(self, token: str) -> str:
        before, core, after = _split(token)
        return token if not core else f"{before}{self._core(core)}{after}"

    def _core(self, core: str) -> str:
        if core in self.known:
            return self.of(core)
        if self._is_word(core):
            return core
        if flag := _FLAG.fullmatch(core):
            return f"{flag[1]}{self._core(flag[2])}"
        if ending := _ENDING.fullmatch(core):
            return f"{self.of(ending[1])}{ending[2]}"
        return self.of(core)

    def _is_word(self, core: str) -> bool:
        if core in self.known:
            return False
        return not core or core in self.words or core.lower() in self.words or bool(_NO_NAME.fullmatch(core))


def _split(token: str) -> tuple[str, str, str]:
    match = _EDGES.match(token)
    return (match[1], match[2], match[3]) if match else ("", token, "")


def _names(report: Report, salt: bytes, rules: Sequence[Rule]) -> _Names:
    texts = frozenset(text for one in rules for text in (one.title, one.fix))
    told = " ".join(" ".join((one.id, one.title, one.why, one.fix)) for one in rules)
    words = frozenset((*_OWN.split(), *map(str, Status))) | frozenset(
        core for token in told.split() if (core := _split(token)[1])
    )
    places = (one.location for one in report.findings)
    known = frozenset(name for at in places for name in (at.file, at.etcd_key, at.endpoint) if name)
    spaced = sorted((one for one in known if not _TOKEN.fullmatch(one)), key=lambda name: (-len(name), name))
    pattern = re.compile(f"({'|'.join(map(re.escape, spaced))})") if spaced else None
    return _Names(salt, words, texts, known, pattern)


def _finding(finding: Finding, names: _Names) -> Finding:
    where = finding.location
    place = (names.of(name) if name else name for name in (where.file, where.etcd_key, where.endpoint))
    file, etcd_key, endpoint = place
    return replace(
        finding,
        message=names.of_text(finding.message),
        location=Location(file, where.line, where.column, etcd_key, endpoint),
        fix=names.of_text(finding.fix) if finding.fix else finding.fix,
        excuse=names.of_text(finding.excuse) if finding.excuse else finding.excuse,
    )


def _table(table: Table, names: _Names) -> Table:
    return replace(table, rows=tuple(tuple(names.of_text(cell) for cell in row) for row in table.rows))
