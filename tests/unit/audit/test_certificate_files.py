"""What certificates and keys beside each other tell, on a kubeadm PKI and on what openssl's tutorials make."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from keyctl.audit.certificate_files import judge, place
from keyctl.audit.certificate_report import report
from keyctl.audit.certificate_users import Reached, named, of_cluster, of_kubeconfigs, of_programs
from keyctl.audit.checks.certificates import EXPIRY
from keyctl.audit.facts import Facts, Program
from keyctl.audit.sources.pem import fact_of
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Severity, Status
from keyctl.pki.inventory import take
from keyctl.pki.issue import Issued, Subject, Usage, issue, new_authority, write_pair
from tests.support.kubeadm_pki import ADDRESS, KubeadmPki
from tests.unit.audit.given import certificate, etcd, server, verdicts

TODAY = datetime.now(UTC).date()


def findings_in(
    *paths: Path, programs: Iterable[Program] = (), etcds: Iterable[Reached] = ()
) -> tuple[tuple[Finding, ...], ExitCode]:
    """What `certs check` says of `paths`, and its exit code."""
    inventory = take(paths)
    programs, etcds = tuple(programs), tuple(etcds)
    placed = place(inventory, of_kubeconfigs(inventory) | of_programs(programs) | of_cluster(etcds))
    said = (replace(fact_of(one.path, one.described), path=one.place) for one in inventory.certificates)
    findings = (*judge(placed, inventory, Facts(TODAY, (*programs, *said))), *named(etcds, placed))
    return findings, report(placed, inventory, findings, bar=Severity.MEDIUM, today=TODAY).exit_code


def wrong(*paths: Path, programs: Iterable[Program] = ()) -> dict[str, Finding]:
    """The failures, by id and the file's name; each has a mend."""
    failed = [one for one in findings_in(*paths, programs=programs)[0] if one.status is Status.FAIL]
    assert all(one.fix for one in failed)
    return {f"{one.id} {Path(one.location.file or '').name}": one for one in failed}


def unknown(*paths: Path) -> list[str]:
    return [f"{one.id}: {one.message}" for one in findings_in(*paths)[0] if one.status is Status.UNKNOWN]


@pytest.fixture
def kubeadm(tmp_path: Path) -> KubeadmPki:
    return KubeadmPki(tmp_path / "pki")


def test_a_fresh_kubeadm_directory_is_right(kubeadm: KubeadmPki) -> None:
    findings, code = findings_in(kubeadm.root)
    assert {one.status for one in findings} == {Status.PASS}
    assert code == ExitCode.OK
    judged = {one.id for one in findings}
    assert judged == {
        *("KC-TLS-006", "KC-TLS-008", "KC-TLS-011", "KC-TLS-012", "KC-FS-004"),
        *("KC-CRT-001", "KC-CRT-002", "KC-CRT-003"),
    }


def test_an_expiring_certificate_of_kubeadm_is_renewed_by_its_own_command(kubeadm: KubeadmPki) -> None:
    kubeadm.write("etcd/server", kubeadm.issue("etcd/ca", kubeadm.subject("etcd/server"), days=3))
    kubeadm.write("apiserver-etcd-client", kubeadm.issue("etcd/ca", kubeadm.subject("apiserver-etcd-client"), days=20))
    found = wrong(kubeadm.root)
    assert {key: (one.severity, one.fix) for key, one in found.items()} == {
        "KC-TLS-011 server.crt": (Severity.HIGH, "kubeadm certs renew etcd-server"),
        "KC-TLS-011 apiserver-etcd-client.crt": (Severity.MEDIUM, "kubeadm certs renew apiserver-etcd-client"),
    }


def test_a_directory_that_only_looks_like_kubeadms_is_not_mended_by_its_commands(kubeadm: KubeadmPki) -> None:
    kubeadm.authorities["etcd/ca"] = kubeadm.authority("my-ca")
    kubeadm.write("etcd/ca", kubeadm.authorities["etcd/ca"])
    for stem in ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"):
        days = 3 if stem == "etcd/server" else 300
        kubeadm.write(stem, kubeadm.issue("etcd/ca", kubeadm.subject(stem), days=days))
    found = wrong(kubeadm.root)
    assert {key: one.fix for key, one in found.items()} == {"KC-TLS-011 server.crt": EXPIRY.fix}


