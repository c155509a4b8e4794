"""The mistakes that tutorials and courses teach are caught, each with its file and its line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from keyctl.audit.collect import collect
from keyctl.audit.engine import audit
from keyctl.audit.facts import Facts
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.findings import Status
from tests.unit.audit.given import ETCD_FLAGS, RANDOM_KEY, SERVER_FLAGS, TODAY, judgement

DATABASE = bytes(16) + b"\xed\xda\x0c\xed" + bytes(100)


def pod(name: str, flags: list[str]) -> str:
    """A static pod as kubeadm writes it."""
    words = "".join(f"    - {word}\n" for word in (name, *flags))
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: kube-system\nspec:\n  containers:\n"
        f"  - name: {name}\n    image: registry.k8s.io/{name}:3.7.3-0\n    command:\n{words}  hostNetwork: true\n"
    )


def encryption(body: str, *, kind: str = "EncryptionConfiguration", version: str = "apiserver.config.k8s.io/v1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nresources:\n{body}"


def without(flags: list[str], *names: str) -> list[str]:
    return [one for one in flags if one.partition("=")[0].removeprefix("--") not in names]


AESCBC = f"""\
  - resources:
      - secrets
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: {RANDOM_KEY}
      - identity: {{}}
"""
# Each moves one line of it to where it does not belong.
SECRET_BESIDE_NAME = AESCBC.replace("              secret:", "            secret:")
SECRET_BESIDE_KEYS = AESCBC.replace("              secret:", "          secret:")
KEYS_BESIDE_AESCBC = AESCBC.replace("          keys:", "        keys:")
PROVIDERS_INSIDE_RESOURCES = AESCBC.replace("    providers:", "      providers:")
TAB = AESCBC.replace("            - name", "\t    - name")

POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
TAUGHT: list[tuple[str, str, str, str]] = [
    (
        "KC-ENC-002",
        "etcd.yaml",
        "--encryption-provider-config",
        pod("etcd", [*ETCD_FLAGS, "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml"]),
    ),
    (
        "KC-ENC-003",
        "kube-apiserver.yaml",
        "--experimental-encryption-provider-config",
        pod("kube-apiserver", [*SERVER_FLAGS, "--experimental-encryption-provider-config=/etc/kubernetes/enc.yaml"]),
    ),
    ("KC-ENC-005", "enc.yaml", "kind: EncryptionConfig", encryption(AESCBC, kind="EncryptionConfig", version="v1")),
    ("KC-ENC-006", "enc.yaml", " secret:", encryption(SECRET_BESIDE_NAME)),
    ("KC-ENC-006", "enc.yaml", " secret:", encryption(SECRET_BESIDE_KEYS)),
    ("KC-ENC-006", "enc.yaml", " keys:", encryption(KEYS_BESIDE_AESCBC)),
    ("KC-ENC-006", "enc.yaml", " providers:", encryption(PROVIDERS_INSIDE_RESOURCES)),
    ("KC-ENC-006", "enc.yaml", "\t", encryption(TAB)),
    ("KC-ENC-006", "enc.yaml", "BASE 64", encryption(AESCBC.replace(RANDOM_KEY, "<BASE 64 ENCODED SECRET>"))),
    (
        "KC-ENC-007",
        "enc.yaml",
        "identity",
        encryption("- resources: [secrets]\n  providers:\n  - identity: {}\n  # aescbc goes here later\n"),
    ),
    (
        "KC-TLS-007",
        "etcd.yaml",
        "2379,http://",
        pod("etcd", [*ETCD_FLAGS, "--listen-client-urls=https://10.0.0.1:2379,http://127.0.0.1:2379"]),
    ),
    ("KC-TLS-003", "etcd.yaml", "--client-cert-auth", pod("etcd", without(ETCD_FLAGS, "trusted-ca-file"))),
    (
        "KC-LOG-002",
        "policy.yaml",
        "RequestResponse",
        f"{POLICY}- level: None\n  resources: [{{group: '', resources: [events]}}]\n- level: RequestResponse\n",
    ),
    (
        "KC-LOG-002",
        "policy.yaml",
        "level: Request",
        f"{POLICY}- level: Request\n  resources: [{{group: '', resources: [secrets]}}]\n- level: Metadata\n",
    ),
]


def failures(given: Facts, profile: str = "ci-static") -> set[tuple[str, str, int | None]]:
    """(check, file, line) of each failure."""
    done = audit(given, PROFILES[profile], bar=None)
    results = [one for check in done.checks for one in check.results if one.status is Status.FAIL]
    places = [(one.rule.id, one.verdict.location) for one in results]
    return {(id, Path(place.file or "").name, place.line) for id, place in places}


def line_of(text: str, words: str) -> int:
    (found,) = [number for number, line in enumerate(text.splitlines(), 1) if words in line]
    return found


@pytest.mark.parametrize(
    ("id", "name", "words", "text"), TAUGHT, ids=[f"{id} {words.strip()}" for id, _, words, _ in TAUGHT]
)
def test_a_mistake_is_found_in_its_file_at_its_line(id: str, name: str, words: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert (id, name, line_of(text, words)) in failures(collect([tmp_path], today=TODAY))


def test_the_same_text_without_the_mistake_is_right(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").write_text(encryption(AESCBC))
    (tmp_path / "etcd.yaml").write_text(pod("etcd", ETCD_FLAGS))
    (tmp_path / "kube-apiserver.yaml").write_text(pod("kube-apiserver", SERVER_FLAGS))
    (tmp_path / "policy.yaml").write_text(f"{POLICY}- level: Metadata\n")
    ids = {id for id, *_ in TAUGHT}
    assert [one for one in failures(collect([tmp_path], today=TODAY)) if one[0] in ids] == []


def test_one_ca_for_everything(tmp_path: Path) -> None:
    cluster, pki = "/etc/kubernetes/pki/ca.crt", tmp_path / "pki"
    flags = without(ETCD_FLAGS, "trusted-ca-file")
    server = pod("kube-apiserver", [*without(SERVER_FLAGS, "client-ca-file"), f"--client-ca-file={cluster}"])
    text = pod("etcd", [*flags, f"--trusted-ca-file={cluster}"])
    (tmp_path / "kube-apiserver.yaml").write_text(server)
    (tmp_path / "etcd.yaml").write_text(text)
    at = line_of(text, "--trusted-ca-file")
    assert ("KC-TLS-006", "etcd.yaml", at) in failures(collect([tmp_path], today=TODAY))
    # One CA under two names is one CA all the same.
    (pki / "etcd").mkdir(parents=True)
    for name in ("ca.crt", "etcd/ca.crt"):
        (pki / name).write_bytes(certificate(ca=True) if name == "ca.crt" else (pki / "ca.crt").read_bytes())
    (tmp_path / "kube-apiserver.yaml").write_text(server.replace(cluster, str(pki / "ca.crt")))
    (tmp_path / "etcd.yaml").write_text(text.replace(cluster, str(pki / "etcd" / "ca.crt")))
    assert ("KC-TLS-006", "etcd.yaml", at) in failures(collect([tmp_path], today=TODAY))
    (pki / "ca.crt").write_bytes(certificate(ca=True))
    assert ("KC-TLS-006", "etcd.yaml", at) not in failures(collect([tmp_path], today=TODAY))


def test_certificates_without_alternative_names(tmp_path: Path) -> None:
    """As `openssl x509 -req` makes them: nothing but a common name; the second of two stands at its own line."""
    chain = certificate(names=["etcd.example"]) + certificate()
    (tmp_path / "etcd.crt").write_bytes(chain)
    line = chain.decode().splitlines().index("-----BEGIN CERTIFICATE-----", 1) + 1
    found = failures(collect([tmp_path], today=TODAY))
    assert ("KC-TLS-012", "etcd.crt", line) in found
    assert ("KC-TLS-012", "etcd.crt", 1) not in {one for one in found if one[2] == 1}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_snapshot_that_others_can_read(mode: int, tmp_path: Path) -> None:
    taken = tmp_path / "snapshot-pre-upgrade.db"
    taken.write_bytes(DATABASE)
    taken.chmod(mode)
    # A database has no lines.
    assert ("KC-FS-005", taken.name, None) in failures(collect([tmp_path], today=TODAY), "host")


def test_a_snapshot_where_everybody_puts_files(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    (place / "snapshot.db").write_bytes(DATABASE)
    (place / "snapshot.db").chmod(0o600)
    taken = [one.message for one in judgement("KC-FS-005", collect([place], today=TODAY))]
    assert taken == [f"the snapshot lies in {place}, where everybody puts files"]
    place.chmod(0o700)
    (kept,) = judgement("KC-FS-005", collect([place], today=TODAY))
    assert "everybody" not in kept.message


def certificate(*, ca: bool = False, names: list[str] | None = None) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes-ca" if ca else "etcd")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=3650 if ca else 300))
    if ca:
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        made = made.add_extension(usage, critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
