"""The printed policies on a real OpenBao: what each permits is enough for its work, and everything else is denied."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.keys.key import Key, Provider
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace
from tests.support import bao_store
from tests.support.openbao import RunningBao, fields

pytestmark = pytest.mark.live

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_ENTRY = "clusters/prod/keys/aescbc.key1"
_PATCH = {"Content-Type": "application/merge-patch+json"}
_OTHER = {"data": {"material": "other"}}


def token_of(bao: RunningBao, mount: str, *roles: Role) -> str:
    place = VaultPlace(mount, "clusters/prod")
    names = [bao.policy(f"{mount}-{role}", policy(role, place)) for role in roles]
    return bao.token(*names, no_default_policy=True)


@pytest.fixture
def filled(bao: RunningBao, mount: str, tmp_path: Path) -> str:
    """A mount that holds a key, a ledger, what nodes read, and another cluster."""
    rotator = bao_store.store(bao, mount, tmp_path, token=token_of(bao, mount, Role.ROTATOR))
    rotator.put(_KEY, origin="imported")
    bao.ask("POST", f"{mount}/data/clusters/prod/current", {"data": {"text": "first"}})
    bao.ask("POST", f"{mount}/data/clusters/prod/current", {"data": {"text": "second"}})
    bao.ask("POST", f"{mount}/data/clusters/prod/applied/cp2", {"data": {"text": "of another node"}})
    bao.ask("POST", f"{mount}/data/clusters/other/keys/aescbc.key1", {"data": {"text": "other"}})
    return mount


def test_a_rotators_policy_is_all_that_a_key_store_needs(bao, filled, tmp_path):
    store = bao_store.store(bao, filled, tmp_path, token=token_of(bao, filled, Role.ROTATOR))
    second = Key(Provider.SECRETBOX, "key2", bytes(32))
    store.put(second, origin="generated")
    assert store.put(_KEY, origin="imported").state == "active"
    assert store.note_state(_KEY.ref, "deactivated").state == "deactivated"
    assert (store.get(_KEY.ref), store.get(second.ref)) == (_KEY, second)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", f"data/{_ENTRY}", {**_OTHER, "options": {"cas": 0}}, id="overwrite with cas 0"),
        pytest.param("POST", f"data/{_ENTRY}", {**_OTHER, "options": {"cas": 1}}, id="overwrite with cas 1"),
        pytest.param("DELETE", f"data/{_ENTRY}", None, id="delete"),
        pytest.param("POST", f"delete/{_ENTRY}", {"versions": [1]}, id="delete a version"),
        pytest.param("POST", f"undelete/{_ENTRY}", {"versions": [1]}, id="undelete"),
        pytest.param("POST", f"destroy/{_ENTRY}", {"versions": [1]}, id="destroy"),
        pytest.param("DELETE", f"metadata/{_ENTRY}", None, id="erase all trace"),
        pytest.param("POST", f"metadata/{_ENTRY}", {"max_versions": 1}, id="drop versions by the side door"),
        pytest.param("POST", f"metadata/{_ENTRY}", {"delete_version_after": "1s"}, id="expire by the side door"),
        pytest.param("POST", f"metadata/{_ENTRY}", {"cas_required": False}, id="weaken check-and-set"),
        pytest.param("POST", "metadata/clusters/prod/ledger", {"max_versions": 1}, id="shorten the ledger"),
        pytest.param("DELETE", "metadata/clusters/prod/ledger", None, id="erase the ledger"),
        pytest.param("POST", "config", {"max_versions": 1}, id="change the engine"),
        pytest.param(
            "POST", "metadata/clusters/prod/current", {"max_versions": "5"}, id="keep what nodes loaded before"
        ),
        pytest.param(
            "POST", "metadata/clusters/prod/current", {"delete_version_after": "1s"}, id="expire what they load"
        ),
        pytest.param("DELETE", "metadata/clusters/prod/current", None, id="erase what nodes load"),
        pytest.param("POST", "data/clusters/prod/applied/cp2", _OTHER, id="report for a node"),
        pytest.param("DELETE", "metadata/clusters/prod/applied/cp2", None, id="erase a report"),
        pytest.param("GET", "data/clusters/other/keys/aescbc.key1", None, id="read another cluster"),
        pytest.param("POST", "data/clusters/other/keys/new", _OTHER, id="write to another cluster"),
    ],
)
def test_a_rotator_may_not(bao, filled, method, path, body):
    token = token_of(bao, filled, Role.ROTATOR)
    assert bao.status_of(method, f"{filled}/{path}", body, token=token) == 403
    assert fields(fields(bao.ask("GET", f"{filled}/data/{_ENTRY}")["data"])["metadata"])["version"] == 1


def test_a_rotator_may_not_patch_an_entry_or_take_the_engine_away(bao, filled):
    token = token_of(bao, filled, Role.ROTATOR)
    assert bao.status_of("PATCH", f"{filled}/data/{_ENTRY}", _OTHER, token=token, headers=_PATCH) == 403
    assert bao.status_of("DELETE", f"sys/mounts/{filled}", token=token) == 403


def test_a_rotator_cannot_write_over_a_key_that_somebody_deleted(bao, filled):
    token = token_of(bao, filled, Role.ROTATOR)
    bao.ask("DELETE", f"{filled}/data/{_ENTRY}")
    for cas in (0, 1):
        body = {**_OTHER, "options": {"cas": cas}}
        assert bao.status_of("POST", f"{filled}/data/{_ENTRY}", body, token=token) == 403


def test_a_node_reads_what_is_current(bao, filled):
    token = token_of(bao, filled, Role.NODE_READER)
    found = fields(bao.ask("GET", f"{filled}/data/clusters/prod/current", token=token)["data"])
    assert found["data"] == {"text": "second"}


def test_a_node_reports_of_its_file_again_and_again_and_a_rotator_reads_it(bao, filled):
    node, rotator = (token_of(bao, filled, role) for role in (Role.NODE_READER, Role.ROTATOR))
    path = f"{filled}/data/clusters/prod/applied/cp1"
    bao.ask("POST", f"{filled}/metadata/clusters/prod/applied/cp1", {"max_versions": "1"}, token=rotator)
    bao.ask("POST", f"{filled}/metadata/clusters/prod/current", {"max_versions": "1"}, token=rotator)
    for text in ("first", "second"):
        bao.ask("POST", path, {"data": {"text": text}}, token=node)
    assert fields(bao.ask("GET", path, token=rotator)["data"])["data"] == {"text": "second"}
    assert bao.status_of("GET", f"{path}?version=1", token=rotator) == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "data/clusters/prod/current?version=1", None, id="read what was current before"),
        pytest.param("GET", "data/clusters/prod/current?version=2", None, id="read a version by its number"),
        pytest.param("POST", "data/clusters/prod/current", _OTHER, id="write"),
        pytest.param("GET", f"data/{_ENTRY}", None, id="read a key"),
        pytest.param("GET", "data/clusters/prod/ledger", None, id="read the ledger"),
        pytest.param("GET", f"metadata/{_ENTRY}", None, id="read metadata"),
        pytest.param("GET", "metadata/clusters/prod/current", None, id="read metadata of what is current"),
        pytest.param("LIST", "metadata/clusters/prod/keys", None, id="list keys"),
        pytest.param("GET", f"subkeys/{_ENTRY}", None, id="read the names of fields"),
        pytest.param("POST", f"data/{_ENTRY}", _OTHER, id="write a key"),
        pytest.param("POST", "data/clusters/prod/ledger", _OTHER, id="write the ledger"),
        pytest.param("POST", "data/clusters/other/applied/cp1", _OTHER, id="report to another cluster"),
        pytest.param("GET", "data/clusters/prod/applied/cp2", None, id="read what another node reports"),
        pytest.param("LIST", "metadata/clusters/prod/applied", None, id="list who reports"),
        pytest.param("DELETE", "data/clusters/prod/applied/cp2", None, id="delete a report"),
        pytest.param("POST", "destroy/clusters/prod/applied/cp2", {"versions": [1]}, id="destroy a report"),
        pytest.param("POST", "metadata/clusters/prod/applied/cp2", {"max_versions": "9"}, id="keep older reports"),
        pytest.param(
            "POST",
            "metadata/clusters/prod/applied/cp2",
            {"max_versions": "1", "delete_version_after": "1s"},
            id="have a report expire",
        ),
        pytest.param("GET", "metadata/clusters/prod/applied/cp2", None, id="read metadata of a report"),
        pytest.param("POST", "metadata/clusters/prod/current", {"max_versions": "1"}, id="shorten what is current"),
        pytest.param("DELETE", "metadata/clusters/prod/applied/cp2", None, id="erase a report"),
    ],
)
def test_a_node_may_not(bao, filled, method, path, body):
    token = token_of(bao, filled, Role.NODE_READER)
    assert bao.status_of(method, f"{filled}/{path}", body, token=token) == 403


def test_an_auditor_sees_the_ledger_names_and_fingerprints_and_no_key(bao, filled, tmp_path):
    token = token_of(bao, filled, Role.AUDITOR)
    store = bao_store.store(bao, filled, tmp_path / "auditor", token=token)
    assert [record.ref for record in store.records()] == [_KEY.ref]
    assert store.backups() == ()
    listed = bao.ask("LIST", f"{filled}/metadata/clusters/prod/keys", token=token)
    assert fields(listed["data"])["keys"] == ["aescbc.key1"]
    about = fields(fields(bao.ask("GET", f"{filled}/metadata/{_ENTRY}", token=token)["data"])["custom_metadata"])
    assert (about["fingerprint"], about["provider"]) == (_KEY.fingerprint, "aescbc")
    with pytest.raises(UnreachableError, match="permits this token not to read") as caught:
        store.get(_KEY.ref)
    assert "keyctl keys policies" in caught.value.hints[0]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", f"data/{_ENTRY}", None, id="read a key"),
        pytest.param("GET", "data/clusters/prod/current", None, id="read what nodes load"),
        pytest.param("GET", "data/clusters/prod/applied/cp2", None, id="read what nodes report"),
        pytest.param("GET", f"subkeys/{_ENTRY}", None, id="read the names of fields"),
        pytest.param("POST", "data/clusters/prod/ledger", _OTHER, id="write the ledger"),
        pytest.param("POST", f"metadata/{_ENTRY}", {"custom_metadata": {"a": "b"}}, id="write metadata"),
        pytest.param("POST", f"undelete/{_ENTRY}", {"versions": [1]}, id="undelete"),
        pytest.param("POST", f"destroy/{_ENTRY}", {"versions": [1]}, id="destroy"),
    ],
)
def test_an_auditor_may_not(bao, filled, method, path, body):
    token = token_of(bao, filled, Role.AUDITOR)
    assert bao.status_of(method, f"{filled}/{path}", body, token=token) == 403


def test_an_auditor_reads_a_ledger_in_which_something_was_left_half_done(bao, filled, tmp_path):
    ledger = fields(fields(bao.ask("GET", f"{filled}/data/clusters/prod/ledger")["data"])["data"])
    ledger |= {"pending": [["aescbc", "key1", _KEY.fingerprint, "2026-11-21T10:00:05+00:00"]]}
    bao.ask("POST", f"{filled}/data/clusters/prod/ledger", {"data": ledger})
    store = bao_store.store(bao, filled, tmp_path / "auditor", token=token_of(bao, filled, Role.AUDITOR))
    assert [record.ref for record in store.records()] == [_KEY.ref]


def test_a_rotator_cannot_destroy_and_one_who_is_destroyer_too_can(bao, filled, tmp_path):
    rotator = bao_store.store(bao, filled, tmp_path, token=token_of(bao, filled, Role.ROTATOR))
    before = rotator.note_state(_KEY.ref, "deactivated")
    with pytest.raises(UnreachableError, match="may not destroy"):
        rotator.destroy(_KEY.ref)
    assert (rotator.records(), rotator.get(_KEY.ref)) == ((before,), _KEY)
    both = bao_store.store(bao, filled, tmp_path, token=token_of(bao, filled, Role.ROTATOR, Role.DESTROYER))
    assert both.destroy(_KEY.ref).state == "destroyed"
    assert bao.status_of("GET", f"{filled}/data/{_ENTRY}?version=1") == 404
