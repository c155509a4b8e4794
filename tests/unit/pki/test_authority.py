"""The directory of an etcd's certificates: what is made, how private it is, and that nothing is ever overwritten."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from keyctl.errors import KeyctlError, RefusedError, UnusableInputError, WrongUsageError
from keyctl.pki import authority
from keyctl.pki.authority import Terms, add, create
from keyctl.pki.describe import Described
from keyctl.pki.inventory import take
from keyctl.pki.issue import KeyKind
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from keyctl.pki.trust import Link, Match, pair_of, signer_of

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)
MEMBERS = (Member("m1", ("10.0.0.1", "etcd1.test")), Member("m2", ("10.0.0.2",)))
CLIENTS = (Client("kube-apiserver"),)


def made(root: Path, *, one_ca: bool = False, kind: KeyKind | None = None) -> Layout:
    return create(root, MEMBERS, CLIENTS, Terms(NOW, YEAR, kind), ca_lifetime=10 * YEAR, one_ca=one_ca)


def described(root: Path) -> dict[str, Described]:
    return {
        str(Path(one.path).relative_to(root)).removesuffix(".crt"): one.described for one in take([root]).certificates
    }


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", [None, *KeyKind])
def test_each_certificate_has_its_usage_its_names_its_own_key_and_the_right_signer(
    tmp_path: Path, kind: KeyKind | None
) -> None:
    made(tmp_path / "pki", kind=kind)
    found = described(tmp_path / "pki")
    assert {name: (one.serves, one.asks) for name, one in found.items() if not one.is_ca} == {
        "members/m1/server": (True, False),
        "members/m1/peer": (True, True),
        "members/m2/server": (True, False),
        "members/m2/peer": (True, True),
        "clients/kube-apiserver/client": (False, True),
    }
    assert set(found["members/m1/peer"].names) == {"10.0.0.1", "etcd1.test"}
    assert set(found["members/m1/server"].names) == {"10.0.0.1", "etcd1.test", "localhost", "127.0.0.1", "::1"}
    assert {one.key_type for one in found.values()} == {
        {KeyKind.RSA: "RSA", KeyKind.ED25519: "Ed25519"}.get(kind or KeyKind.ECDSA, "EC")
    }
    inventory = take([tmp_path / "pki"])
    keys = [one.described.spki for one in inventory.certificates if not one.described.is_ca]
    assert len(set(keys)) == len(keys) == 5
    for one in inventory.certificates:
        signer, pair = signer_of(one, inventory), pair_of(one, inventory)
        assert signer.by is not None
        assert (signer.link, pair.match) == (Link.ITSELF if one.described.is_ca else Link.SIGNED, Match.OWN)
        if not one.described.is_ca:
            peer = Path(one.path).name == "peer.crt"
            assert signer.by.described.common_name == ("etcd-peer-ca" if peer else "etcd-ca")


def test_one_ca_may_sign_all_where_that_is_asked_for(tmp_path: Path) -> None:
    layout = made(tmp_path / "pki", one_ca=True)
    assert not layout.has_peer_ca
    assert {one.issuer for one in described(tmp_path / "pki").values()} == {"CN=etcd-ca"}
    assert not (layout.member("m1") / "peer-ca.crt").exists()


def test_keys_are_private_in_private_folders_and_a_cas_key_is_in_no_folder_that_leaves(tmp_path: Path) -> None:
    root = made(tmp_path / "pki").root
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.suffix == ".key"} == {0o600}
    assert {path.name for path in modes if path.suffix == ".key" and path.parent != root} == {
        "server.key",
        "peer.key",
        "client.key",
    }


def test_an_empty_directory_is_taken_and_made_private(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir(mode=0o755)
    made(tmp_path / "pki")
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["file", "directory", "link", "link to nothing"])
def test_what_is_there_stays(tmp_path: Path, what: str) -> None:
    place = tmp_path / "pki"
    if what == "file":
        place.write_text("mine")
    elif what == "directory":
        place.mkdir()
        (place / "mine").write_text("mine")
    else:
        if what == "link":
            (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*")), tree(tmp_path)
    with pytest.raises(RefusedError, match="is not overwritten"):
        made(place)
    assert (sorted(tmp_path.rglob("*")), tree(tmp_path)) == before


def test_what_comes_into_the_place_meanwhile_stays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "pki"

    def meanwhile(*_: object) -> None:
        place.mkdir()
        (place / "mine").write_text("mine")

    monkeypatch.setattr(authority, "_fill", meanwhile)
    with pytest.raises(RefusedError, match="is not overwritten"):
        made(place)
    assert tree(tmp_path) == {"pki/mine": b"mine"}


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="would outlive its authority"):
        create(tmp_path / "pki", MEMBERS, CLIENTS, Terms(NOW, 2 * YEAR), ca_lifetime=YEAR, one_ca=False)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="cannot make"):
        made(tmp_path / "absent" / "pki")


def test_one_more_is_signed_by_the_same_cas_and_changes_nothing_that_is_there(tmp_path: Path) -> None:
    root = made(tmp_path / "pki", kind=KeyKind.ED25519).root
    before = tree(root)
    add(root, [Member("m3", ("10.0.0.3",))], [Client("backup")], Terms(NOW, YEAR))
    after = tree(root)
    assert {name: content for name, content in after.items() if name in before} == before
    found = described(root)
    assert found["members/m3/peer"].issuer == "CN=etcd-peer-ca"
    assert found["clients/backup/client"].key_type == "Ed25519"
    assert {one.match for one in (pair_of(cert, take([root])) for cert in take([root]).certificates)} == {Match.OWN}


def test_none_of_several_is_issued_when_one_is_there_already(tmp_path: Path) -> None:
    root = made(tmp_path / "pki").root
    before = tree(root)
    with pytest.raises(RefusedError, match="members/m1 exists"):
        add(root, [Member("m3", ("10.0.0.3",)), MEMBERS[0]], [], Terms(NOW, YEAR))
    with pytest.raises(RefusedError, match="clients/kube-apiserver exists"):
        add(root, [Member("m3", ("10.0.0.3",))], CLIENTS, Terms(NOW, YEAR))
    assert tree(root) == before


def replaced(root: Path, name: str, content: bytes | None) -> None:
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
        (root / name).chmod(0o600)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("absent", "cannot be used"),
        ("open", "can be used by others"),
        ("linked", "is a symbolic link"),
        ("foreign", "is not the key of"),
        ("leaf", "is no CA"),
        ("garbage", "can be read from"),
    ],
)
def test_a_ca_that_cannot_sign_signs_nothing(tmp_path: Path, wrong: str, words: str) -> None:
    root = made(tmp_path / "pki").root
    match wrong:
        case "absent":
            replaced(root, "ca.key", None)
        case "open":
            (root / "ca.key").chmod(0o640)
        case "linked":
            (root / "ca.key").rename(tmp_path / "kept")
            (root / "ca.key").symlink_to(tmp_path / "kept")
        case "foreign":
            replaced(root, "ca.key", (root / "peer-ca.key").read_bytes())
        case "leaf":
            for ending in ("crt", "key"):
                replaced(root, f"ca.{ending}", (root / "members" / "m1" / f"server.{ending}").read_bytes())
        case _:
            replaced(root, "ca.key", b"hello")
    before = sorted(root.rglob("*"))
    with pytest.raises(UnusableInputError, match=words) as caught:
        add(root, [Member("m3", ("10.0.0.3",))], [], Terms(NOW, YEAR))
    assert "keys.directory" not in "".join(caught.value.hints)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("members", "clients", "words"),
    [((), (), "nobody"), ((MEMBERS[0], MEMBERS[0]), (), "m1 is named twice"), ((), CLIENTS * 2, "is named twice")],
)
def test_nobody_and_two_of_one_name_are_wrong_usage(
    tmp_path: Path, members: tuple[Member, ...], clients: tuple[Client, ...], words: str
) -> None:
    with pytest.raises(WrongUsageError, match=words):
        create(tmp_path / "pki", members, clients, Terms(NOW, YEAR), ca_lifetime=YEAR, one_ca=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "m1",
        "m1=",
        "m1=,",
        "=10.0.0.1",
        "../m1=10.0.0.1",
        ".=10.0.0.1",
        "m1=10.0.0.256",
        "m1=10.0.0.1:2379",
        "m1=[::1]",
        "m1=*.example.com",
        "m1=Etcd1",
        "m1=a..b",
        f"{'m' * 64}=10.0.0.1",
        f"m1={'a.' * 127}aa",
        "m1=https://10.0.0.1",
    ],
)
def test_a_member_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(WrongUsageError) as caught:
        Member.parse(text)
    assert caught.value.hints


def test_a_member_is_read_with_all_of_its_hosts() -> None:
    assert Member.parse("m1=10.0.0.1, fd00::1,etcd1.example.com,10.0.0.1") == Member(
        "m1", ("10.0.0.1", "fd00::1", "etcd1.example.com")
    )


def test_no_repr_and_no_error_shows_a_private_key(tmp_path: Path) -> None:
    layout = made(tmp_path / "pki")
    inventory = take([layout.root])
    secrets = [line for path in layout.root.rglob("*.key") for line in path.read_text().splitlines()[1:-1]]
    texts = [repr(layout), repr(inventory), repr(authority._load(layout, "ca"))]
    replaced(layout.root, "ca.key", (layout.root / "ca.key").read_bytes().replace(b"PRIVATE", b"PRIVATF"))
    with pytest.raises(KeyctlError) as caught:
        add(layout.root, [], [Client("x")], Terms(NOW, YEAR))
    texts += [str(caught.value), str(caught.value.cause)]
    assert [text for text in texts for secret in secrets if secret in text] == []


def test_names_of_a_certificate_are_of_their_kinds(tmp_path: Path) -> None:
    layout = made(tmp_path / "pki")
    pem = (layout.member("m1") / "server.crt").read_bytes()
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {"10.0.0.1", "127.0.0.1", "::1"}
    assert set(names.get_values_for_type(x509.DNSName)) == {"etcd1.test", "localhost"}
