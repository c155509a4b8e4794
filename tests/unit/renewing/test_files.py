"""Keys with their certificates on a host: the two go together, or neither does; CA files that are not ours stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.pki.authority import Terms, create
from keyctl.pki.generation import Generation, Trust
from keyctl.pki.parties import Member
from keyctl.renewing import files
from keyctl.renewing.interface import Place
from keyctl.renewing.plan import Kind, Party
from tests.support.memory_host import MemoryHost
from tests.support.tls_site import FOLDER, files_in


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root, day = tmp_path_factory.mktemp("pki"), timedelta(days=1)
    terms, members = Terms(datetime.now(UTC), day), [Member("m1", ("127.0.0.1",))]
    made = [create(root / name, members, [], terms, ca_lifetime=2 * day, one_ca=False) for name in ("old", "new")]
    return made[0].member("m1"), made[1].member("m1")


@pytest.fixture
def place(folders: tuple[Path, Path]) -> Place:
    host = MemoryHost("m1")
    for name, content in files_in(folders[0]).items():
        host.place(f"{FOLDER}/{name}", content)
    generations = {Generation.OLD: files_in(folders[0]), Generation.NEW: files_in(folders[1])}
    return Place(Party(Kind.MEMBER, "m1"), host, FOLDER, generations, 60.0)


def on(place: Place, name: str) -> bytes:
    return files.read(place, name).content


def breaking(place: Place, monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool) -> Callable[..., HostFile]:
    """Let writes of `name` fail, before or after they happened; returns the real write."""
    real: Callable[..., HostFile] = place.host.write

    def write(path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        if not path.endswith(name):
            return real(path, content, expected=expected, in_place=in_place)
        if after:
            real(path, content, expected=expected, in_place=in_place)
        raise UnreachableError("host m1: connection lost")

    monkeypatch.setattr(place.host, "write", write)
    return real


def test_a_pair_is_written_whole_and_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (server, _) = files.pairs(place.files[Generation.NEW])
    files.write_pair(place, server)
    assert files.holds(place, server)
    breaking(place, monkeypatch, "server.key", after=False)
    files.write_pair(place, server)


def test_where_the_certificate_is_not_written_the_former_key_is_put_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (former, _), (server, _) = (files.pairs(place.files[one]) for one in Generation)
    breaking(place, monkeypatch, "server.crt", after=False)
    with pytest.raises(UnreachableError, match="connection lost"):
        files.write_pair(place, server)
    assert files.holds(place, former)


def test_where_the_certificate_was_written_and_nobody_heard_of_it_the_new_key_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server, _) = files.pairs(place.files[Generation.NEW])
    breaking(place, monkeypatch, "server.crt", after=True)
    with pytest.raises(UnreachableError, match="connection lost"):
        files.write_pair(place, server)
    assert files.holds(place, server)


def test_a_pair_that_was_cut_off_between_its_files_is_known_and_mended(place: Place) -> None:
    (server, _) = files.pairs(place.files[Generation.NEW])
    assert not files.torn(place)
    place.host.write(f"{FOLDER}/server.key", server.key, expected=files.read(place, "server.key").sha256)
    assert files.torn(place)
    files.write_pair(place, server)
    assert not files.torn(place)


def test_a_bundle_has_each_ca_once_and_one_ca_has_no_peers_file(place: Place) -> None:
    both = files.trusted(place.files, Trust.BOTH)
    assert set(both) == {"ca.crt", "peer-ca.crt"}
    assert {content.count(b"BEGIN CERTIFICATE") for content in both.values()} == {2}
    alone = {generation: {"ca.crt": held["ca.crt"]} for generation, held in place.files.items()}
    assert files.trusted(alone, Trust.NEW) == {"ca.crt": place.files[Generation.NEW]["ca.crt"]}


def test_ca_files_are_taken_by_their_certificates_and_those_of_others_are_left(place: Place) -> None:
    old = place.files[Generation.OLD]["ca.crt"]
    host = place.host
    commented = b"# etcd's\n" + old
    host.write(f"{FOLDER}/ca.crt", commented, expected=files.read(place, "ca.crt").sha256)
    files.write_trust(place, Trust.OLD)
    assert on(place, "ca.crt") == commented
    assert files.trusts(place, Trust.OLD)
    files.write_trust(place, Trust.BOTH)
    assert files.trusts(place, Trust.BOTH)
    third = old + place.files[Generation.OLD]["server.crt"]
    host.write(f"{FOLDER}/ca.crt", third, expected=files.read(place, "ca.crt").sha256)
    with pytest.raises(RefusedError, match="holds other CAs"):
        files.write_trust(place, Trust.NEW)
    assert on(place, "ca.crt") == third


def test_a_renewal_knows_of_one_generation_alone(place: Place) -> None:
    alone = replace(place, files={Generation.OLD: place.files[Generation.OLD]})
    files.write_trust(alone, Trust.OLD)
    assert files.trusts(alone, Trust.OLD)


def test_no_key_is_in_a_repr(place: Place) -> None:
    (server, _) = files.pairs(place.files[Generation.OLD])
    assert "PRIVATE" not in repr(server) + repr(place)


def test_on_a_full_disk_no_key_is_written_without_its_certificate(place: Place) -> None:
    (former, _), (server, _) = (files.pairs(place.files[one]) for one in Generation)
    assert isinstance(place.host, MemoryHost)
    place.host.free = 4096
    with pytest.raises(StoppedError, match="no room for a key and its certificate"):
        files.write_pair(place, server)
    assert files.holds(place, former)
