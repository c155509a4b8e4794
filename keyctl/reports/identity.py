"""By what a finding is known again in a later report, and what stands for its file where it has none.

Values only. Lines are left out of it, the numbers in a message, and the waiver: these change while the finding stays.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from keyctl.findings import Finding, Location

_NUMBER = re.compile(r"\d+")


def place(location: Location) -> str:
    """The file, key of etcd or endpoint that a finding is about; "" for none."""
    return location.file or location.etcd_key or location.endpoint or ""


def path(finding: Finding) -> str:
    """The file of a finding, or a path of no file that stays the same, for formats that show nothing without one."""
    where = finding.location
    if where.file:
        return where.file
    if where.etcd_key:
        return f"no-file/etcd/{where.etcd_key.lstrip('/')}"
    return f"no-file/endpoint/{where.endpoint}" if where.endpoint else f"no-file/check/{finding.id}"


def uri(name: str) -> str:
    """A file name as a URI reference: relative where the name is, so relative to the working directory."""
    quoted = quote(name, safe="/", errors="backslashreplace")
    return f"file://{quoted}" if name.startswith("/") else quoted


def fingerprints(findings: Iterable[Finding]) -> tuple[str, ...]:
    """One for each of `findings`, no two alike: of those that read the same the second is the second one again."""
    seen: Counter[str] = Counter()
    marks = []
    for one in findings:
        message = one.message.removesuffix(f" ({one.excuse})")
        told = "\0".join((one.id, place(one.location), _NUMBER.sub("0", message)))
        mark = hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        seen[mark] += 1
        marks.append(f"{mark}:{seen[mark]}")
    return tuple(marks)
