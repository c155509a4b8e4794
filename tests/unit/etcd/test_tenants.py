"""Whether users and roles are on, where etcd does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.etcd.rpc import CallError
from keyctl.etcd.tenants import auth_enabled
from tests.support.scripted_etcd import ScriptedEtcd, ScriptedSession, install


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path, monkeypatch)


class Refusing(ScriptedSession):
    """An etcd that answers nothing of its service Auth, with `refusal`."""

    refusal = CallError("UNIMPLEMENTED", "unknown method AuthStatus for service etcdserverpb.Auth")

    def auth(self, method: str, **fields: object) -> object:
        raise self.refusal


def test_an_etcd_before_3_5_is_named_as_what_it_is_and_no_other_endpoint_is_asked(scripted: ScriptedEtcd) -> None:
    connections = scripted.connect(Refusing(), Refusing())
    with pytest.raises(UnreachableError, match="does not tell whether users and roles are on") as caught:
        auth_enabled(connections)
    assert "older than etcd 3.5" in (caught.value.cause or "")
    assert len(scripted.opened) == 1


def test_a_port_that_is_no_etcd_is_not_taken_for_an_old_one(
    scripted: ScriptedEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refusing, "refusal", CallError("UNIMPLEMENTED", "Received http2 header with status: 404"))
    with pytest.raises(UnreachableError, match="could not be reached"):
        auth_enabled(scripted.connect(Refusing()))