def test_a_key_of_another_certificate_is_found(kubeadm: KubeadmPki) -> None:
    other = kubeadm.issue("etcd/ca", kubeadm.subject("etcd/peer"))
    (kubeadm.root / "etcd" / "peer.key").write_bytes(other.private_key)
    (key, finding), *more = wrong(kubeadm.root).items()
    assert (key, more) == ("KC-CRT-001 peer.crt", [])
    assert "kubeadm init phase certs etcd-peer" in (finding.fix or "")


def test_two_keys_that_changed_places_are_found_at_both(kubeadm: KubeadmPki) -> None:
    one, other = (kubeadm.root / "etcd" / f"{stem}.key" for stem in ("server", "peer"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert set(wrong(kubeadm.root)) == {"KC-CRT-001 server.crt", "KC-CRT-001 peer.crt"}


def test_a_ca_that_was_made_anew_under_another_name_is_found_at_what_it_did_not_sign(kubeadm: KubeadmPki) -> None:
    kubeadm.write("etcd/ca", kubeadm.authority("another-ca"))
    assert {"KC-CRT-002 server.crt", "KC-CRT-002 peer.crt", "KC-TLS-008 apiserver-etcd-client.crt"} < set(
        wrong(kubeadm.root)
    )


def test_what_is_wrong_with_the_api_servers_pair_for_etcd_is_the_audits_own_rule(kubeadm: KubeadmPki) -> None:
    subject = kubeadm.subject("apiserver-etcd-client")
    kubeadm.write("apiserver-etcd-client", kubeadm.issue("ca", subject))
    (key, finding), *more = wrong(kubeadm.root).items()
    assert (key, more) == ("KC-TLS-008 apiserver-etcd-client.crt", [])
    assert finding.severity is Severity.CRITICAL
    assert "is checked against" in finding.message


def test_a_ca_that_was_made_anew_under_its_old_name_is_found_at_all_that_it_did_not_sign(kubeadm: KubeadmPki) -> None:
    kubeadm.write("etcd/ca", kubeadm.authority("etcd-ca"))
    found = wrong(kubeadm.root)
    assert set(found) == {
        "KC-CRT-002 server.crt",
        "KC-CRT-002 peer.crt",
        "KC-CRT-002 healthcheck-client.crt",
        "KC-TLS-008 apiserver-etcd-client.crt",
    }
    assert "another key" in found["KC-CRT-002 peer.crt"].message
    assert found["KC-CRT-002 peer.crt"].fix == "kubeadm certs renew etcd-peer"


def intermediate(root: Issued, name: str) -> Issued:
    """A CA that another one signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signer = x509.load_pem_x509_certificate(root.certificate)
    signer_key = serialization.load_pem_private_key(root.private_key, None)
    assert isinstance(signer_key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(signer.subject, subject, key.public_key(), 7, now, now + timedelta(days=3000))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Issued(
        made.sign(signer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), key.private_bytes(*form)
    )


def test_a_certificate_is_vouched_for_by_the_ca_of_its_ca(kubeadm: KubeadmPki) -> None:
    kubeadm.authorities["between"] = intermediate(kubeadm.authorities["etcd/ca"], "between")
    for stem in ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"):
        kubeadm.write(stem, kubeadm.issue("between", kubeadm.subject(stem)))
        with (kubeadm.root / f"{stem}.crt").open("ab") as file:
            file.write(kubeadm.authorities["between"].certificate)
    findings, code = findings_in(kubeadm.root, etcds=[reached(kubeadm.root, ADDRESS)])
    assert ({one.status for one in findings}, code) == ({Status.PASS}, ExitCode.OK)
    # The same with a CA in between that nobody here vouches for.
    foreign = new_authority("etcd-ca", now=kubeadm.now, lifetime=timedelta(days=3650))
    other = KubeadmPki(kubeadm.root.parent / "other")
    other.authorities["between"] = intermediate(foreign, "between")
    other.write("etcd/peer", other.issue("between", other.subject("etcd/peer")))
    with (other.root / "etcd" / "peer.crt").open("ab") as file:
        file.write(other.authorities["between"].certificate)
    assert set(wrong(other.root)) == {"KC-CRT-002 peer.crt"}


@pytest.mark.parametrize(
    ("what", "status", "severity"),
    [
        ({"signature_hash": "sha1"}, Status.FAIL, None),
        ({"signature_hash": "sha1", "issuer": "CN=/pki/c.crt", "is_ca": True}, Status.PASS, None),
        ({"is_server": False, "for_anything": True, "names": ()}, Status.FAIL, None),
        ({"is_server": False, "for_anything": True, "names": (), "is_ca": True}, Status.PASS, None),
        ({"is_server": False, "for_anything": True}, Status.FAIL, Severity.LOW),
    ],
)
def test_what_is_weak_about_a_certificate_is_the_audits_own_check(
    what: dict[str, Any], status: Status, severity: Severity | None
) -> None:
    (verdict,) = verdicts("KC-TLS-012", certificate(**what))
    assert (verdict.status, verdict.severity) == (status, severity)


def test_a_certificate_that_signs_and_is_no_ca_is_found(tmp_path: Path) -> None:
    now, day = datetime.now(UTC), timedelta(days=100)
    ca = new_authority("ca", now=now, lifetime=timedelta(days=4000))
    middle = issue(ca, Subject("middle", Usage.CLIENT), now=now, lifetime=day * 2)
    leaf = issue(middle, Subject("leaf", Usage.CLIENT), now=now, lifetime=day)
    for stem, issued in (("ca", ca), ("middle", middle), ("leaf", leaf)):
        write_pair(tmp_path, stem, issued)
    assert set(wrong(tmp_path)) == {"KC-CRT-002 leaf.crt"}


def test_one_ca_for_etcd_and_the_cluster_is_found_whatever_its_file_is_called(kubeadm: KubeadmPki) -> None:
    kubeadm.authorities["etcd/ca"] = kubeadm.authorities["ca"]
    kubeadm.write("etcd/ca", kubeadm.authorities["ca"])
    for stem in ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"):
        kubeadm.write(stem, kubeadm.issue("etcd/ca", kubeadm.subject(stem)))
    assert set(wrong(kubeadm.root)) == {"KC-TLS-006 ca.crt"}


@pytest.mark.parametrize("stem", ["etcd/server", "etcd/peer"])
def test_a_members_certificate_that_is_only_a_clients_is_found(kubeadm: KubeadmPki, stem: str) -> None:
    kubeadm.write(stem, kubeadm.issue("etcd/ca", Subject("cp1", Usage.CLIENT)))
    found = wrong(kubeadm.root)
    assert set(found) == {f"KC-CRT-003 {Path(stem).name}.crt"}


def test_a_peers_certificate_that_is_only_a_servers_is_found(kubeadm: KubeadmPki) -> None:
    kubeadm.write("etcd/peer", kubeadm.issue("etcd/ca", replace(kubeadm.subject("etcd/peer"), usage=Usage.SERVER)))
    assert set(wrong(kubeadm.root)) == {"KC-CRT-003 peer.crt"}


def test_a_key_that_others_can_read_is_found(kubeadm: KubeadmPki) -> None:
    (kubeadm.root / "etcd" / "server.key").chmod(0o640)
    (found,) = wrong(kubeadm.root).values()
    assert (found.id, found.fix) == ("KC-FS-004", f"chmod 600 {kubeadm.root}/etcd/server.key")


def test_a_signer_that_was_not_looked_at_is_unknown_and_never_right(kubeadm: KubeadmPki) -> None:
    findings, code = findings_in(kubeadm.root / "etcd" / "server.crt")
    assert [one.id for one in findings if one.status is Status.UNKNOWN] == ["KC-CRT-002"]
    assert code == ExitCode.UNEVALUATED


def test_a_key_with_a_password_is_unknown_and_never_right(kubeadm: KubeadmPki) -> None:
    key = kubeadm.root / "etcd" / "server.key"
    key.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    assert [line.partition(":")[0] for line in unknown(kubeadm.root)] == ["KC-CRT-001"]


def test_a_certificate_that_cannot_be_read_is_unknown_and_never_right(kubeadm: KubeadmPki) -> None:
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (kubeadm.root / "broken.crt").write_text(broken)
    assert findings_in(kubeadm.root)[1] == ExitCode.UNEVALUATED
    assert unknown(kubeadm.root) == ["KC-CRT-002: not read: certificate 1 of it cannot be read"]


def test_nothing_found_is_not_clean(tmp_path: Path) -> None:
    assert findings_in(tmp_path)[1] == ExitCode.UNEVALUATED


def test_flags_say_who_uses_a_certificate_that_is_called_anything(tmp_path: Path) -> None:
    kubeadm = KubeadmPki(tmp_path / "pki")
    kubeadm.write("one", kubeadm.issue("etcd/ca", Subject("one", Usage.CLIENT)))
    kubeadm.write("two", kubeadm.issue("ca", Subject("two", Usage.CLIENT)))
    root = kubeadm.root
    of_etcd = etcd(
        f"--peer-cert-file={root}/one.crt", f"--peer-key-file={root}/two.key", f"--trusted-ca-file={root}/etcd/ca.crt",
        f"--peer-trusted-ca-file={root}/etcd/ca.crt",
        without=("peer-cert-file", "peer-key-file", "trusted-ca-file", "peer-trusted-ca-file"),
    )  # fmt: skip
    of_server = server(
        f"--etcd-certfile={root}/two.crt",
        f"--client-ca-file={root}/ca.crt",
        without=("etcd-certfile", "client-ca-file"),
    )
    found = wrong(root, programs=(of_etcd, of_server))
    assert set(found) == {"KC-CRT-003 one.crt", "KC-CRT-001 one.crt", "KC-TLS-008 two.crt"}
    assert "two.key is not the key of CN=one" in found["KC-CRT-001 one.crt"].message


def test_a_template_in_a_flag_says_nothing(kubeadm: KubeadmPki) -> None:
    assert of_programs([etcd("--cert-file={{ dir }}/server.crt", without=["cert-file"])]).keys() == {
        "/pki/etcd/peer.crt"
    }


def reached(root: Path, *hosts: str, key: str = "apiserver-etcd-client.key") -> Reached:
    return Reached(f"{root}/etcd/ca.crt", f"{root}/apiserver-etcd-client.crt", f"{root}/{key}", hosts)


def test_each_address_of_the_cluster_file_is_named_by_a_certificate_of_etcds_ca(kubeadm: KubeadmPki) -> None:
    root = kubeadm.root
    findings, code = findings_in(root, etcds=[reached(root, ADDRESS, "CP1", "::1")])
    assert code == ExitCode.OK
    assert sum("server.crt names" in one.message for one in findings) == 3
    # The API server's certificate names it, and is of another CA; a peer's is shown to no client.
    peer = replace(kubeadm.subject("etcd/peer"), names=("other",))
    kubeadm.write("etcd/peer", kubeadm.issue("etcd/ca", peer))
    assert [one.id for one in findings_in(root, etcds=[reached(root, "other")])[0] if one.status is Status.FAIL] == [
        "KC-CRT-003"
    ]
    findings, code = findings_in(root, etcds=[reached(root, "10.96.0.1")])
    assert [one.id for one in findings if one.status is Status.FAIL] == ["KC-CRT-003"]
    assert code == ExitCode.FINDINGS


def test_an_address_is_unknown_where_no_server_of_etcd_was_looked_at(kubeadm: KubeadmPki) -> None:
    root = kubeadm.root
    paths = (root / "etcd" / "ca.crt", root / "apiserver-etcd-client.crt", root / "apiserver-etcd-client.key")
    assert findings_in(*paths)[1] == ExitCode.OK
    assert findings_in(*paths, etcds=[reached(root, ADDRESS)])[1] == ExitCode.UNEVALUATED


def test_the_cluster_files_own_pair_must_be_one(kubeadm: KubeadmPki) -> None:
    root = kubeadm.root
    findings, _ = findings_in(root, etcds=[reached(root, key="etcd/peer.key")])
    assert [one.id for one in findings if one.status is Status.FAIL] == ["KC-TLS-008"]


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [
        ("*.example.com", "etcd1.example.com", True),
        ("*.example.com", "a.etcd1.example.com", False),
        ("*.com", "example.com", True),
        ("Etcd1", "etcd1", True),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("10.0.0.1", "10.0.0.10", False),
        ("*", "etcd1", False),
    ],
)
def test_a_name_covers_what_tls_says_it_covers(tmp_path: Path, name: str, host: str, covered: bool) -> None:
    now = datetime.now(UTC)
    ca = new_authority("ca", now=now, lifetime=timedelta(days=4000))
    addresses = (name,) if ":" in name or name[0].isdigit() else ()
    subject = Subject("x", Usage.SERVER, names=() if addresses else (name,), addresses=addresses)
    write_pair(tmp_path, "ca", ca)
    write_pair(tmp_path, "x", issue(ca, subject, now=now, lifetime=timedelta(days=300)))
    findings, _ = findings_in(tmp_path, etcds=[Reached(f"{tmp_path}/ca.crt", "", "", (host,))])
    (said,) = (one.status for one in findings if one.id == "KC-CRT-003")
    assert said is (Status.PASS if covered else Status.FAIL)


def made(*extensions: x509.ExtensionType, name: str = "etcd", signer: Issued | None = None, ca: bool = True) -> Issued:
    """A certificate with these extensions, as openssl makes it of its configuration: of its own, or of `signer`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    by = x509.load_pem_x509_certificate(signer.certificate).subject if signer else subject
    built = x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now).not_valid_after(now + timedelta(days=3000))
    for extension in (x509.BasicConstraints(ca, None), *extensions):
        built = built.add_extension(extension, critical=False)
    signing = serialization.load_pem_private_key(signer.private_key, None) if signer else key
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = built.sign(signing, hashes.SHA256())
    return Issued(signed.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form))


