"""What the key store of a cluster tells: its ledger of keys and its register of backups, without key bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from keyctl.audit.inputs import InputFile
from keyctl.findings import Evidence, Location
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup
from keyctl.keys.interface import KeyStore
from keyctl.keys.ledger import KeyRecord
from keyctl.stored.display import display


@dataclass(frozen=True, slots=True)
class Ledger:
    """All of it as of `looked_at`."""

    location: Location
    records: tuple[KeyRecord, ...]
    register: tuple[Backup, ...]
    looked_at: datetime
    evidence: Evidence = Evidence.E1


def look(store: KeyStore, *, now: datetime) -> tuple[Ledger, InputFile]:
    """Read the ledger and the register of `store`, with their hash as text. Raises what `store` raises."""
    location = Location(file=display(store.location))
    found = Ledger(location, store.records(), store.backups(), now)
    lines = (line for record in found.records for line in ledger.lines(None, record, cluster=""))
    text = b"".join((*lines, *(backups.noted_line(one, cluster="") for one in found.register)))
    return found, InputFile(location, hashlib.sha256(text).hexdigest(), len(text))
