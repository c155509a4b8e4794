"""Every way to log in, on a real OpenBao: what works, what is refused, renewal, and the token given back."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keyctl.errors import KeyctlError, UnreachableError, UnusableInputError, WrongUsageError
from keyctl.keys.vault.client import VaultClient
from keyctl.keys.vault.login import Login
from keyctl.keys.vault.settings import AuthMethod, VaultAuth, VaultServer
from keyctl.keys.vault.transport import Transport
from tests.support.etcd_process import write_secret
from tests.support.openbao import RunningBao, fields
from tests.support.stub_vault import Told, stub_vault

pytestmark = pytest.mark.live


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Site:
    """An engine and login methods of their own, with a policy for the engine."""

    def __init__(self, bao: RunningBao, mount: str) -> None:
        self.bao = bao
        self.mount = mount
        self.clock = Clock()
        rules = f'path "{mount}/*" {{ capabilities = ["create", "update", "read", "list"] }}'
        self.policy = bao.policy(f"all-{mount}", rules)
        self.made: list[Transport] = []

    def method(self, kind: str) -> str:
        """A login method of `kind` at a mount of its own."""
        path = f"{kind}-{self.mount}"
        self.bao.ask("POST", f"sys/auth/{path}", {"type": kind})
        return path

    def client(self, auth: VaultAuth, given: str | None = None, namespace: str | None = None) -> VaultClient:
        server = VaultServer(
            self.bao.address, namespace, ca_file=self.bao.cacert, cert=auth.cert, key=auth.key, timeout=30
        )
        transport = Transport(server)
        self.made.append(transport)
        login = Login(transport, auth, given=lambda: given, has_certificate=auth.cert is not None, monotonic=self.clock)
        return VaultClient(transport, login, mount=self.mount, namespace=namespace)

    def works(self, client: VaultClient, path: str = "works") -> bool:
        version = client.write(path, {"a": "b"}, cas=0)
        return version == 1

    def refused(self, auth: VaultAuth, given: str | None = None) -> KeyctlError:
        with pytest.raises(KeyctlError) as caught:
            self.client(auth, given).read("works")
        assert caught.value.hints
        return caught.value

    def token_in_use(self) -> str:
        token: object = self.made[-1]._adapter.token
        assert isinstance(token, str)
        return token

    def is_valid(self, token: str) -> bool:
        return self.bao.status_of("GET", "auth/token/lookup-self", token=token) == 200


@pytest.fixture
def site(bao: RunningBao, mount: str) -> Site:
    return Site(bao, mount)


def secret_file(folder: Path, text: str) -> Path:
    return write_secret(folder / f"secret-{len(list(folder.iterdir()))}", trustme.Blob(text.encode() + b"\n"))


def approle(site: Site, folder: Path, *, wrapped: bool = False, **role: object) -> VaultAuth:
    path = site.method("approle")
    at = f"auth/{path}/role/rotator"
    site.bao.ask("POST", at, {"token_policies": [site.policy], "token_ttl": "60s", **role})
    role_id = str(fields(site.bao.ask("GET", f"{at}/role-id")["data"])["role_id"])
    if wrapped:
        answer = site.bao.ask("POST", f"{at}/secret-id", {}, headers={"X-Vault-Wrap-TTL": "60s"})
        secret = str(fields(answer["wrap_info"])["token"])
    else:
        secret = str(fields(site.bao.ask("POST", f"{at}/secret-id", {})["data"])["secret_id"])
    file = secret_file(folder, secret)
    return VaultAuth(AuthMethod.APPROLE, mount=path, role_id=role_id, secret_id_file=file, wrapped=wrapped)


def userpass(site: Site, folder: Path, **user: object) -> VaultAuth:
    path = site.method("userpass")
    body = {"password": "a password", "token_policies": [site.policy], "token_ttl": "60s", **user}
    site.bao.ask("POST", f"auth/{path}/users/anna", body)
    file = secret_file(folder, "a password")
    return VaultAuth(AuthMethod.USERPASS, mount=path, username="anna", password_file=file)


def certificate(site: Site, folder: Path, **role: object) -> VaultAuth:
    path = site.method("cert")
    authority = trustme.CA()
    pair = authority.issue_cert("cp1.test", common_name="cp1.test")
    body = {
        "certificate": authority.cert_pem.bytes().decode(),
        "allowed_dns_sans": ["*.test"],
        "token_policies": [site.policy],
        "token_ttl": "60s",
    }
    site.bao.ask("POST", f"auth/{path}/certs/node", {**body, **role})
    cert = write_secret(folder / "node.crt", *pair.cert_chain_pems)
    key = write_secret(folder / "node.key", pair.private_key_pem)
    return VaultAuth(AuthMethod.CERT, mount=path, role="node", cert=cert, key=key)


def signed(key: rsa.RSAPrivateKey, claims: dict[str, object]) -> str:
    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    text = part(b'{"alg":"RS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))).decode()


def service_account_token(key: rsa.RSAPrivateKey, **claims: object) -> str:
    return signed(
        key,
        {
            "iss": "test",
            "aud": ["keyctl"],
            "sub": "system:serviceaccount:keyctl:rotator",
            "exp": int(time.time()) + 600,
            "iat": int(time.time()) - 5,
            "kubernetes.io": {
                "namespace": "keyctl",
                "serviceaccount": {"name": "rotator", "uid": "1f"},
            },
            **claims,
        },
    )


def jwt(site: Site, folder: Path) -> VaultAuth:
    path = site.method("jwt")
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    site.bao.ask("POST", f"auth/{path}/config", {"jwt_validation_pubkeys": [public.decode()]})
    body = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["keyctl"],
        "token_policies": [site.policy],
        "token_ttl": "60s",
    }
    site.bao.ask("POST", f"auth/{path}/role/ci", body)
    return VaultAuth(AuthMethod.JWT, mount=path, role="ci", jwt_file=secret_file(folder, service_account_token(key)))


@pytest.fixture
def token_review() -> Iterator[str]:
    """The address of an API server that knows one thing: whose token it is."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            user = {"username": "system:serviceaccount:keyctl:rotator", "uid": "1f", "groups": []}
            status = {"authenticated": True, "user": user, "audiences": ["keyctl"]}
            content = json.dumps(
                {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}
            ).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("make", [approle, userpass, certificate, jwt])