ASKS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
BOTH = x509.ExtendedKeyUsage([*SERVES, *ASKS])
CALLED = x509.SubjectAlternativeName([x509.DNSName("etcd-ca")])
AT_HOME = x509.SubjectAlternativeName([x509.IPAddress(ip_address("10.0.0.1"))])
ENCIPHERS = x509.KeyUsage(False, False, True, False, False, False, False, False, False)


@pytest.mark.parametrize(
    ("stem", "extensions", "said"),
    [
        pytest.param("etcd", (), "no alternative names", id="openssl req -x509, beside its key"),
        pytest.param("ca", (AT_HOME,), "looks like a server's", id="one that names an address"),
        pytest.param("etcd/server", (AT_HOME,), "stands there as etcd's server and is a CA", id="in etcd's place"),
        pytest.param("apiserver-etcd-client", (), "stands there as etcd's client and is a CA", id="a client's place"),
    ],
)
def test_a_ca_that_is_used_as_a_server_or_client_is_found(
    tmp_path: Path, stem: str, extensions: tuple[x509.ExtensionType, ...], said: str
) -> None:
    (tmp_path / "etcd").mkdir()
    write_pair((tmp_path / stem).parent, (tmp_path / stem).name, made(*extensions))
    (about,) = (one for key, one in wrong(tmp_path).items() if key.startswith("KC-TLS-012"))
    assert said in about.message
    assert "keyctl certs init" in (about.fix or "")


