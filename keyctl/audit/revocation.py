"""What a revocation list of certificates says of itself, as a fact. Opens and judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keyctl.findings import Evidence, Location


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list of a file, of the CA `issuer`. `next_update` is from when it is stale, None where it does not say."""

    path: str
    issuer: str
    next_update: datetime | None
    location: Location
    evidence: Evidence = Evidence.E1
