"""Keys and backups of a key store as JSON-ready values. No key bytes, for a record has none."""

from __future__ import annotations

from keyctl.keys.backups import Backup, escrows, needing
from keyctl.keys.ledger import KeyRecord, KeyState, Moment


def needed_by(backups: tuple[Backup, ...], record: KeyRecord) -> tuple[Backup, ...]:
    """The backups that may need the key; none for a destroyed one, which opens nothing any more."""
    return () if record.state is KeyState.DESTROYED else needing(backups, record.ref, record.fingerprint)


def key_document(record: KeyRecord, backups: tuple[Backup, ...]) -> dict[str, object]:
    """One key."""
    return {
        "provider": record.ref.provider,
        "name": record.ref.name,
        "state": record.state,
        "since": record.history[-1].at,
        "fingerprint": record.fingerprint,
        "origin": record.origin,
        "history": [{"state": change.state, "at": change.at} for change in record.history],
        "firstWrite": _moment(record.first_write),
        "lastWrite": _moment(record.last_write),
        "neededBy": [backup.location for backup in needed_by(backups, record)],
        "escrows": [backup.location for backup in escrows(backups, record.ref, record.fingerprint)],
    }


def backup_document(backup: Backup) -> dict[str, object]:
    """One entry of the register."""
    tested = backup.tested
    return {
        "kind": backup.kind,
        "location": backup.location,
        "at": backup.at,
        "revision": backup.revision,
        "needs": [f"{ref.provider}:{ref.name}" for ref in backup.needs],
        "fingerprints": {f"{ref.provider}:{ref.name}": known for ref, known in backup.fingerprints},
        "keyIds": [{"key": f"{ref.provider}:{ref.name}", "id": key_id} for ref, key_id in backup.key_ids],
        "sha256": backup.sha256 or None,
        "tested": None if tested is None else {"at": tested.at, "proof": tested.proof},
    }


def escrow_document(backup: Backup) -> dict[str, object]:
    """One escrow: it needs nothing, and `holds` keys."""
    document = backup_document(backup)
    return {"holds": document.pop("needs"), **document}


def _moment(moment: Moment | None) -> dict[str, object] | None:
    return None if moment is None else {"revision": moment.revision, "at": moment.at}
