"""Facts of a running cluster as tests need them, without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keyctl.audit.facts import About, Unread
from keyctl.audit.live.api_servers import Disk, RunningServer
from keyctl.audit.live.members import EtcdState, MemberState
from keyctl.audit.live.probes import PortAnswers, Role
from keyctl.encryption_config.model import EncryptionConfig, KmsReader, ProviderElement, ResourceEntry
from keyctl.findings import Location
from keyctl.keys.key import Provider
from keyctl.pki.inspect import Certificate
from keyctl.pki.survey import Answer, Attempt, Outcome, Survey
from tests.unit.audit.given import TODAY

NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
AT = Location(endpoint="https://10.0.0.1:2379")


def member(version: str = "3.7.3", name: str = "m1") -> MemberState:
    return MemberState(name, f"id-{name}", version, Location(endpoint=f"https://{name}:2379"))


def etcd_state(**more: Any) -> EtcdState:
    given: dict[str, Any] = {"alarms": (), "auth": False, "others": 0, "untold": "it would not say"} | more
    return EtcdState("etcd", location=AT, **given)


def silent_member(reason: str = "it does not answer") -> Unread:
    return Unread(reason, frozenset({About.MEMBER}), AT)


def served(days: float = 200, begun: float = 10) -> Certificate:
    return Certificate("etcd", "etcd-ca", ("10.0.0.1",), NOON - timedelta(days=begun), NOON + timedelta(days=days), 1)


def port(role: Role = Role.CLIENTS, shown: Certificate | None = None, **outcomes: Outcome) -> PortAnswers:
    """A port that is set up right, but for `outcomes`, by the names of attempts."""
    right = dict.fromkeys(Attempt, Outcome.REFUSED) | {
        Attempt.OWN: Outcome.ACCEPTED if role is Role.CLIENTS else Outcome.NOT_TRIED,
        Attempt.EXPIRED: Outcome.NOT_TRIED,
    }
    given = right | {Attempt[name]: outcome for name, outcome in outcomes.items()}
    answers = tuple(Answer(attempt, outcome, f"so it said: {attempt.name}") for attempt, outcome in given.items())
    return PortAnswers("m1", role, Survey(answers, shown or served(), True, "TLSv1.3"), AT)


def running_server(version: str = "v1.37.1", name: str = "s1", *resources: str, kms: str = "") -> RunningServer:
    readers = (ProviderElement(Provider.KMS, (KmsReader("vault", kms),)),) if kms else ()
    config = EncryptionConfig((ResourceEntry(resources or ("secrets",), readers),))
    return RunningServer(name, version, None, Disk("enc.yaml", config=config), Location(endpoint=f"https://{name}"))
