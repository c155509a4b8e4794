"""Certificates renewed from the same CAs: new keys, the same names, and no folder that is ever half of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.pki.authority import Signing, Terms, create
from keyctl.pki.describe import Described
from keyctl.pki.folders import recover, replaced
from keyctl.pki.inventory import take
from keyctl.pki.issue import KeyKind
from keyctl.pki.parties import Client, Member
from keyctl.pki.renewal import due, mend, renew

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
MEMBERS = (Member("m1", ("10.0.0.1", "etcd1.test")), Member("m2", ("10.0.0.2",)))


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    root = tmp_path / "pki"
    terms = Terms(NOW, 40 * DAY, KeyKind.ECDSA)
    create(root, MEMBERS, [Client("a"), Client("b")], terms, ca_lifetime=3650 * DAY, one_ca=False)
    return root


def said(root: Path) -> dict[str, Described]:
    return {str(Path(one.path).relative_to(root)): one.described for one in take([root]).certificates}


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def chosen(root: Path, *, members: tuple[str, ...] = (), clients: tuple[str, ...] = (), within: int = 30) -> list[str]:
    found = due(root, members=members, clients=clients, now=NOW, within=within * DAY)
    return [one.party.name for one in found]


def test_what_ends_within_the_time_is_due_and_what_is_named_is_due_whenever_it_ends(pki: Path) -> None:
    assert chosen(pki, within=30) == []
    assert chosen(pki, within=60) == ["m1", "m2", "a", "b"]
    assert chosen(pki, members=("m2",), clients=("a",), within=30) == ["m2", "a"]


def test_the_earlier_of_a_members_two_ends_decides(pki: Path) -> None:
    former = files(pki)["members/m1/server.crt"]
    (one,) = due(pki, members=["m1"], clients=[], now=NOW, within=DAY)
    list(renew(pki, (one,), Terms(NOW, 300 * DAY)))
    assert chosen(pki, within=60) == ["m2", "a", "b"]
    (pki / "members" / "m1" / "server.crt").write_bytes(former)
    assert chosen(pki, within=60) == ["m1", "m2", "a", "b"]


def test_names_and_signers_stay_and_keys_are_new(pki: Path) -> None:
    before, bytes_before = said(pki), files(pki)
    renewals = due(pki, members=["m1"], clients=["a"], now=NOW, within=DAY)
    assert [one.party.name for one in renew(pki, renewals, Terms(NOW, 300 * DAY))] == ["m1", "a"]
    after, bytes_after = said(pki), files(pki)
    assert bytes_after.keys() == bytes_before.keys()
    changed = {name for name, content in bytes_after.items() if content != bytes_before[name]}
    assert changed == {
        *(f"members/m1/{stem}.{ending}" for stem in ("server", "peer") for ending in ("crt", "key")),
        *("clients/a/client.crt", "clients/a/client.key"),
    }
    for name in ("members/m1/server.crt", "members/m1/peer.crt", "clients/a/client.crt"):
        one, other = before[name], after[name]
        assert (one.subject, set(one.names), one.usages, one.issuer) == (
            other.subject,
            set(other.names),
            other.usages,
            other.issuer,
        )
        assert one.spki != other.spki
        assert other.not_after == (NOW + 300 * DAY).replace(microsecond=0)


@pytest.mark.parametrize(("members", "clients"), [(("m9",), ()), ((), ("m1",))])
def test_a_name_that_is_not_there_is_wrong_usage(pki: Path, members: tuple[str, ...], clients: tuple[str, ...]) -> None:
    with pytest.raises(WrongUsageError, match="has no"):
        chosen(pki, members=members, clients=clients)


def test_a_directory_without_anybody_and_a_certificate_that_cannot_be_read_are_said(pki: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="holds no members"):
        chosen(tmp_path / "elsewhere")
    (pki / "members" / "m1" / "peer.crt").write_text("hello")
    with pytest.raises(UnusableInputError, match=r"m1/peer\.crt"):
        chosen(pki)


@pytest.mark.parametrize("path", ["members/m1/peer", "members/m1/server", "clients/a/client"])
def test_what_has_other_names_than_a_renewal_would_give_is_not_renewed(pki: Path, path: str) -> None:
    other = {"members/m1/peer": "members/m2/peer", "members/m1/server": "members/m1/peer"}.get(path, "clients/b/client")
    (pki / f"{path}.crt").write_bytes((pki / f"{other}.crt").read_bytes())
    with pytest.raises(UnusableInputError, match="did not make"):
        chosen(pki)
    (pki / f"{path}.crt").write_bytes((pki / "ca.crt").read_bytes())
    with pytest.raises(UnusableInputError, match="did not make"):
        chosen(pki)


def test_a_failure_half_way_leaves_the_former_folder(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, made = files(pki), Signing.member

    def fail(self: Signing, member: Member, folder: Path) -> None:
        made(self, member, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(Signing, "member", fail)
    renewals = due(pki, members=["m1"], clients=[], now=NOW, within=DAY)
    with pytest.raises(KeyboardInterrupt):
        list(renew(pki, renewals, Terms(NOW, 300 * DAY)))
    assert files(pki) == before


def replace_stopped_at(place: Path, monkeypatch: pytest.MonkeyPatch, stop: Callable[[Path, Path], bool]) -> None:
    """Replace `place` and be interrupted at the first rename for which `stop` says so."""
    renamed = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if stop(self, target):
            raise KeyboardInterrupt
        return renamed(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            replace(place)


def replace(place: Path) -> None:
    with replaced(place) as draft:
        (draft / "new").write_text("new")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "m1"
    folder.mkdir(mode=0o700)
    (folder / "old").write_text("old")
    return folder


@pytest.mark.parametrize("way", ["away", "in"])
def test_an_interrupted_replacement_leaves_the_former_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def stop(old: Path, new: Path) -> bool:
        return (old if way == "away" else new) == place and "former" not in old.name

    replace_stopped_at(place, monkeypatch, stop)
    assert files(place.parent) == {"m1/old": b"old"}


def test_what_a_crash_between_the_two_renames_left_is_brought_back(place: Path) -> None:
    place.rename(place.with_name(".m1.former-ab12"))
    (place.with_name(".m2.former-cd34")).mkdir()
    (place.with_name("m2")).mkdir()
    recover(place.parent)
    assert sorted(path.name for path in place.parent.iterdir()) == ["m1", "m2"]
    assert files(place.parent) == {"m1/old": b"old"}


def test_what_a_crash_after_the_second_rename_left_is_erased(place: Path) -> None:
    former = place.with_name(".m1.former-ab12")
    former.mkdir()
    (former / "server.key").write_text("former")
    (former / "server.key").chmod(0o600)
    recover(place.parent)
    assert files(place.parent) == {"m1/old": b"old"}
    assert not former.exists()


def test_former_keys_are_overwritten_before_their_names_go(place: Path, tmp_path: Path) -> None:
    (place / "server.key").write_text("the former key")
    (place / "server.key").chmod(0o600)
    (tmp_path / "another-name").hardlink_to(place / "server.key")
    with replaced(place) as draft:
        (draft / "new").write_text("new")
    assert set((tmp_path / "another-name").read_bytes()) == {0}


def test_mending_looks_where_folders_are_replaced(pki: Path) -> None:
    for folder, name in (("members", "m1"), ("clients", "a")):
        (pki / folder / name).rename(pki / folder / f".{name}.former-ab12")
    mend(pki)
    assert (pki / "members" / "m1" / "peer.crt").is_file()
    assert (pki / "clients" / "a" / "client.crt").is_file()
