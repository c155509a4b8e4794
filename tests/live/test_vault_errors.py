"""What a Vault in trouble gets: each trouble its own line, a hint, an exit code, and nothing half-written."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from keyctl.errors import ExitCode, KeyctlError, UnreachableError, UnusableInputError
from keyctl.keys.key import Key, Provider
from keyctl.keys.vault.settings import VaultServer
from keyctl.keys.vault.transport import Answer, Transport
from tests.support import bao_store
from tests.support.etcd_process import free_port, write_secret
from tests.support.openbao import RunningBao, running_bao, start, stop
from tests.support.stub_vault import StubVault, Told, stub_vault

pytestmark = pytest.mark.live

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_ENTRY = "clusters/prod/keys/aescbc.key1"
_LEDGER = "clusters/prod/ledger"


def failure(
    bao: RunningBao, mount: str, folder: Path, *, token: str | None = None, server: VaultServer | None = None
) -> KeyctlError:
    """What a put and a look both say."""
    store = bao_store.store(bao, mount, folder, token=token, server=server)
    with pytest.raises(KeyctlError) as looked:
        store.records()
    with pytest.raises(KeyctlError) as put:
        store.put(_KEY, origin="generated")
    assert str(looked.value) == str(put.value)
    return put.value


def of_stub(stub: StubVault, folder: Path, *, timeout: float = 20.0) -> KeyctlError:
    """What a look at the keys in a stub says."""
    bao = RunningBao(folder, stub.address, trustme.CA(), root="s.secret-token")
    server = VaultServer(stub.address, ca_file=stub.cacert, timeout=timeout, retries=1)
    with pytest.raises(KeyctlError) as caught:
        bao_store.store(bao, "keyctl", folder, server=server).records()
    error = caught.value
    assert "secret-token" not in f"{error} {error.cause} {error.hints}"
    assert error.hints
    assert "\n" not in str(error)
    return error


def test_a_sealed_vault_says_so_and_works_again_when_it_is_unsealed(bao, mount, tmp_path):
    store = bao_store.store(bao, mount, tmp_path)
    record = store.put(_KEY, origin="imported")
    bao.seal()
    try:
        error = failure(bao, mount, tmp_path)
        assert str(error) == f"the Vault at {bao.address} is sealed"
        assert (error.exit_code, "bao operator unseal" in error.hints[0]) == (ExitCode.UNREACHABLE, True)
        with pytest.raises(UnreachableError, match="is sealed"):
            store.note_state(_KEY.ref, "deactivated")
    finally:
        bao.unseal()
    assert store.records() == (record,)


def test_a_vault_that_was_killed_and_started_again_still_has_every_key(tmp_path):
    (tmp_path / "bao").mkdir()
    with running_bao(tmp_path / "bao", "raft") as bao:
        mount = bao.engine("keyctl")
        store = bao_store.store(bao, mount, tmp_path)
        record = store.put(_KEY, origin="imported")
        stop(bao)
        error = failure(bao, mount, tmp_path)
        assert str(error) == f"the Vault at {bao.address} cannot be reached"
        start(bao)
        bao.unseal()
        assert store.records() == (record,)
        assert store.get(_KEY.ref) == _KEY


def test_a_vault_that_was_never_initialised_says_so(tmp_path):
    with stub_vault(tmp_path, {"auth/token/lookup-self": Told(501, {"errors": ["Vault is not initialized"]})}) as stub:
        assert "is not initialised" in str(of_stub(stub, tmp_path))


def test_nobody_listens(tmp_path):
    bao = RunningBao(tmp_path, f"https://127.0.0.1:{free_port()}", trustme.CA(), root="t")
    write_secret(tmp_path / "ca.crt", bao.authority.cert_pem)
    error = failure(bao, "keyctl", tmp_path)
    assert (str(error), error.cause) == (f"the Vault at {bao.address} cannot be reached", "Connection refused")
    assert error.exit_code == ExitCode.UNREACHABLE


def test_a_name_that_nobody_knows(tmp_path):
    bao = RunningBao(tmp_path, "https://vault.invalid:8200", trustme.CA(), root="t")
    write_secret(tmp_path / "ca.crt", bao.authority.cert_pem)
    error = failure(bao, "keyctl", tmp_path, server=VaultServer(bao.address, ca_file=bao.cacert, timeout=5))
    assert "cannot be reached" in str(error)


def test_a_server_that_accepts_and_says_nothing_is_waited_for_a_bounded_time(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        bao = RunningBao(tmp_path, f"https://127.0.0.1:{silent.getsockname()[1]}", trustme.CA(), root="t")
        write_secret(tmp_path / "ca.crt", bao.authority.cert_pem)
        error = failure(bao, "keyctl", tmp_path, server=VaultServer(bao.address, ca_file=bao.cacert, timeout=0.5))
    assert isinstance(error, UnreachableError)
    assert "0.5 s" in f"{error} {error.cause}"


def test_a_slow_vault_is_not_waited_for_for_ever(tmp_path):
    with stub_vault(tmp_path, {f"data/{_LEDGER}": Told(wait=3)}) as stub:
        error = of_stub(stub, tmp_path, timeout=0.5)
    assert str(error) == f"the Vault at {stub.address} took longer than 0.5 s for an answer"
    assert "keys.timeout" in error.hints[0]


def test_a_connection_that_breaks(tmp_path):
    with stub_vault(tmp_path, {f"data/{_LEDGER}": Told(hang_up=True)}) as stub:
        assert "broke the connection off" in str(of_stub(stub, tmp_path))


def test_a_server_of_another_authority_gets_no_token(tmp_path, bao, mount):
    folder = tmp_path / "other"
    folder.mkdir()
    write_secret(folder / "ca.crt", trustme.CA().cert_pem)
    server = VaultServer(bao.address, ca_file=folder / "ca.crt")
    error = failure(bao, mount, tmp_path, server=server)
    assert str(error) == f"the certificate of the Vault at {bao.address} is not signed by an authority you trust"
    assert "keys.cacert" in error.hints[0]


def test_the_systems_authorities_are_not_added_to_the_one_that_is_named(tmp_path, bao, mount, monkeypatch):
    folder = tmp_path / "other"
    folder.mkdir()
    write_secret(folder / "ca.crt", trustme.CA().cert_pem)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bao.cacert))
    error = failure(bao, mount, tmp_path, server=VaultServer(bao.address, ca_file=folder / "ca.crt"))
    assert "not signed by an authority you trust" in str(error)


def test_one_authority_is_trusted_and_no_bundle_beside_it(tmp_path, monkeypatch):
    contexts: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def kept(**what: str | None) -> ssl.SSLContext:
        contexts.append(make(**what))  # type: ignore[arg-type]  # passed on as it came
        return contexts[-1]

    monkeypatch.setattr("ssl.create_default_context", kept)
    with stub_vault(tmp_path, {}) as stub:
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="t")
        server = VaultServer(stub.address, ca_file=stub.cacert)
        assert bao_store.store(bao, "keyctl", tmp_path, server=server).records() == ()
    assert [len(context.get_ca_certs()) for context in contexts] == [1]


def test_a_certificate_for_another_name_and_the_name_that_makes_it_right(tmp_path):
    with stub_vault(tmp_path, {}, name="vault.test") as stub:
        error = of_stub(stub, tmp_path)
        assert "is for another name" in str(error)
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="t")
        server = VaultServer(stub.address, ca_file=stub.cacert, server_name="vault.test")
        assert bao_store.store(bao, "keyctl", tmp_path, server=server).records() == ()


def test_a_listener_without_tls(tmp_path):
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        address = f"https://127.0.0.1:{plain.getsockname()[1]}"

        def serve() -> None:
            for _ in range(2):
                connection, _ = plain.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        bao = RunningBao(tmp_path, address, trustme.CA(), root="t")
        write_secret(tmp_path / "ca.crt", bao.authority.cert_pem)
        error = failure(bao, "keyctl", tmp_path)
        thread.join()
    assert str(error) == f"no TLS connection to the Vault at {address}"


def test_files_of_authority_and_certificate_that_cannot_be_used_are_found_before_any_connection(tmp_path, bao, mount):
    (tmp_path / "no.pem").write_text("no certificate")
    for server in (
        VaultServer(bao.address, ca_file=tmp_path / "absent.pem"),
        VaultServer(bao.address, ca_file=tmp_path / "no.pem"),
        VaultServer(bao.address, ca_pem="no certificate"),
        VaultServer(bao.address, ca_file=bao.cacert, cert=tmp_path / "no.pem", key=tmp_path / "no.pem"),
    ):
        with pytest.raises(UnusableInputError) as caught:
            bao_store.store(bao, mount, tmp_path, server=server)
        assert caught.value.hints


def test_a_token_that_was_never_one_and_one_that_has_expired(tmp_path, bao, mount):
    error = failure(bao, mount, tmp_path, token="s.nothing")
    assert str(error) == f"the Vault at {bao.address} does not accept the token"
    assert (error.exit_code, "bao login" in error.hints[0]) == (ExitCode.UNREACHABLE, True)
    rules = f'path "{mount}/*" {{ capabilities = ["create", "update", "read", "list"] }}'
    token = bao.token(bao.policy(f"all-{mount}", rules))
    store = bao_store.store(bao, mount, tmp_path, token=token)
    store.put(_KEY, origin="imported")
    bao.ask("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(UnreachableError, match="does not accept the token"):
        store.note_state(_KEY.ref, "deactivated")


def test_what_a_policy_denies_is_told_from_a_token_that_has_expired(tmp_path, bao, mount):
    rules = f'path "{mount}/data/clusters/prod/ledger" {{ capabilities = ["read"] }}\n'
    rules += f'path "{mount}/config" {{ capabilities = ["read"] }}'
    store = bao_store.store(bao, mount, tmp_path, token=bao.token(bao.policy(f"little-{mount}", rules)))
    assert store.records() == ()
    with pytest.raises(UnreachableError, match=f"permits this token not to write: {_LEDGER}") as caught:
        store.put(_KEY, origin="imported")
    assert "keyctl keys policies" in caught.value.hints[0]
    assert bao.status_of("GET", f"{mount}/data/{_LEDGER}") == 404


def test_a_mount_that_is_not_there_and_one_that_this_token_may_not_see(tmp_path, bao):
    for token in (bao.root, bao.token()):
        error = failure(bao, "nowhere", tmp_path, token=token)
        assert "the mount nowhere" in str(error) or "no engine at the mount" in str(error)
        assert error.exit_code == ExitCode.UNREACHABLE
        assert "keys.mount" in error.hints[0]


def test_an_engine_of_version_1_and_one_of_another_kind(tmp_path, bao):
    old = bao.engine(f"old-{tmp_path.name[-8:].strip('-_')}", version=1)
    error = failure(bao, old, tmp_path)
    assert "is KV of version 1" in str(error)
    bao.ask("POST", f"sys/mounts/transit-{old}", {"type": "transit"})
    assert "is no KV engine" in str(failure(bao, f"transit-{old}", tmp_path))


def test_a_namespace_that_is_not_there(tmp_path, bao, mount):
    server = VaultServer(bao.address, ca_file=bao.cacert, namespace="nowhere")
    assert failure(bao, mount, tmp_path, server=server).exit_code == ExitCode.UNREACHABLE


def test_a_standby_that_redirects_is_not_followed_and_the_token_stays_here(tmp_path):
    (tmp_path / "other").mkdir()
    with stub_vault(tmp_path / "other", {}) as other:
        told = Told(307, headers={"Location": f"{other.address}/v1/keyctl/data/{_LEDGER}"})
        with stub_vault(tmp_path, {f"data/{_LEDGER}": told}) as stub:
            error = of_stub(stub, tmp_path)
        assert other.asked == []
    assert str(error) == f"the Vault at {stub.address} is a standby and sends requests elsewhere"
    assert error.cause == "it sends its clients to 127.0.0.1"


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (412, "required index state not present", "is a standby that lags behind"),
        (429, "request path exceeded rate limit", "limits how often it may be asked"),
        (429, "standby", "is a standby"),
        (472, "", "is a standby"),
        (473, "", "is a standby"),
        (500, "local node not active but active cluster node not found", "has no active server at the moment"),
        (500, "leadership lost while committing log", "has no active server at the moment"),
        (500, "put failed due to value being too large", "has outgrown"),
        (502, "", "failed on"),
        (503, "no healthy upstream", "is not available"),
        (405, "unsupported operation", "no KV of version 2"),
        (404, 'no handler for route "keyctl/data". route entry not found.', "no engine at the mount"),
        (418, "teapot", "refused to read"),
        (400, "Waiting for the primary to upgrade from non-versioned to versioned data.", "still preparing"),
    ],
)
def test_every_other_answer_has_its_own_message(tmp_path, status, said, expected, monkeypatch):
    monkeypatch.setattr("keyctl.keys.vault.client._UPGRADE_SECONDS", 0.5)
    told = Told(status, {"errors": [said] if said else []})
    with stub_vault(tmp_path, {f"data/{_LEDGER}": told}) as stub:
        error = of_stub(stub, tmp_path)
    assert expected in str(error)


def test_only_reads_are_tried_again(tmp_path):
    with stub_vault(tmp_path, {"data/a": Told(429, {"errors": ["slow down"]})}) as stub:
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="t")
        vault = bao_store.client(bao, "keyctl", server=VaultServer(stub.address, ca_file=stub.cacert, retries=1))
        with pytest.raises(UnreachableError):
            vault.read("a")
        with pytest.raises(UnreachableError):
            vault.write("a", {}, cas=0)
    assert [method for method, path, _ in stub.asked if path.endswith("data/a")] == ["GET", "GET", "POST"]


def test_the_index_of_a_write_goes_with_every_later_request(tmp_path):
    wrote = Told(body={"data": {"version": 1}}, headers={"X-Vault-Index": "here"})
    with stub_vault(tmp_path, {"data/a": wrote}) as stub:
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="t")
        server = VaultServer(stub.address, ca_file=stub.cacert)
        vault = bao_store.client(bao, "keyctl", server=server)
        vault.write("a", {}, cas=0)
        vault.read("b")
    sent = [(headers.get("X-Vault-Index"), headers.get("X-Vault-Inconsistent")) for _, _, headers in stub.asked]
    assert sent[-1] == ("here", "forward-active-node")
    assert sent[0] == (None, "forward-active-node")


@pytest.mark.parametrize("late", [_LEDGER, _ENTRY])
def test_what_a_standby_does_not_show_yet_is_waited_for(tmp_path, bao, mount, late):
    store = bao_store.store(bao, mount, tmp_path)
    store.put(_KEY, origin="imported")

    answers = iter([404, 404])

    class Behind(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if path.endswith(late) and next(answers, None):
                return Answer(404, (), {})
            return super().send(method, path, body, token=token)

    assert bao_store.store(bao, mount, tmp_path, transport=Behind).get(_KEY.ref) == _KEY


def test_a_netrc_and_tokens_left_behind_are_not_sent(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / ".vault-token").write_text("left-behind")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "of-the-environment")
    with stub_vault(tmp_path, {}) as stub:
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="the-one-given")
        server = VaultServer(stub.address, ca_file=stub.cacert)
        assert bao_store.store(bao, "keyctl", tmp_path, server=server).records() == ()
    assert {headers["X-Vault-Token"] for _, _, headers in stub.asked} == {"the-one-given"}
    assert all("Authorization" not in headers for _, _, headers in stub.asked)


def test_no_proxy_of_the_environment_is_used_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with stub_vault(tmp_path, {}) as stub:
        bao = RunningBao(tmp_path, stub.address, trustme.CA(), root="t")
        server = VaultServer(stub.address, ca_file=stub.cacert)
        assert bao_store.store(bao, "keyctl", tmp_path, server=server).records() == ()


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"data": 3}', b'{"data": {"metadata": [], "data": "x"}}'])
def test_an_answer_that_is_not_vaults_is_no_empty_store(tmp_path, content):
    with stub_vault(tmp_path, {f"data/{_LEDGER}": Told(200, content)}) as stub:
        assert "is damaged" in str(of_stub(stub, tmp_path))


def test_an_answer_to_the_first_look_that_is_not_vaults(tmp_path):
    with stub_vault(tmp_path, {"sys/internal/ui/mounts/keyctl": Told(200, b"<html>")}) as stub:
        assert "is no KV engine" in str(of_stub(stub, tmp_path))
