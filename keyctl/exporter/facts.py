"""What a look at each source shows. Values only; nothing here looks, and none holds key bytes or a Secret's content."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keyctl.etcd.interface import Alarm, EndpointStatus
from keyctl.keys.backups import Backup, Proven
from keyctl.keys.ledger import KeyRecord
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.diagnosis.diagnose import Diagnosis
from keyctl.rotation.diagnosis.facts import Facts as Cluster
from keyctl.verify.values import VerifyResult


@dataclass(frozen=True, slots=True)
class ValuesSeen:
    """What was found stored. `unread` is how many servers' configurations were not to be had."""

    result: VerifyResult = field(repr=False)
    unread: int


@dataclass(frozen=True, slots=True)
class ServersSeen:
    """The API servers: what each showed, what is wrong with them together, and what each said of itself by name."""

    cluster: Cluster = field(repr=False)
    diagnosis: Diagnosis
    probes: tuple[ServerProbe, ...]


@dataclass(frozen=True, slots=True)
class EtcdSeen:
    """Every endpoint, with the status of the member behind it; None where there was no answer."""

    endpoints: tuple[tuple[str, EndpointStatus | None], ...]


@dataclass(frozen=True, slots=True)
class AlarmsSeen:
    """Of each etcd, by what it is called: the alarms that stand, and how many members it has."""

    etcds: tuple[tuple[str, tuple[Alarm, ...], int], ...]


@dataclass(frozen=True, slots=True)
class CertificateSeen:
    """One certificate. `place` is "file" or "presented"; both times are None where it could not be read."""

    place: str
    name: str
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class CertificatesSeen:
    """Every certificate that was looked for."""

    certificates: tuple[CertificateSeen, ...]


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """The ledger, and how old a key may become."""

    records: tuple[KeyRecord, ...]
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class BackupsSeen:
    """The registered snapshots; `missing` are the locations of those that are not there.

    `tests` are the restore tests of any snapshot, those too whose file made way or was deleted by a policy since.
    """

    snapshots: tuple[Backup, ...]
    missing: frozenset[str]
    max_age: timedelta
    tests: tuple[Proven, ...] = ()


@dataclass(frozen=True, slots=True)
class RotationSeen:
    """The rotation that is under way: when it began and when it last did anything; None where there is none."""

    began: str | None = None
    last: str | None = None


Facts = ValuesSeen | ServersSeen | EtcdSeen | AlarmsSeen | CertificatesSeen | KeysSeen | BackupsSeen | RotationSeen
