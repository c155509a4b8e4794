"""Facts of snapshots and of a key store as tests need them, without a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keyctl.audit.live.backups import BackupPlace, Content, Need, RawKey, Snapshot
from keyctl.audit.live.ledger import Ledger
from keyctl.findings import Location
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState, Moment, Origin, StateChange
from keyctl.stored.envelope import Encoding
from keyctl.stored.groups import Group, Role
from keyctl.stored.leftovers import LeftGroup
from keyctl.stored.source import Area, Coverage
from keyctl.verify.leftovers import Leftovers
from tests.unit.audit.given import TODAY

NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
KEY = KeyRef(Provider.AESCBC, "key1")
PRINT = "1" * 32
SEEN = {Area.LIVE: Coverage.SCANNED, Area.HISTORY: Coverage.SCANNED, Area.FREE_PAGES: Coverage.SCANNED} | dict.fromkeys(
    (Area.WAL, Area.SNAP_DIR), Coverage.ABSENT
)
DIRECTORY = "/backup"


def group(resource: str = "secrets", values: int = 3, ref: KeyRef | None = KEY, **more: Any) -> Group:
    """Encrypted values; `ref` None: plaintext."""
    given: dict[str, Any] = {
        "resource": resource, "provider": ref.provider if ref else Provider.IDENTITY, "version": "v1" if ref else None,
        "key": ref.name if ref else "", "key_id": None, "encoding": None if ref else Encoding.PROTOBUF,
        "role": Role.READ, "values": values, "decrypted": values, "failed": 0, "not_decrypted": 0,
        "infrastructure": False, "first": (),
    }  # fmt: skip
    return Group(**given | more)


def left(resource: str = "secrets", area: Area = Area.HISTORY, values: int = 2) -> LeftGroup:
    """Plaintext that is left behind."""
    return LeftGroup(area, resource, None, retired=False, encrypted=False, values=values, first=())


def content(*groups: Group, behind: tuple[LeftGroup, ...] = (), **more: Any) -> Content:
    given: dict[str, Any] = {
        "prefix": "/registry", "revision": 100, "groups": groups or (group(),), "needs": (need(),),
        "left": Leftovers(frozenset({"secrets"}), groups=behind, coverage=SEEN), "tried": frozenset({PRINT}),
    }  # fmt: skip
    return Content(**given | more)


def need(ref: KeyRef = KEY, opened: int = 3, fingerprint: str | None = PRINT, **more: Any) -> Need:
    return Need(ref, 3, opened, fingerprint, **more)


def snapshot(name: str = "a.db", hours: float | None = 2, *, file_hours: float = 2, **more: Any) -> Snapshot:
    """A snapshot that its manifest says was saved so many `hours` ago; None: it has none."""
    given: dict[str, Any] = {
        "sha256": f"sha of {name}", "manifest": hours is not None, "content": content(),
        "saved": None if hours is None else NOON - timedelta(hours=hours),
    }  # fmt: skip
    path = f"{DIRECTORY}/{name}"
    return Snapshot(Location(path), path, DIRECTORY, NOON, NOON - timedelta(hours=file_hours), **given | more)


def looked_through(snapshots: int = 1) -> BackupPlace:
    return BackupPlace(Location(DIRECTORY), snapshots, NOON)


def raw_key(fingerprint: str = PRINT, ref: KeyRef = KEY, directory: str = DIRECTORY) -> RawKey:
    return RawKey(ref, fingerprint, "an EncryptionConfiguration", directory, Location(f"{directory}/enc.yaml"))


def days_ago(days: float) -> str:
    return (NOON - timedelta(days=days)).isoformat()


def record(*states: KeyState, days: float = 100, ref: KeyRef = KEY, fingerprint: str = PRINT, **more: Any) -> KeyRecord:
    """A key that came into the ledger so many `days` ago and went through `states`."""
    history = tuple(StateChange(state, days_ago(days)) for state in states or (KeyState.ACTIVE,))
    return KeyRecord(ref, fingerprint, more.pop("origin", Origin.GENERATED), history, **more)


def wrote(days: float = 10) -> Moment:
    return Moment(100, days_ago(days))


def registered(name: str = "a.db", days: float = 1, **more: Any) -> Backup:
    """A snapshot as the register has it."""
    given: dict[str, Any] = {
        "kind": BackupKind.SNAPSHOT, "location": f"{DIRECTORY}/{name}", "at": days_ago(days), "revision": 1,
        "needs": (KEY,), "sha256": f"sha of {name}",
    }  # fmt: skip
    return Backup(**given | more)


def restored(days: float = 5, proof: Proof = Proof.SERVED) -> Proven:
    return Proven(days_ago(days), proof)


def key_store(*records: KeyRecord, register: tuple[Backup, ...] = ()) -> Ledger:
    return Ledger(Location("/keys"), records, register, NOON)
