"""What nodes are to load, and what they report, on a real OpenBao: by a rotator and a node, never by half."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from keyctl.errors import RefusedError, UnreachableError, UnusableInputError
from keyctl.keys.distribution import Rendition, Report, ReportedFile, Wanted
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace
from keyctl.keys.vault.transport import Answer, Transport, UnansweredError
from tests.support import bao_store
from tests.support.openbao import RunningBao

pytestmark = pytest.mark.live

_ONE = Wanted("kind: EncryptionConfiguration\r\nsecret: AAEC\n", None)
_TWO = Wanted("two ä\t#\n", _ONE.sha256, ("id",), in_place=True)
_PATH = "clusters/prod/current"


def shared(bao: RunningBao, mount: str, *roles: Role, transport: type[Transport] = Transport) -> VaultDistribution:
    place = VaultPlace(mount, "clusters/prod")
    names = [bao.policy(f"{mount}-{role}", policy(role, place)) for role in roles]
    token = bao.token(*names, no_default_policy=True) if names else None
    values = bao_store.client(bao, mount, token=token, transport=transport)
    return VaultDistribution(values, place, cluster="prod", servers=("cp1", "cp2"))


def report(seq: int, content: bytes | None) -> Report:
    return Report("cp1", seq, (ReportedFile("/enc.yaml", content, 0o600),), "", "2026-11-21T10:00:05+00:00", 5)


def test_what_a_rotator_wants_a_node_reads_byte_by_byte(bao, mount):
    rotator, node = shared(bao, mount, Role.ROTATOR), shared(bao, mount, Role.NODE_READER)
    assert node.current() is None
    assert rotator.want("cp1", _ONE) == 1
    assert rotator.want("cp1", _ONE) == 1
    assert rotator.want("cp2", _TWO) == 2
    found = node.current()
    assert found == Rendition(2, {"cp1": _ONE, "cp2": _TWO})
    assert found.files["cp2"].sha256 == "sha256:" + hashlib.sha256("two ä\t#\n".encode()).hexdigest()
    assert "AAEC" not in repr(found)
    assert rotator.want("cp2", None) == 3
    assert node.current() == Rendition(3, {"cp1": _ONE})
    with pytest.raises(UnreachableError):
        node.want("cp1", _TWO)


def test_what_a_node_reports_a_rotator_reads(bao, mount):
    rotator, node = shared(bao, mount, Role.ROTATOR), shared(bao, mount, Role.NODE_READER)
    assert rotator.reported("cp1") is None
    for seq, content in ((0, None), (1, b"\0\xff raw"), (2, b"")):
        node.report(report(seq, content))
        found = rotator.reported("cp1")
        assert found is not None
        assert (found, found.free, found.at) == (report(seq, content), 5, "2026-11-21T10:00:05+00:00")
    assert rotator.reported("cp2") is None
    with pytest.raises(UnreachableError):
        node.reported("cp1")


def test_a_rotator_sees_every_file_that_is_wanted_or_was_reported_by_whomever_and_a_node_none_of_them(bao, mount):
    rotator, node = shared(bao, mount, Role.ROTATOR), shared(bao, mount, Role.NODE_READER)
    assert rotator.traces() == ()
    rotator.want("cp1", _ONE)
    for server, content in (("cp1", b"one"), ("cp9", b"nine"), ("cp2", None)):
        node.report(replace(report(1, content), server=server))
    found = {(one.server, one.wanted, one.content) for one in rotator.traces()}
    assert found == {("cp1", True, _ONE.text.encode()), ("cp1", False, b"one"), ("cp9", False, b"nine")}
    (gone,) = (one for one in rotator.traces() if one.server == "cp9")
    assert gone.erase == f"bao kv metadata delete -mount={mount} clusters/prod/applied/cp9"
    bao.ask("DELETE", f"{mount}/metadata/{gone.entry}")
    assert {one.server for one in rotator.traces()} == {"cp1"}
    with pytest.raises(UnreachableError):
        node.traces()


def test_no_older_version_stays_of_what_was_wanted_or_reported(bao, mount):
    rotator, node = shared(bao, mount, Role.ROTATOR), shared(bao, mount, Role.NODE_READER)
    rotator.want("cp1", _ONE)
    for seq in (1, 2):
        node.report(report(seq, b"old" if seq == 1 else b"new"))
    rotator.want("cp1", _TWO)
    for path in (_PATH, "clusters/prod/applied/cp1"):
        assert bao.status_of("GET", f"{mount}/data/{path}?version=1") == 404
        assert bao.status_of("GET", f"{mount}/data/{path}?version=2") == 200


def test_of_reports_from_before_any_publication_the_newest_alone_is_kept(bao, mount):
    node = shared(bao, mount, Role.NODE_READER)
    for seq in (1, 2):
        node.report(report(seq, b"old" if seq == 1 else b"new"))
    path = f"{mount}/data/clusters/prod/applied/cp1"
    assert bao.status_of("GET", f"{path}?version=1") == 404
    assert bao.status_of("GET", f"{path}?version=2") == 200


def test_of_two_who_publish_at_once_one_is_refused(bao, mount):
    class Overtaken(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and path.endswith("/data/clusters/prod/current"):
                shared(bao, mount).want("cp2", _TWO)
            return super().send(method, path, body, token=token)

    with pytest.raises(RefusedError, match="somebody else"):
        shared(bao, mount, transport=Overtaken).want("cp1", _ONE)
    assert shared(bao, mount).current() == Rendition(1, {"cp2": _TWO})


@pytest.mark.parametrize("arrives", [True, False])
def test_a_publication_whose_answer_was_lost_is_looked_for(bao, mount, arrives):
    class Deaf(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and path.endswith("/data/clusters/prod/current"):
                if arrives:
                    super().send(method, path, body, token=token)
                raise UnansweredError("no answer")
            return super().send(method, path, body, token=token)

    if arrives:
        assert shared(bao, mount, transport=Deaf).want("cp1", _ONE) == 1
    else:
        with pytest.raises(UnansweredError):
            shared(bao, mount, transport=Deaf).want("cp1", _ONE)
    assert shared(bao, mount).current() == (Rendition(1, {"cp1": _ONE}) if arrives else None)


def test_one_that_is_deleted_or_destroyed_is_not_taken_for_none(bao, mount):
    shared(bao, mount).want("cp1", _ONE)
    bao.ask("DELETE", f"{mount}/data/{_PATH}")
    with pytest.raises(UnusableInputError, match="is deleted"):
        shared(bao, mount).current()
    bao.ask("POST", f"{mount}/destroy/{_PATH}", {"versions": [1]})
    with pytest.raises(UnusableInputError, match="is destroyed"):
        shared(bao, mount).want("cp1", _ONE)


def test_a_report_that_somebody_deleted_is_made_anew_by_its_agent(bao, mount):
    node = shared(bao, mount, Role.NODE_READER)
    node.report(report(1, b"one"))
    bao.ask("DELETE", f"{mount}/data/clusters/prod/applied/cp1")
    assert shared(bao, mount).reported("cp1") is None
    node.report(report(1, b"one"))
    assert shared(bao, mount).reported("cp1") == report(1, b"one")
