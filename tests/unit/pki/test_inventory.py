"""Certificates and keys in files: what is found, what is said of what is not read, and what belongs together."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from keyctl.errors import UnusableInputError
from keyctl.pki import inventory
from keyctl.pki.inventory import Inventory, take
from keyctl.pki.issue import Issued, Subject, Usage, issue, new_authority, write_pair
from keyctl.pki.roles import role_of
from keyctl.pki.trust import Link, Match, pair_of, signer_of

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CA = new_authority("ca", now=NOW, lifetime=9 * DAY)


def leaf(name: str = "leaf") -> Issued:
    return issue(CA, Subject(name, Usage.CLIENT), now=NOW, lifetime=DAY)


def keys_of(found: Inventory) -> dict[str, str]:
    return {one.described.common_name: pair_of(one, found).match.name for one in found.certificates}


def test_every_certificate_of_a_bundle_is_found_and_one_that_is_broken_hides_none(tmp_path: Path) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "bundle.pem").write_bytes(b"text\n" + leaf().certificate + broken + CA.certificate)
    found = take([tmp_path])
    assert [(one.described.common_name, one.number) for one in found.certificates] == [("leaf", 1), ("ca", 3)]
    assert [(Path(one.path).name, one.reason) for one in found.unread] == [
        ("bundle.pem", "certificate 2 of it cannot be read")
    ]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="there is no"):
        take([tmp_path / "absent"])


def test_a_path_that_may_not_be_looked_at_is_an_error_and_no_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(UnusableInputError, match="cannot be looked at"):
        take([tmp_path])


def test_a_file_that_is_named_twice_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(tmp_path, "ca", CA)
    monkeypatch.chdir(tmp_path)
    found = take([tmp_path, Path("ca.crt"), Path()])
    assert (len(found.certificates), len(found.keys), found.looked) == (1, 1, 2)


def test_nothing_waits_for_a_pipe_and_no_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.crt")
    (tmp_path / "loop").symlink_to(tmp_path)
    write_pair(tmp_path, "ca", CA)
    assert len(take([tmp_path]).certificates) == 1


def test_a_file_that_is_too_large_is_said_where_it_has_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "_LIMIT", 1000)
    (tmp_path / "large.crt").write_bytes(CA.certificate + b"#" * 1000)
    (tmp_path / "large.txt").write_bytes(b"#" * 2000)
    found = take([tmp_path])
    assert [Path(one.path).name for one in found.unread] == ["large.crt"]


def test_what_may_not_be_opened_or_listed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(tmp_path, "ca", CA)
    (tmp_path / "closed").mkdir()
    opened, listed = Path.open, os.scandir

    def refuse(self: Path, mode: str = "r") -> object:
        if self.name == "ca.key":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode)

    def refuse_listing(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "scandir", refuse_listing)
    found = take([tmp_path])
    assert {(Path(one.path).name, one.reason) for one in found.unread} == {
        ("ca.key", "permission denied"),
        ("closed", "permission denied"),
    }


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("a.crt", "a.key"),
        ("a.pem", "a-key.pem"),
        ("a.pem", "a.key.pem"),
        ("server-cert.pem", "server-key.pem"),
        ("cert.pem", "key.pem"),
        ("a.pem", "a.pem"),
    ],
)
def test_a_key_is_known_by_the_names_that_its_makers_give_it(tmp_path: Path, certificate: str, key: str) -> None:
    own, other = leaf(), leaf("other")
    for pair, match in ((own, "OWN"), (other, "OTHER")):
        for path in tmp_path.iterdir():
            path.unlink()
        with (tmp_path / certificate).open("ab") as file:
            file.write(own.certificate)
        with (tmp_path / key).open("ab") as file:
            file.write(pair.private_key)
        assert keys_of(take([tmp_path])) == {"leaf": match}


def test_a_key_of_any_name_is_found_when_it_matches_and_none_is_no_mistake(tmp_path: Path) -> None:
    own = leaf()
    (tmp_path / "a.crt").write_bytes(own.certificate)
    (tmp_path / "unrelated.key").write_bytes(CA.private_key)
    assert keys_of(take([tmp_path])) == {"leaf": "ABSENT"}
    (tmp_path / "anything").write_bytes(own.private_key)
    assert keys_of(take([tmp_path])) == {"leaf": "OWN"}


def test_a_key_with_a_password_is_neither_its_own_nor_anothers(tmp_path: Path) -> None:
    own = leaf()
    (tmp_path / "a.crt").write_bytes(own.certificate)
    key = serialization.load_pem_private_key(own.private_key, None)
    secret = serialization.BestAvailableEncryption(b"a password")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "a.key").write_bytes(key.private_bytes(*form, secret))
    found = take([tmp_path])
    (pair,) = (pair_of(one, found) for one in found.certificates)
    assert pair.match is Match.UNREADABLE
    assert pair.key is not None
    assert pair.key.problem == "it has a password"


def test_of_two_cas_of_one_name_the_one_whose_key_signed_is_the_signer(tmp_path: Path) -> None:
    write_pair(tmp_path, "one", new_authority("ca", now=NOW, lifetime=9 * DAY))
    (tmp_path / "leaf.crt").write_bytes(leaf().certificate)
    found = take([tmp_path])
    (signer,) = (signer_of(one, found) for one in found.certificates if not one.described.is_ca)
    assert signer.link is Link.OTHER_KEY
    write_pair(tmp_path, "two", CA)
    found = take([tmp_path])
    (signer,) = (signer_of(one, found) for one in found.certificates if not one.described.is_ca)
    assert (signer.link, signer.by and Path(signer.by.path).name) == (Link.SIGNED, "two.crt")


def test_a_certificate_that_names_itself_as_issuer_and_was_signed_by_another_did_not_sign_itself(
    tmp_path: Path,
) -> None:
    write_pair(tmp_path, "ca", CA)
    (tmp_path / "leaf.crt").write_bytes(leaf("ca").certificate)
    found = take([tmp_path])
    (signer,) = (signer_of(one, found) for one in found.certificates if not one.described.is_ca)
    assert (signer.link, signer.by and Path(signer.by.path).name) == (Link.SIGNED, "ca.crt")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/etc/kubernetes/pki/etcd/server.crt", "etcd's server"),
        ("pki/apiserver-etcd-client.crt", "etcd's client"),
        ("/srv/pki/members/m1/peer.crt", "etcd's peer"),
        ("/srv/pki/clients/backup/client.crt", "etcd's client"),
        ("server.crt", None),
        ("pki/etcd/ca.crt", None),
        ("/srv/pki/members/m1/ca.crt", None),
    ],
)
def test_a_place_tells_what_a_certificate_is_for_or_nothing(path: str, what: str | None) -> None:
    role = role_of(path)
    assert (role.what if role else None) == what


def test_a_certificate_of_certs_init_is_renewed_or_issued_anew_by_a_command_that_names_it() -> None:
    role = role_of("/srv/pki/members/m1/peer.crt")
    assert role is not None
    assert role.renew == "keyctl certs renew /srv/pki --member m1"
    assert role.anew == "move members/m1 away, then: keyctl certs issue /srv/pki --member m1=HOST"