def test_a_login_works_and_its_token_is_given_back(site, tmp_path, make):
    client = site.client(make(site, tmp_path))
    assert site.works(client)
    token = site.token_in_use()
    assert site.is_valid(token)
    client.close()
    assert not site.is_valid(token)
    assert site.token_in_use() == ""


def test_a_login_as_a_service_account_works(site, tmp_path, token_review):
    path = site.method("kubernetes")
    key = rsa.generate_private_key(65537, 2048)
    config: dict[str, object] = {
        "kubernetes_host": token_review,
        "token_reviewer_jwt": "reviewer",
        "disable_local_ca_jwt": True,
    }
    config["kubernetes_ca_cert"] = site.bao.authority.cert_pem.bytes().decode()
    site.bao.ask("POST", f"auth/{path}/config", config)
    body = {
        "bound_service_account_names": ["rotator"],
        "bound_service_account_namespaces": ["keyctl"],
        "token_policies": [site.policy],
    }
    site.bao.ask("POST", f"auth/{path}/role/rotator", body)
    file = secret_file(tmp_path, service_account_token(key))
    assert site.works(site.client(VaultAuth(AuthMethod.KUBERNETES, mount=path, role="rotator", jwt_file=file)))


def test_a_token_that_was_given_to_us_is_used_and_not_revoked(site, tmp_path):
    token = site.bao.token(site.policy)
    client = site.client(VaultAuth(), given=token)
    assert site.works(client)
    client.close()
    assert site.is_valid(token)
    by_file = site.client(VaultAuth(token_file=secret_file(tmp_path, token)), given="another")
    assert site.works(by_file, "by-file")


def test_a_wrapped_secret_id_works_once_and_its_second_use_is_an_alarm(site, tmp_path):
    auth = approle(site, tmp_path, wrapped=True)
    assert site.works(site.client(auth))
    error = site.refused(auth)
    assert "is not valid any more" in str(error)
    assert "treat it as stolen" in error.hints[0]


def test_something_else_that_was_wrapped_is_no_secret_id(site, tmp_path):
    auth = approle(site, tmp_path, wrapped=True)
    answer = site.bao.ask("POST", "sys/wrapping/wrap", {"secret_id": "x"}, headers={"X-Vault-Wrap-TTL": "60s"})
    changed = replace(auth, secret_id_file=secret_file(tmp_path, str(fields(answer["wrap_info"])["token"])))
    error = site.refused(changed)
    assert "does not wrap a secret id" in str(error)


def test_what_is_wrong_with_a_login_is_said_without_what_was_sent(site, tmp_path):
    wrong = secret_file(tmp_path, "hunter2-secret")
    auths = {
        "approle": replace(approle(site, tmp_path), secret_id_file=wrong),
        "userpass": replace(userpass(site, tmp_path), password_file=wrong),
        "jwt": replace(jwt(site, tmp_path), jwt_file=wrong),
        "cert": replace(certificate(site, tmp_path), role="nobody"),
    }
    for method, auth in auths.items():
        error = site.refused(auth)
        assert isinstance(error, UnreachableError)
        assert f"refused the login by {method} at auth/{auth.mount}" in str(error)
        assert "hunter2" not in f"{error} {error.cause} {error.hints}"