@pytest.mark.parametrize("stem", ["ca", "etcd-ca", "my.ca", "RootCA", "cluster-root", "trust-bundle"])
def test_a_ca_that_is_called_one_is_no_servers_certificate(tmp_path: Path, stem: str) -> None:
    write_pair(tmp_path, stem, made())
    assert wrong(tmp_path) == {}


def test_a_ca_that_signed_somebody_is_one_whatever_its_file_is_called(tmp_path: Path) -> None:
    authority = made(AT_HOME)
    write_pair(tmp_path, "some", authority)
    write_pair(tmp_path, "client", made(ASKS, name="c", signer=authority, ca=False))
    assert wrong(tmp_path) == {}


def test_usages_of_a_ca_are_limits_for_what_it_signs(kubeadm: KubeadmPki) -> None:
    kubeadm.authorities["etcd/ca"] = made(SERVES, CALLED, name="etcd-ca")
    kubeadm.write("etcd/ca", kubeadm.authorities["etcd/ca"])
    for stem in ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"):
        kubeadm.write(stem, kubeadm.issue("etcd/ca", kubeadm.subject(stem)))
    found = wrong(kubeadm.root)
    # The server's is asked to serve, and no more.
    peer, health, api = (
        "KC-CRT-003 peer.crt",
        "KC-CRT-003 healthcheck-client.crt",
        "KC-TLS-008 apiserver-etcd-client.crt",
    )
    assert set(found) == {peer, health, api}
    assert "etcd/ca.crt, which signed it, is not for clients" in found[peer].message


