"""What was looked into, by its bytes: what a report names so that it can be tied to them. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.findings import Evidence, Location


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that was looked into: `sha256` is that of the first `read` of its bytes, which are all unless not `whole`.

    Of a large file that is no configuration only the beginning is looked at.
    """

    location: Location
    sha256: str
    read: int
    whole: bool = True
    evidence: Evidence = Evidence.E1
