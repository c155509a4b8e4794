"""TLS of etcd as etcd itself understands its settings, which is not always how they read."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.addresses import is_loopback
from keyctl.audit.checks.check import API_SERVERS, ETCDS, Check, Subjects, check, check_beside
from keyctl.audit.checks.mappings import TLS
from keyctl.audit.checks.pairs import other_key
from keyctl.audit.facts import About, Facts, Program
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed
from keyctl.findings import Rule, Severity, Status

_SOURCE = "etcd client/pkg/transport and server/embed"

CERTIFICATE = Rule(
    "KC-TLS-001",
    Severity.CRITICAL,
    "etcd has no certificate of its own for clients",
    "Without --cert-file and --key-file clients cannot tell etcd from somebody between, and nothing is encrypted on "
    "the way.",
    "give both --cert-file and --key-file",
    _SOURCE,
    ("stig/V-242427", "stig/V-242428", *TLS),
)
CLIENTS = Rule(
    "KC-TLS-002",
    Severity.CRITICAL,
    "etcd asks its clients for no certificate",
    "Whoever reaches the port reads and writes everything. --trusted-ca-file alone asks for certificates too, whatever "
    "--client-cert-auth says.",
    "give --client-cert-auth=true and --trusted-ca-file",
    _SOURCE,
    ("stig/V-242423", *TLS),
)
NO_CA = Rule(
    "KC-TLS-003",
    Severity.CRITICAL,
    "etcd asks for certificates and names no CA for them",
    "--client-cert-auth=true without --trusted-ca-file lets in any certificate that the operating system's list of CAs "
    "vouches for. The same holds for peers.",
    "give --trusted-ca-file, and --peer-trusted-ca-file for peers",
    _SOURCE,
    ("nist-800-53/SC-17", *TLS),
)
AUTO_TLS = Rule(
    "KC-TLS-004",
    Severity.HIGH,
    "etcd makes its own certificates, which nobody can check",
    "--auto-tls and --peer-auto-tls encrypt without proving who is there. Beside certificates that are given they do "
    "nothing; then only frameworks mind.",
    "delete the flag, and give certificates of a CA",
    _SOURCE,
    ("stig/V-242379", "stig/V-242380", *TLS),
)
PEERS = Rule(
    "KC-TLS-005",
    Severity.CRITICAL,
    "members of etcd do not prove themselves to each other",
    "A peer that needs no certificate can join in the traffic that holds every value.",
    "give --peer-cert-file, --peer-key-file, --peer-client-cert-auth=true and --peer-trusted-ca-file",
    _SOURCE,
    ("stig/V-242426", "stig/V-242432", "stig/V-242433", *TLS),
)
PLAIN_URL = Rule(
    "KC-TLS-007",
    Severity.CRITICAL,
    "a URL of etcd is not https",
    "For a URL with http etcd ignores certificates and client authentication and only logs a warning: an http listener "
    "beside an https one is a door without a lock. On loopback every process of the host, and every pod on the host's "
    "network, goes through it.",
    "write https, or delete the URL",
    _SOURCE,
    TLS,
)
OPTIONS = Rule(
    "KC-TLS-014",
    Severity.MEDIUM,
    "an option of etcd takes away a check",
    "--peer-skip-client-san-verification lets a peer come from anywhere with any certificate of the CA; --cors=* lets "
    "pages of any site talk to etcd through a browser.",
    "delete the option",
    _SOURCE,
    TLS,
)

_BOTH = Subjects(About.ETCD, lambda facts: (*ETCDS.of(facts), *API_SERVERS.of(facts)))
_CLIENT_URLS = ("listen-client-urls", "advertise-client-urls", "listen-client-http-urls")
_PEER_URLS = ("listen-peer-urls", "initial-advertise-peer-urls", "initial-cluster")
# Where these are not given, etcd listens on http://localhost.
_DEFAULTS = {"listen-client-urls": 2379, "listen-peer-urls": 2380}


@check_beside(CERTIFICATE, ETCDS)
def client_certificate(etcd: Program, facts: Facts) -> Iterator[Verdict]:
    """Certificate and key for clients, and that they are a pair."""
    missing = [name for name in ("cert-file", "key-file") if not etcd.given(name)]
    if missing:
        yield failed(f"{etcd.name} has no {' and no '.join(f'--{name}' for name in missing)}", etcd)
    elif wrong := other_key(etcd, "cert-file", "key-file", facts):
        yield wrong
    else:
        yield passed(f"{etcd.name} has a certificate for clients", etcd.given("cert-file") or etcd)


@check(CLIENTS, ETCDS)
def clients_authenticate(etcd: Program) -> Iterator[Verdict]:
    """Whether clients need a certificate, in effect."""
    ca, switch = etcd.given("trusted-ca-file"), etcd.switched("client-cert-auth")
    literal = Status.PASS if switch else Status.FAIL
    if ca or switch:
        yield passed(f"{etcd.name} asks clients for certificates", switch or ca or etcd, literal=literal)
    else:
        at = etcd.setting("client-cert-auth") or etcd
        yield failed(f"{etcd.name} asks clients for no certificate", at, literal=literal)


@check(NO_CA, ETCDS)
def authenticated_by_a_ca(etcd: Program) -> Iterator[Verdict]:
    """A CA wherever certificates are asked for."""
    wrong = False
    for switch, ca in (("client-cert-auth", "trusted-ca-file"), ("peer-client-cert-auth", "peer-trusted-ca-file")):
        on = etcd.switched(switch)
        if on and not etcd.given(ca):
            wrong = True
            yield failed(f"{on.written} without --{ca}: any certificate that the system trusts is let in", on)
    if not wrong:
        yield passed(f"{etcd.name} asks for no certificate without a CA for it", etcd)


@check(AUTO_TLS, ETCDS)
def no_certificates_of_its_own(etcd: Program) -> Iterator[Verdict]:
    """The two automatic modes."""
    wrong = False
    for switch, certificate in (("auto-tls", "cert-file"), ("peer-auto-tls", "peer-cert-file")):
        on = etcd.switched(switch)
        if on and etcd.given(certificate):
            wrong = True
            message = f"{on.written} does nothing beside --{certificate}"
            yield failed(message, on, severity=Severity.LOW, literal=Status.FAIL)
        elif on:
            wrong = True
            yield failed(f"{on.written}: certificates that nobody can check", on)
    if not wrong:
        yield passed(f"{etcd.name} makes no certificates of its own", etcd)


@check_beside(PEERS, ETCDS)
def peers_authenticate(etcd: Program, facts: Facts) -> Iterator[Verdict]:
    """Certificate, key and authentication between members."""
    missing = [f"--{name}" for name in ("peer-cert-file", "peer-key-file") if not etcd.given(name)]
    ca, switch = etcd.given("peer-trusted-ca-file"), etcd.switched("peer-client-cert-auth")
    literal = Status.PASS if switch and not missing else Status.FAIL
    if not (ca or switch):
        missing.append("--peer-client-cert-auth")
    if wrong := other_key(etcd, "peer-cert-file", "peer-key-file", facts):
        yield wrong
    elif not missing:
        yield passed(f"members prove themselves to {etcd.name}", switch or ca or etcd, literal=literal)
    elif _is_single(etcd):
        yield not_applicable("single-member", f"{etcd.name} is the only member: no {', no '.join(missing)}", etcd)
    else:
        at = etcd.setting("peer-client-cert-auth") or etcd
        yield failed(f"{etcd.name} has no {', no '.join(missing)}", at, literal=literal)


@check(PLAIN_URL, _BOTH)
def only_https(program: Program) -> Iterator[Verdict]:
    """Every URL that etcd listens on, advertises, or is reached at."""
    if program.about is About.API_SERVER:
        yield from _servers(program)
        return
    wrong = False
    for name in (*_CLIENT_URLS, *_PEER_URLS):
        for url in program.urls(name):
            if url.scheme not in ("https", "unixs"):
                wrong = True
                yield failed(f"--{name} has {url.text}: no TLS and no authentication there", url)
    for url in program.urls("listen-metrics-urls"):
        if url.scheme == "http" and not is_loopback(url.host):
            wrong = True
            yield failed(
                f"--listen-metrics-urls has {url.text}, which is open to others", url, severity=Severity.MEDIUM
            )
    for name, port in _DEFAULTS.items():
        if not program.urls(name):
            wrong = True
            yield failed(f"{program.name} has no --{name} and listens on http://localhost:{port}", program)
    if not wrong:
        yield passed(f"{program.name} speaks https only", program.setting("listen-client-urls") or program)


@check(OPTIONS, ETCDS)
def no_check_taken_away(etcd: Program) -> Iterator[Verdict]:
    """Options that weaken TLS or the browser's guard."""
    skip, cors = etcd.switched("peer-skip-client-san-verification"), etcd.setting("cors")
    if skip:
        yield failed(f"{skip.written}: the names in peers' certificates are not looked at", skip)
    if cors and "*" in cors.known.split(","):
        yield failed(f"{cors.written}=*: pages of any site may ask", cors, severity=Severity.LOW)
    elif not skip:
        yield passed(f"{etcd.name} leaves the checks as they are", etcd)


