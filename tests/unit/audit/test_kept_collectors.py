"""What is read of a key store, and of the readiness of API servers: all of it, and no key bytes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyctl.audit.inputs import InputFile
from keyctl.audit.live import kms_health, ledger
from keyctl.keys.ledger import KeyState
from keyctl.kube.interface import ServerProbe
from tests.support import seal
from tests.support.fake_kube import FakeApiServer, FakeCluster
from tests.support.memory_store import MemoryKeyStore
from tests.unit.audit.kept import registered

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = seal.key("key1")


def test_the_ledger_and_the_register_are_taken_as_they_are_with_their_hash() -> None:
    store = MemoryKeyStore()
    store.put(KEY, origin="generated")
    store.note_backup(registered())
    found, named = ledger.look(store, now=NOW)
    assert (found.records, found.register, found.looked_at) == (store.records(), store.backups(), NOW)
    assert isinstance(named, InputFile)
    assert (named.location, KEY.material.hex() in repr(found)) == (found.location, False)
    hashes = {named.sha256}
    store.note_state(KEY.ref, KeyState.ACTIVE)
    hashes.add(ledger.look(store, now=NOW)[1].sha256)
    store.note_backup(registered("b.db"))
    hashes.add(ledger.look(store, now=NOW)[1].sha256)
    assert len(hashes) == 3


class _Probed(FakeApiServer):
    """A server that says what it is told to say."""

    said: ServerProbe

    def probe(self) -> ServerProbe:
        return self.said


@pytest.mark.parametrize(
    ("problem", "failing"),
    [
        ("not ready: kms-providers", True),
        ("not ready: etcd, kms-provider-0", True),
        ("not ready: etcd", False),
        ("connection refused", False),
    ],
)
def test_a_server_that_is_not_ready_for_its_plugins_is_told_from_others(problem: str, failing: bool) -> None:
    server = _Probed("cp1", FakeCluster())
    server.said = ServerProbe("cp1", ready=False, problem=problem)
    (found,) = kms_health.look([(server, "https://10.0.0.1:6443")])
    assert (found.ready, found.failing, found.problem) == (False, failing, problem)
    assert found.location.endpoint == "https://10.0.0.1:6443"


def test_a_server_that_is_ready_names_the_plugins_that_it_has_asked() -> None:
    server = _Probed("cp1", FakeCluster())
    server.said = ServerProbe("cp1", ready=True, kms_key_ids={"vault": "sha256:1", "hsm": "sha256:2"})
    (found,) = kms_health.look([(server, "https://10.0.0.1:6443")])
    assert (found.ready, found.failing, found.plugins) == (True, False, ("hsm", "vault"))
