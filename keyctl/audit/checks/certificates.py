"""Certificates: whose CA they are of, how long they last, how strong they are, and which ciphers may be spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from keyctl.audit.checks.check import API_SERVERS, CERTIFICATES, ETCDS, Check, Subjects, check, check_beside, known
from keyctl.audit.checks.etcd_ports import PORTS, agrees_to_strong, without_tls
from keyctl.audit.checks.mappings import TLS
from keyctl.audit.facts import About, CertificateFact, Facts, Placed, Program
from keyctl.audit.live.probes import PortAnswers
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.findings import Rule, Severity, Status
from keyctl.stored.display import display

SHARED_CA = Rule(
    "KC-TLS-006",
    Severity.HIGH,
    "etcd trusts the CA of the cluster",
    "With one CA for everything each kubelet's and each user's certificate opens etcd, past all authorization. What "
    "counts is the certificate, not the name of its file.",
    "make a CA for etcd alone",
    "CIS Kubernetes Benchmark 1.12, 2.7",
    TLS,
)
WEAK_CIPHERS = Rule(
    "KC-TLS-010",
    Severity.HIGH,
    "old protocols or weak ciphers are allowed",
    "Suites with RC4, 3DES, CBC, or without forward secrecy can be broken or read later. What is not said is chosen by "
    "Go, which offers none of these. A running port is tried with TLS 1.1 and with RC4, 3DES and RSA key exchange, and "
    "must show a certificate for the name by which it is asked.",
    "delete the option, or list suites with ECDHE and GCM or CHACHA20 only",
    "crypto/tls of Go, CipherSuites and InsecureCipherSuites",
    ("stig/V-242418", "nist-800-53/SC-13", *TLS),
)
EXPIRY = Rule(
    "KC-TLS-011",
    Severity.HIGH,
    "a certificate is expired or expires soon",
    "When a certificate of etcd expires the API server loses its storage at that minute.",
    "renew it: kubeadm certs renew all, or what made it",
    "",
    ("nist-800-53/SC-17", *TLS),
)
WEAK_CERTIFICATE = Rule(
    "KC-TLS-012",
    Severity.MEDIUM,
    "a certificate is weaker than it should be",
    "RSA keys under 2048 bits and curves under 256 are within reach; one key in two certificates makes two parties "
    "one; a server's certificate without alternative names is refused by every Go program.",
    "issue a new one, with a key of its own and with its names",
    "crypto/x509 of Go since 1.15 ignores the common name",
    TLS,
)

_ALL: Subjects[Program | PortAnswers] = Subjects(
    About.PROGRAM, lambda facts: (*API_SERVERS.of(facts), *ETCDS.of(facts), *PORTS.of(facts))
)
_SHOWN: Subjects[CertificateFact | PortAnswers] = Subjects(
    About.CERTIFICATE, lambda facts: (*CERTIFICATES.of(facts), *PORTS.of(facts))
)
_WEAK_SUITE = re.compile(r"RC4|3DES|_CBC_|NULL|EXPORT|MD5|^TLS_RSA_WITH")
_OLD = frozenset({"VersionTLS10", "VersionTLS11", "TLS1.0", "TLS1.1"})
_FAILS, _WARNS, _CA_WARNS = timedelta(days=7), timedelta(days=30), timedelta(days=365)
_LEAST_BITS = {"RSA": 2048, "EC": 256}
_BROKEN_HASHES = frozenset({"md5", "sha1"})
_NAME_IT = (
    "issue it anew with its names: keyctl certs init makes all that etcd needs; openssl x509 -req takes -extfile FILE "
    "with subjectAltName=IP:10.0.0.1,DNS:etcd1 and extendedKeyUsage=serverAuth in it"
)


@check_beside(SHARED_CA, ETCDS)
def ca_of_its_own(etcd: Program, facts: Facts) -> Iterator[Verdict]:
    """The CA that etcd trusts beside the one that the API server trusts."""
    trusted = etcd.given("trusted-ca-file")
    cluster = [found for server in facts.api_servers if (found := known(server, "client-ca-file"))]
    if trusted is None:
        yield unknown(f"which CA {etcd.name} trusts is not known", etcd)
        return
    same = [one for one in cluster if one.value == trusted.value]
    if same or _keys(facts, trusted.value) & {key for one in cluster for key in _keys(facts, one.value)}:
        yield failed("etcd trusts the CA whose certificates the API server takes from every client", trusted)
    elif cluster and all(_keys(facts, one.value) for one in (trusted, *cluster)):
        yield passed("etcd has a CA of its own", trusted)
    else:
        yield unknown("whether two files hold one CA needs the certificates themselves", trusted)


@check(WEAK_CIPHERS, _ALL)
def strong_ciphers(program: Program | PortAnswers) -> Iterator[Verdict]:
    """Versions and suites that are allowed by name, and those that a port agrees to."""
    if isinstance(program, PortAnswers):
        yield from agrees_to_strong(program)
        return
    suites = program.setting("tls-cipher-suites" if program.about is About.API_SERVER else "cipher-suites")
    oldest = program.setting("tls-min-version")
    weak = [one for one in suites.known.split(",") if _WEAK_SUITE.search(one.strip())] if suites else []
    if oldest and oldest.known in _OLD:
        yield failed(f"{oldest.written}={oldest.known}", oldest)
    if suites and weak:
        yield failed(f"{suites.written} has {weak[0].strip()}", suites)
    elif not (oldest and oldest.known in _OLD):
        # The benchmark wants a list; without one Go takes none but good suites.
        literal = Status.PASS if suites else Status.FAIL
        yield passed(f"{program.name} allows no weak cipher", suites or program, literal=literal)


@check_beside(EXPIRY, _SHOWN)
def not_expiring(certificate: CertificateFact | PortAnswers, facts: Facts) -> Iterator[Verdict]:
    """How long each certificate still lasts, and each one that a port shows."""
    now = datetime(facts.today.year, facts.today.month, facts.today.day, tzinfo=UTC)
    if isinstance(certificate, CertificateFact):
        begins, left = certificate.not_before - now, certificate.not_after - now
        yield _lasting(certificate.subject, certificate, begins, left, is_ca=certificate.is_ca)
    elif served := certificate.survey.served:
        called = f"{display(served.subject)}, which {certificate.name} shows,"
        begins, left = served.not_before - now, served.not_after - now
        yield _lasting(called, certificate, begins, left, is_ca=False)
    else:
        untold = unknown(f"which certificate {certificate.name} shows was not seen", certificate)
        yield without_tls(certificate) or untold


def _lasting(called: str, at: Placed, begins: timedelta, left: timedelta, *, is_ca: bool) -> Verdict:
    message = f"{called} {_until(left)}"
    if begins >= timedelta(days=1):
        return failed(f"{called} is not valid yet", at)
    if left < _FAILS:
        return failed(message, at)
    if left < _WARNS or (is_ca and left < _CA_WARNS):
        return failed(message, at, severity=Severity.MEDIUM)
    return passed(message, at)


@check_beside(WEAK_CERTIFICATE, CERTIFICATES)
def strong_certificates(certificate: CertificateFact, facts: Facts) -> Iterator[Verdict]:
    """Keys, names, and keys that stand in two certificates."""
    subject, bits = certificate.subject, certificate.key_bits
    least = _LEAST_BITS.get(certificate.key_type)
    twins = [one.subject for one in facts.certificates if one.spki == certificate.spki and one.subject != subject]
    if least is None and certificate.key_type != "Ed25519":
        yield unknown(f"how strong a key of {subject} is, {certificate.key_type}, is not known", certificate)
    elif least and bits < least:
        yield failed(f"{subject} has a key of {bits} bits", certificate)
    elif certificate.signature_hash in _BROKEN_HASHES and certificate.issuer != subject:
        yield failed(f"{subject} is signed over {certificate.signature_hash}", certificate)
    elif certificate.is_server and not certificate.names:
        yield failed(f"{subject} is a server's certificate without alternative names", certificate, fix=_NAME_IT)
    elif certificate.for_anything and not certificate.is_ca and not certificate.names:
        message = f"{subject} says neither what it is for nor a name: it passes for a client, and never for a server"
        yield failed(message, certificate, fix=_NAME_IT)
    elif twins:
        yield failed(f"{subject} has the key of {twins[0]}", certificate)
    elif certificate.for_anything and not certificate.is_ca:
        message = f"{subject} has no extended key usage: whoever has it is a client and a server"
        yield failed(message, certificate, severity=Severity.LOW)
    else:
        yield passed(f"{subject}: {certificate.key_type} {bits or ''}".rstrip(), certificate)


def _keys(facts: Facts, path: str) -> frozenset[str]:
    """The public keys in the file that a host has at `path`."""
    return frozenset(one.spki for one in facts.certificates if one.path == path)


def _until(left: timedelta) -> str:
    days = left.days
    count = "1 day" if abs(days) == 1 else f"{abs(days)} days"
    return f"expired {count} ago" if days < 0 else f"expires in {count}"


CHECKS: tuple[Check, ...] = (
    ca_of_its_own,
    strong_ciphers,
    not_expiring,
    strong_certificates,
)