def _servers(server: Program) -> Iterator[Verdict]:
    urls = server.urls("etcd-servers")
    if not urls:
        yield failed(f"{server.name} has no --etcd-servers", server, severity=Severity.HIGH)
        return
    overrides = server.urls("etcd-servers-overrides")
    if all(url.scheme == "unix" for url in (*urls, *overrides)):
        yield not_applicable("kine", f"{server.name} stores behind a socket, in no etcd", urls[0])
        return
    plain = [("etcd-servers", url) for url in urls if url.scheme not in ("https", "unix")]
    plain += [("etcd-servers-overrides", url) for url in overrides if url.scheme not in ("https", "unix")]
    for name, url in plain:
        yield failed(f"--{name} has {url.text}: Secrets travel in plaintext", url)
    if not plain:
        yield passed(f"{server.name} reaches etcd by https", urls[0])


def _is_single(etcd: Program) -> bool:
    members = etcd.setting("initial-cluster")
    if members is None or len([one for one in members.known.split(",") if one.strip()]) != 1:
        return False
    # Whoever reaches the port of a single member can join it.
    urls = etcd.urls("listen-peer-urls")
    return all(is_loopback(url.host) for url in urls)


CHECKS: tuple[Check, ...] = (
    client_certificate,
    clients_authenticate,
    authenticated_by_a_ca,
    no_certificates_of_its_own,
    peers_authenticate,
    only_https,
    no_check_taken_away,
)