def test_a_ca_whose_key_usage_forbids_it_signs_nobody(tmp_path: Path) -> None:
    authority = made(ENCIPHERS, name="ca")
    write_pair(tmp_path, "ca", authority)
    write_pair(tmp_path, "client", made(ASKS, name="c", signer=authority, ca=False))
    assert set(wrong(tmp_path)) == {"KC-CRT-002 client.crt"}


def test_a_servers_key_usage_that_grpc_refuses_is_found(kubeadm: KubeadmPki) -> None:
    served = made(AT_HOME, BOTH, ENCIPHERS, name="cp1", signer=kubeadm.authorities["etcd/ca"], ca=False)
    kubeadm.write("etcd/server", served)
    (key, finding), *more = wrong(kubeadm.root).items()
    assert (key, more, finding.severity) == ("KC-CRT-003 server.crt", [], Severity.MEDIUM)
    assert "kubeadm init phase certs etcd-server" in (finding.fix or "")


def kubeconfig(
    kubeadm: KubeadmPki,
    name: str = "admin.conf",
    *,
    ca: str = "ca",
    days: int = 300,
    user: dict[str, str] | None = None,
) -> Path:
    """A kubeconfig beside the directory, as kubeadm writes it; with `user` in the place of its embedded pair."""
    issued = kubeadm.issue(ca, Subject("kubernetes-admin", Usage.CLIENT, ("kubeadm:cluster-admins",)), days=days)
    pair = {"client-certificate-data": encoded(issued.certificate), "client-key-data": encoded(issued.private_key)}
    authority = encoded(kubeadm.authorities["ca"].certificate)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user or pair}],
    }
    path = kubeadm.root.parent / name
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def test_the_certificates_in_a_kubeconfig_are_looked_at_like_all_others(kubeadm: KubeadmPki) -> None:
    path = kubeconfig(kubeadm)
    findings, code = findings_in(kubeadm.root.parent)
    about = {one.id for one in findings if one.location.file == str(path)}
    assert code == ExitCode.OK
    assert about >= {"KC-TLS-011", "KC-CRT-001", "KC-CRT-002", "KC-CRT-003", "KC-FS-004"}
    assert findings_in(path)[1] == ExitCode.OK


