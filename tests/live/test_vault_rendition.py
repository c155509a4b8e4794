"""What nodes are to load, on a real OpenBao: published by a rotator, read by a node, never by half."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from keyctl.errors import RefusedError, UnreachableError, UnusableInputError
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.rendition import CurrentEntry, Rendition
from keyctl.keys.vault.settings import VaultPlace
from keyctl.keys.vault.transport import Answer, Transport, UnansweredError
from tests.support import bao_store
from tests.support.openbao import RunningBao

pytestmark = pytest.mark.live

_FILES = {"cp1": "kind: EncryptionConfiguration\nsecret: AAEC\n", "cp2": "two"}


def current(bao: RunningBao, mount: str, *roles: Role, transport: type[Transport] = Transport) -> CurrentEntry:
    place = VaultPlace(mount, "clusters/prod")
    names = [bao.policy(f"{mount}-{role}", policy(role, place)) for role in roles]
    token = bao.token(*names, no_default_policy=True) if names else None
    return CurrentEntry(bao_store.client(bao, mount, token=token, transport=transport), place, cluster="prod")


def test_what_a_rotator_publishes_a_node_reads(bao, mount):
    rotator, node = current(bao, mount, Role.ROTATOR), current(bao, mount, Role.NODE_READER)
    assert node.read() is None
    assert rotator.publish(_FILES) == Rendition(1, _FILES)
    assert rotator.publish(dict(_FILES)).seq == 1
    assert rotator.publish({**_FILES, "cp2": "three"}).seq == 2
    found = node.read()
    assert found == Rendition(2, {**_FILES, "cp2": "three"})
    assert found.digests()["cp2"] == "sha256:" + hashlib.sha256(b"three").hexdigest()
    assert "AAEC" not in repr(found)
    with pytest.raises(UnreachableError):
        node.publish({"cp1": "of the node"})


def test_of_two_who_publish_at_once_one_is_refused(bao, mount):
    class Overtaken(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and path.endswith("/current"):
                current(bao, mount).publish({"cp1": "of another"})
            return super().send(method, path, body, token=token)

    with pytest.raises(RefusedError, match="somebody else"):
        current(bao, mount, transport=Overtaken).publish(_FILES)
    assert current(bao, mount).read() == Rendition(1, {"cp1": "of another"})


@pytest.mark.parametrize("arrives", [True, False])
def test_a_publication_whose_answer_was_lost_is_looked_for(bao, mount, arrives):
    class Deaf(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and path.endswith("/current"):
                if arrives:
                    super().send(method, path, body, token=token)
                raise UnansweredError("no answer")
            return super().send(method, path, body, token=token)

    if arrives:
        assert current(bao, mount, transport=Deaf).publish(_FILES).seq == 1
    else:
        with pytest.raises(UnansweredError):
            current(bao, mount, transport=Deaf).publish(_FILES)
    assert current(bao, mount).read() == (Rendition(1, _FILES) if arrives else None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "x"}, "is damaged"),
        ({"seq": "1"}, "is damaged"),
        ({"files": ["AAEC"]}, "is damaged"),
        ({"files": {"cp1": 1}}, "is damaged"),
        ({"cluster": "test"}, 'belongs to cluster "test"'),
    ],
)
def test_one_that_is_not_of_keyctls_making_is_refused(bao, mount, change, says):
    current(bao, mount).publish(_FILES)
    whole = {"format": "keyctl/current/v1", "cluster": "prod", "seq": 2, "files": _FILES}
    bao.ask("POST", f"{mount}/data/clusters/prod/current", {"data": {**whole, **change}})
    with pytest.raises(UnusableInputError, match=says) as caught:
        current(bao, mount).read()
    assert "AAEC" not in f"{caught.value} {caught.value.cause} {caught.value.hints}"


def test_one_that_is_deleted_or_destroyed_is_not_taken_for_none(bao, mount):
    current(bao, mount).publish(_FILES)
    bao.ask("DELETE", f"{mount}/data/clusters/prod/current")
    with pytest.raises(UnusableInputError, match="is deleted"):
        current(bao, mount).read()
    bao.ask("POST", f"{mount}/destroy/clusters/prod/current", {"versions": [1]})
    with pytest.raises(UnusableInputError, match="is destroyed"):
        current(bao, mount).publish(_FILES)
