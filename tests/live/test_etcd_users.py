from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from keyctl.errors import KeyctlError, UnreachableError
from keyctl.etcd.client import EtcdClient
from tests.support.etcd_process import running_etcd

pytestmark = pytest.mark.live


def test_etcd_users_are_refused_what_their_role_does_not_hold(tmp_path: Path) -> None:
    with running_etcd(tmp_path, trustme.CA()) as secured:
        secured.etcdctl("put", "/registry/secrets/a", "1")
        secured.etcdctl("user", "add", "root:root-pass")
        secured.etcdctl("user", "grant-role", "root", "root")
        secured.etcdctl("user", "add", "auditor:auditor-pass")
        secured.etcdctl("role", "add", "reader")
        secured.etcdctl("role", "grant-permission", "reader", "--prefix=true", "read", "/registry/secrets/")
        secured.etcdctl("user", "grant-role", "auditor", "reader")
        secured.etcdctl("auth", "enable")

        def client(user: str | None, password: str | None) -> EtcdClient:
            return EtcdClient((secured.url,), secured.tls, user=user, password=password)

        with contextlib.closing(client("auditor", "auditor-pass")) as auditor:
            assert [len(batch) for batch in auditor.source().batches(b"/registry/secrets/")] == [1]
            refused: list[Callable[[], object]] = [
                lambda: list(auditor.source().batches(b"/")),
                lambda: auditor.get(b"/other"),
                lambda: auditor.save_snapshot(tmp_path / "s.db"),
            ]
            for call in refused:
                with pytest.raises(UnreachableError, match="refused the request") as caught:
                    call()
                assert (caught.value.cause or "").startswith("authorisation: ")
        assert not (tmp_path / "s.db").exists()
        with contextlib.closing(client("root", "root-pass")) as root:
            assert root.save_snapshot(tmp_path / "s.db").size > 0
        for user, password in (("auditor", "wrong"), ("nobody", "x"), (None, None)):
            with contextlib.closing(client(user, password)) as nobody, pytest.raises(KeyctlError) as error:
                nobody.get(b"/registry/secrets/a")
            assert "refused the request" in str(error.value)
            assert "wrong" not in f"{error.value} {error.value.cause}"


def test_a_user_for_an_etcd_without_users_is_told_so(tmp_path: Path) -> None:
    with (
        running_etcd(tmp_path, trustme.CA()) as open_to_all,
        contextlib.closing(EtcdClient((open_to_all.url,), open_to_all.tls, user="root", password="p")) as client,
        pytest.raises(UnreachableError, match="refused the request") as caught,
    ):
        client.get(b"/registry/secrets/a")
    assert "authentication is not enabled" in (caught.value.cause or "")
    assert "leave etcd.user and etcd.passwordFile out" in caught.value.hints[0]