def test_one_in_a_kubeconfig_that_expires_is_renewed_by_kubeadms_own_command(kubeadm: KubeadmPki) -> None:
    kubeconfig(kubeadm, days=3)
    mine = kubeconfig(kubeadm, "mine.yaml", days=3)
    mine.chmod(0o644)
    inventory = take([kubeadm.root.parent])
    findings, _ = findings_in(kubeadm.root.parent)
    (table,) = report(place(inventory, {}), inventory, findings, bar=None, today=TODAY).tables
    states = {(row[2], row[0]) for row in table.rows if row[1].endswith("admin.conf")}
    assert states == {("client", "high"), ("CA", "ok")}
    assert {key: one.fix for key, one in wrong(kubeadm.root.parent).items()} == {
        "KC-TLS-011 admin.conf": "kubeadm certs renew admin.conf",
        "KC-TLS-011 mine.yaml": EXPIRY.fix,
        "KC-FS-004 mine.yaml": f"chmod 600 {mine}",
    }


def test_one_in_a_kubeconfig_of_another_ca_and_one_with_another_key_are_found(kubeadm: KubeadmPki) -> None:
    kubeconfig(kubeadm, ca="front-proxy-ca")
    one, other = (kubeadm.issue("ca", Subject("x", Usage.CLIENT)) for _ in range(2))
    mixed = {"client-certificate-data": encoded(one.certificate), "client-key-data": encoded(other.private_key)}
    kubeconfig(kubeadm, "mixed", user=mixed)
    assert set(wrong(kubeadm.root.parent)) == {"KC-CRT-002 admin.conf", "KC-CRT-001 mixed"}


