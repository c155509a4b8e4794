"""What running members of etcd say, what their ports answer, and who holds certificates that open them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from keyctl.audit.facts import About, CertificateFact, Unread
from keyctl.audit.live.probes import PortAnswers, Role
from keyctl.audit.live.reach import Reached
from keyctl.audit.revocation import RevocationList
from keyctl.etcd.interface import Alarm
from keyctl.findings import Location, Status
from keyctl.pki.survey import Knock, Outcome
from tests.unit.audit.cases import Case
from tests.unit.audit.given import certificate, etcd, server
from tests.unit.audit.running_etcd import (
    NOON,
    etcd_state,
    member,
    port,
    running_server,
    served,
    silent_member,
)

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
A, R, Q, T = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_TRIED
UNSEEN = replace(port(), survey=replace(port().survey, served=None, is_for_us=None))
PLAIN_ONLY = replace(port(PLAIN=A), survey=replace(port(PLAIN=A).survey, served=None, is_for_us=None))
FOR_OTHERS = replace(port(), survey=replace(port().survey, is_for_us=False))
HIDDEN: dict[str, Any] = {"hidden": "its flags stand in a shell script"}
RELOAD = "--encryption-provider-config-automatic-reload"
CORRUPTION = "--feature-gates=InitialCorruptCheck=true,Other=false"
CA = certificate("/pki/etcd/ca.crt", subject="CN=etcd-ca", issuer="CN=etcd-ca", is_ca=True, is_server=False)
OTHER_CA = certificate("/other/ca.crt", subject="CN=etcd-ca", issuer="CN=etcd-ca", is_ca=True, is_server=False)
LIST = RevocationList("/pki/crl", "CN=etcd-ca", NOON + timedelta(days=5), Location("/pki/crl"))
UNREAD = Unread("a certificate of it cannot be read", frozenset({About.CERTIFICATE}), Location("/pki/odd.crt"))
WITH_LIST = etcd("--client-crl-file=/pki/crl")


def client(path: str, subject: str, days: int = 30) -> CertificateFact:
    """A client certificate of etcd's CA."""
    return certificate(path, days, subject=subject, issuer="CN=etcd-ca", is_server=False, is_client=True)


def tried(knock: Knock, sign: int = 0) -> Reached:
    return Reached(knock, sign, Location(endpoint="192.0.2.1:2379"))


def unreached(role: Role = Role.CLIENTS) -> PortAnswers:
    return port(role, PLAIN=Q, NO_CERTIFICATE=Q, FOREIGN=Q, OWN=Q, OLD_PROTOCOL=Q)


API_SERVER = client("/pki/c.crt", "CN=kube-apiserver-etcd-client")
MEMBER = client("/pki/etcd/server.crt", "CN=cp-1")
HEALTH = client("/pki/etcd/healthcheck-client.crt", "CN=kube-etcd-healthcheck-client")