def test_a_login_method_that_is_not_there(site, tmp_path):
    error = site.refused(replace(userpass(site, tmp_path), mount="nowhere"))
    assert "auth/nowhere" in str(error)


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        (VaultAuth(), "no token for Vault"),
        (VaultAuth(AuthMethod.APPROLE), "lacks auth.roleId"),
        (VaultAuth(AuthMethod.APPROLE, role_id="r"), "lacks auth.secretIdFile"),
        (VaultAuth(AuthMethod.CERT), "lacks auth.cert"),
        (VaultAuth(AuthMethod.JWT), "lacks auth.jwtFile"),
        (VaultAuth(AuthMethod.KUBERNETES), "lacks auth.role"),
        (VaultAuth(AuthMethod.USERPASS), "lacks auth.passwordFile"),
    ],
)
def test_a_login_that_lacks_something_is_wrong_usage(site, auth, says):
    error = site.refused(replace(auth, jwt_file=Path(__file__)) if auth.method == "kubernetes" else auth)
    assert isinstance(error, WrongUsageError)
    assert says in str(error)


def test_a_file_that_cannot_be_read_or_is_empty(site, tmp_path):
    empty = secret_file(tmp_path, "")
    for file, says in ((tmp_path / "absent", "cannot be read"), (empty, "is empty")):
        error = site.refused(VaultAuth(token_file=file))
        assert isinstance(error, UnusableInputError)
        assert says in str(error)


def expiry(site: Site, token: str) -> float:
    return float(str(fields(site.bao.ask("GET", "auth/token/lookup-self", token=token)["data"])["ttl"]))


def test_a_token_is_renewed_while_work_goes_on(site, tmp_path):
    client = site.client(approle(site, tmp_path, token_ttl="4s", token_max_ttl="1h"))
    assert site.works(client)
    token = site.token_in_use()
    started = time.monotonic()
    while time.monotonic() - started < 6:
        site.clock.now = 100.0 + time.monotonic() - started
        client.read("works")
        time.sleep(0.3)
    assert site.token_in_use() == token


def test_a_certificates_token_is_renewed_with_the_certificate(site, tmp_path):
    client = site.client(certificate(site, tmp_path, token_ttl="60s"))
    assert site.works(client)
    token = site.token_in_use()
    time.sleep(2.1)
    assert expiry(site, token) < 59
    site.clock.now += 30
    client.read("works")
    assert site.token_in_use() == token
    assert expiry(site, token) > 58


def test_a_token_that_its_maximal_time_cuts_short_is_replaced_by_another_login(site, tmp_path):
    client = site.client(userpass(site, tmp_path, token_ttl="5s", token_max_ttl="6s"))
    assert site.works(client)
    first = site.token_in_use()
    time.sleep(3)
    site.clock.now += 3
    client.read("works")
    assert site.token_in_use() != first


def test_a_token_that_was_revoked_meanwhile_is_replaced_where_we_can_log_in(site, tmp_path):
    client = site.client(userpass(site, tmp_path))
    assert site.works(client)
    first = site.token_in_use()
    site.bao.ask("POST", "auth/token/revoke", {"token": first})
    client.read("works")
    assert site.token_in_use() != first


def test_a_token_that_was_revoked_meanwhile_is_an_error_where_we_cannot(site, tmp_path):
    token = site.bao.token(site.policy)
    wrapped = site.client(approle(site, tmp_path, wrapped=True))
    given = site.client(VaultAuth(), given=token)
    cases: list[tuple[VaultClient, Transport]] = list(zip((wrapped, given), site.made[-2:], strict=True))
    for client, transport in cases:
        client.read("works")
        site.bao.ask("POST", "auth/token/revoke", {"token": transport._adapter.token})
        with pytest.raises(UnreachableError, match="does not accept the token") as caught:
            client.read("works")
        assert caught.value.hints


def test_a_batch_token_can_be_neither_renewed_nor_revoked_and_works_all_the_same(site, tmp_path):
    client = site.client(userpass(site, tmp_path, token_type="batch"))
    assert site.works(client)
    site.clock.now += 59
    client.read("works")
    client.close()


def test_a_namespace_holds_an_engine_and_a_token_of_its_own(site):
    site.bao.ask("POST", "sys/namespaces/team", {})
    inside = {"X-Vault-Namespace": "team"}
    site.bao.ask("POST", f"sys/mounts/{site.mount}", {"type": "kv", "options": {"version": "2"}}, headers=inside)
    client = site.client(VaultAuth(), given=site.bao.root, namespace="team")
    assert site.works(client, "inside")
    assert site.client(VaultAuth(), given=site.bao.root).read("inside").__class__.__name__ == "Missing"


def test_closing_is_quiet_when_the_server_is_gone(tmp_path):
    given = Told(body={"auth": {"client_token": "s.made", "lease_duration": 60, "renewable": True}})
    (tmp_path / "password").write_text("a password")
    auth = VaultAuth(AuthMethod.USERPASS, username="anna", password_file=tmp_path / "password")
    with stub_vault(tmp_path, {"auth/userpass/login/anna": given}) as stub:
        transport = Transport(VaultServer(stub.address, ca_file=stub.cacert, timeout=2))
        login = Login(transport, auth, given=lambda: None, monotonic=Clock())
        login.ensure()
        assert transport._adapter.token == "s.made"
    login.close()
    assert transport._adapter.token == ""