def test_a_file_that_a_kubeconfig_names_is_looked_at_wherever_it_is(kubeadm: KubeadmPki, tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "conf"
    elsewhere.mkdir()
    folder.mkdir()
    write_pair(elsewhere, "kubelet", kubeadm.issue("ca", Subject("system:node:x", Usage.CLIENT), days=3))
    named = {"client-certificate": "../elsewhere/kubelet.crt", "client-key": "../elsewhere/kubelet.key"}
    path = kubeconfig(kubeadm, "conf/kubelet.conf", user=named)
    assert set(wrong(folder)) == {"KC-TLS-011 kubelet.crt"}
    (elsewhere / "kubelet.crt").unlink()
    assert any("is not there" in one for one in unknown(path))
    (elsewhere / "kubelet.key").unlink()
    empty = {"client-certificate-data": "", "client-certificate": "absent.crt"}
    (one,) = unknown(kubeconfig(kubeadm, "conf/empty.conf", user=empty))
    assert "absent.crt, is not there" in one
    both = {"client-certificate": "both.pem", "client-key": "both.pem"}
    assert len(unknown(kubeconfig(kubeadm, "conf/both.conf", user=both))) == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("users: [{user: {client-certificate-data: '???'}}]", id="no base64"),
        pytest.param("users: [{user: {client-certificate-data: aGVsbG8=}}]", id="no certificate"),
        pytest.param("users: [{user: {client-certificate-data: aGVsbG8=}}", id="no YAML"),
        pytest.param(f"users: [{{user: {{client-certificate: {'x' * 4096}}}}}]", id="a name that no file has"),
        pytest.param('{"users": [{"user": {"client-certificate": "\\u0000"}}]}', id="a name that none can have"),
    ],
)
def test_a_kubeconfig_that_cannot_be_read_is_not_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert len(unknown(tmp_path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "users: []",
        "users: 7\nclient-certificate: x",
        "clusters: [7, {cluster: 7}]\nusers: [{user: {client-certificate: {a: b}, token: x}}]",
        "--kubelet-client-certificate=/x.crt\nusers: a",
        "client-certificate: [ and how that is to be read",
    ],
)
def test_what_names_no_certificate_is_nothing_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert unknown(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("etcd.der", b"\x30\x82\x01\x0a"),
        ("etcd.crt", b"\x30\x82\x01\x0a"),
        ("etcd.crt", b""),
        ("etcd.crt", b"  -----BEGIN CERTIFICATE-----\n  AAAA\n  -----END CERTIFICATE-----\n"),
        ("etcd.p12", b"\x30"),
        ("server", b"-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n"),
    ],
)
def test_what_is_called_a_certificate_and_cannot_be_read_is_not_passed_over(
    kubeadm: KubeadmPki, name: str, content: bytes
) -> None:
    (kubeadm.root / name).write_bytes(content)
    assert len(unknown(kubeadm.root)) == 1
    assert findings_in(kubeadm.root)[1] == ExitCode.UNEVALUATED


def test_each_certificate_of_a_file_is_mended_in_its_own_way(kubeadm: KubeadmPki) -> None:
    short = new_authority("etcd-ca", now=kubeadm.now, lifetime=timedelta(days=300))
    kubeadm.authorities["etcd/ca"] = short
    leaf = kubeadm.issue("etcd/ca", kubeadm.subject("etcd/server"), days=299)
    (kubeadm.root / "etcd" / "server.crt").write_bytes(leaf.certificate + short.certificate)
    about = wrong(kubeadm.root)["KC-TLS-011 server.crt"]
    assert "etcd-ca" in about.message
    assert about.fix == EXPIRY.fix


def test_a_name_for_mail_is_no_name_of_a_server(tmp_path: Path) -> None:
    authority, mail = made(name="ca"), x509.SubjectAlternativeName([x509.RFC822Name("ops@example.com")])
    write_pair(tmp_path, "ca", authority)
    write_pair(tmp_path, "etcd", made(SERVES, mail, signer=authority, ca=False))
    assert "without alternative names" in wrong(tmp_path)["KC-TLS-012 etcd.crt"].message


def test_of_several_common_names_the_last_is_the_user_as_etcd_takes_it(tmp_path: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    names = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in ("first", "last")])
    built = x509.CertificateBuilder(names, names, key.public_key(), 7, now, now + timedelta(days=1))
    signed = built.sign(key, hashes.SHA256())
    (tmp_path / "two.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    assert [one.described.common_name for one in take([tmp_path]).certificates] == ["last"]