CASES: list[Case] = [
    ("KC-TLS-009", P, (port(),)),
    ("KC-TLS-009", P, (port(Role.PEERS),)),
    ("KC-TLS-009", P, (port(EXPIRED=R),)),
    ("KC-TLS-009", F, (port(PLAIN=A),)),
    ("KC-TLS-009", F, (port(NO_CERTIFICATE=A),)),
    ("KC-TLS-009", F, (port(FOREIGN=A),)),
    ("KC-TLS-009", F, (port(EXPIRED=A),)),
    ("KC-TLS-009", F, (port(Role.PEERS, NO_CERTIFICATE=A),)),
    ("KC-TLS-009", U, (port(PLAIN=Q),)),
    ("KC-TLS-009", U, (port(NO_CERTIFICATE=Q),)),
    ("KC-TLS-009", U, (port(FOREIGN=Q),)),
    ("KC-TLS-009", U, (unreached(),)),
    ("KC-TLS-009", U, (unreached(Role.PEERS),)),
    # A port that refuses everybody proves nothing.
    ("KC-TLS-009", U, (port(OWN=R),)),
    ("KC-TLS-009", U, (port(OWN=Q),)),
    ("KC-TLS-009", U, (port(OWN=T),)),
    ("KC-TLS-010", P, (port(),)),
    ("KC-TLS-010", P, (port(Role.PEERS),)),
    ("KC-TLS-010", F, (port(OLD_PROTOCOL=A),)),
    ("KC-TLS-010", F, (port(WEAK_SUITE=A),)),
    ("KC-TLS-010", F, (FOR_OTHERS,)),
    ("KC-TLS-010", U, (port(OLD_PROTOCOL=Q),)),
    ("KC-TLS-010", U, (port(WEAK_SUITE=Q),)),
    ("KC-TLS-010", U, (UNSEEN,)),
    ("KC-TLS-010", N, (PLAIN_ONLY,)),
    # Beside plaintext, TLS on the same port.
    ("KC-TLS-010", F, (port(PLAIN=A, WEAK_SUITE=A),)),
    ("KC-TLS-011", P, (port(),)),
    ("KC-TLS-011", F, (port(shown=served(6)),)),
    ("KC-TLS-011", F, (port(shown=served(20)),)),
    ("KC-TLS-011", F, (port(shown=served(-1)),)),
    ("KC-TLS-011", F, (port(shown=served(100, begun=-3)),)),
    ("KC-TLS-011", U, (UNSEEN,)),
    ("KC-TLS-011", N, (PLAIN_ONLY,)),
    ("KC-NET-002", P, (tried(Knock.REFUSED),)),
    ("KC-NET-002", P, (tried(Knock.SILENT, 6443),)),
    ("KC-NET-002", F, (tried(Knock.OPEN),)),
    ("KC-NET-002", U, (tried(Knock.SILENT),)),
    ("KC-NET-002", U, (tried(Knock.UNKNOWN),)),
    ("KC-NET-002", U, ()),
    ("KC-AUTH-002", P, (etcd_state(auth=True),)),
    ("KC-AUTH-002", P, (etcd_state(auth=True, others=None),)),
    ("KC-AUTH-002", F, (etcd_state(others=3),)),
    ("KC-AUTH-002", N, (etcd_state(),)),
    ("KC-AUTH-002", U, (etcd_state(auth=None),)),
    ("KC-AUTH-002", U, (etcd_state(auth=None, others=3),)),
    ("KC-AUTH-002", U, (etcd_state(others=None),)),
    ("KC-LOG-005", P, (etcd_state(), etcd(CORRUPTION))),
    ("KC-LOG-005", P, (etcd_state(), etcd("--experimental-compact-hash-check-enabled"))),
    ("KC-LOG-005", P, (etcd_state(), etcd("--experimental-initial-corrupt-check=true"))),
    ("KC-LOG-005", P, (etcd_state(), etcd("--corrupt-check-time=12h"))),
    ("KC-LOG-005", F, (etcd_state(alarms=(Alarm("1f", "NOSPACE"),)), etcd(CORRUPTION))),
    ("KC-LOG-005", F, (etcd_state(alarms=(Alarm("1f", "CORRUPT"),)), etcd(CORRUPTION))),
    ("KC-LOG-005", F, (etcd_state(), etcd())),
    ("KC-LOG-005", F, (etcd_state(), etcd("--corrupt-check-time=0s"))),
    ("KC-LOG-005", F, (etcd_state(), etcd("--feature-gates=InitialCorruptCheck=false"))),
    ("KC-LOG-005", F, (etcd_state(), etcd(CORRUPTION), etcd())),
    ("KC-LOG-005", U, (etcd_state(),)),
    ("KC-LOG-005", U, (etcd_state(alarms=None), etcd(CORRUPTION))),
    ("KC-LOG-005", U, (etcd_state(), etcd(**HIDDEN))),
    ("KC-VER-001", P, (member(),)),
    ("KC-VER-001", P, (member(), etcd(version=""))),
    ("KC-VER-001", F, (member("3.5.1"),)),
    ("KC-VER-001", F, (member(), member("3.6.1", "m2"))),
    ("KC-VER-001", F, (member(), etcd(version="3.5.1"))),
    ("KC-VER-001", U, (member("soon"),)),
    ("KC-VER-001", U, (member(), silent_member())),
    ("KC-VER-001", U, (silent_member(), etcd(version="3.7.3"))),
    ("KC-VER-002", P, (member(),)),
    ("KC-VER-002", F, (member("3.4.40"),)),
    ("KC-VER-002", U, (member("4.0.0"),)),
    ("KC-VER-002", U, (member(), silent_member())),
    ("KC-VER-003", P, (member(), member(name="m2"), running_server(), running_server(name="s2"))),
    ("KC-VER-003", P, (member(), running_server("v1.37.1"), running_server("v1.37.2", "s2"))),
    ("KC-VER-003", F, (member(), member("3.6.14", "m2"), running_server())),
    ("KC-VER-003", F, (member(), member("3.7.4", "m2"), running_server())),
    ("KC-VER-003", F, (member(), running_server(), running_server("v1.36.3", "s2"))),
    ("KC-VER-003", F, (member(), running_server("v1.26.0", "s1", "*.apps"))),
    ("KC-VER-003", P, (member(), running_server("v1.27.0", "s1", "*.apps"))),
    ("KC-VER-003", F, (member(), running_server("v1.28.9", kms="v2"))),
    ("KC-VER-003", P, (member(), running_server("v1.29.0", kms="v2"))),
    ("KC-VER-003", F, (member(), running_server(), server(RELOAD, version="1.25.3"))),
    ("KC-VER-003", P, (member(), running_server(), server(RELOAD, version="1.26.0"))),
    ("KC-VER-003", P, (member(), running_server(), server(RELOAD, version=""))),
    ("KC-VER-003", U, (member(), running_server("v1.25.1"), server(RELOAD, version=""))),
    ("KC-VER-003", U, (member(), running_server(), running_server("", "s2"), server(RELOAD, version=""))),
    ("KC-VER-003", U, ()),
    ("KC-VER-003", U, (member(), silent_member(), running_server())),
    ("KC-VER-003", U, (member("soon"), running_server())),
    ("KC-AUTH-003", P, (etcd(), server(), CA, API_SERVER, MEMBER, HEALTH)),
    ("KC-AUTH-003", F, (etcd(), server(), CA, API_SERVER, client("/pki/calico.crt", "CN=calico"))),
    ("KC-AUTH-003", F, (etcd(), server(), CA, client("/pki/c.crt", "CN=api,O=system:masters"))),
    ("KC-AUTH-003", U, (etcd(), server(), CA)),
    ("KC-AUTH-003", U, (etcd(), server(), API_SERVER)),
    ("KC-AUTH-003", U, (etcd(without=["trusted-ca-file"]), server(), CA, API_SERVER)),
    ("KC-AUTH-003", U, (etcd(), server(), CA, OTHER_CA, API_SERVER)),
    ("KC-AUTH-003", U, (etcd(), server(), CA, API_SERVER, UNREAD)),
    ("KC-AUTH-003", F, (etcd(), server(), CA, API_SERVER, client("/pki/calico.crt", "CN=calico"), UNREAD)),
    ("KC-TLS-013", P, (etcd(), CA, API_SERVER)),
    ("KC-TLS-013", U, (etcd(), CA, API_SERVER, UNREAD)),
    ("KC-TLS-013", F, (etcd(), CA, API_SERVER, client("/pki/x.crt", "CN=x", 32), UNREAD)),
    ("KC-TLS-013", F, (etcd(), CA, API_SERVER, client("/pki/x.crt", "CN=x", 32))),
    ("KC-TLS-013", U, (etcd(), CA)),
    ("KC-TLS-013", P, (WITH_LIST, LIST)),
    ("KC-TLS-013", F, (WITH_LIST, replace(LIST, next_update=NOON - timedelta(days=2)))),
    ("KC-TLS-013", U, (WITH_LIST, replace(LIST, next_update=None))),
    ("KC-TLS-013", U, (WITH_LIST, replace(LIST, path="/another"))),
    ("KC-TLS-013", F, (etcd("--peer-crl-file=/pki/crl"), LIST, CA, client("/pki/x.crt", "CN=x", 32))),
]
