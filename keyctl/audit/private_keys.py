"""A private key of a file, as far as anybody may know it: the hash of its public half. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.findings import Evidence, Location


@dataclass(frozen=True, slots=True)
class PrivateKeyFact:
    """`spki` is the SHA-256 of the public key that belongs to it, as a certificate of it has it."""

    path: str
    spki: str
    location: Location
    evidence: Evidence = Evidence.E1
