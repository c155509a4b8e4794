"""Credentials out of a kubeconfig: used, refused, and never shown."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from keyctl.errors import UnusableInputError
from keyctl.kube.credentials import Credentials, load_credentials
from tests.support.etcd_process import write_secret
from tests.support.kubeconfig import write_kubeconfig

_URL = "https://127.0.0.1:6443"
_Document = dict[str, object]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def kubeconfig(tmp_path: Path, authority: trustme.CA) -> Path:
    return write_kubeconfig(tmp_path, authority, _URL)


def _change(path: Path, change: Callable[[_Document, _Document], None]) -> Path:
    """Let `change` have the cluster and the user of the file, and write it again."""
    document = json.loads(path.read_bytes())
    change(document["clusters"][0]["cluster"], document["users"][0]["user"])
    path.write_text(json.dumps(document))
    return path


def _with_user(path: Path, user: _Document) -> Path:
    def replace(_: _Document, old: _Document) -> None:
        old.clear()
        old.update(user)

    return _change(path, replace)


def _load(path: Path, context: str | None = None, ca: Path | None = None) -> Credentials:
    return load_credentials(path, context, ca=ca)


def test_an_embedded_pair_is_loaded_and_leaves_no_file(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kubeconfig.parent / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    credentials = _load(kubeconfig)
    assert credentials.context.get_ca_certs()
    assert credentials.authorization is None
    assert list(folder.iterdir()) == []


def test_loading_twice_works_though_the_first_files_are_gone(kubeconfig: Path) -> None:
    _load(kubeconfig)
    assert _load(kubeconfig).context.get_ca_certs()


def test_embedded_keys_are_only_ever_in_files_of_ours_alone(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    import ssl

    load = ssl.SSLContext.load_cert_chain

    def spy(context: ssl.SSLContext, certfile: str, keyfile: str, password: Callable[[], str]) -> None:
        modes.extend([stat.S_IMODE(os.stat(keyfile).st_mode), stat.S_IMODE(os.stat(Path(keyfile).parent).st_mode)])  # noqa: PTH116 - short
        load(context, certfile, keyfile, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    _load(kubeconfig)
    assert modes == [0o600, 0o700]


def test_a_token_becomes_the_authorization_header_and_is_not_in_a_repr(kubeconfig: Path) -> None:
    credentials = _load(_with_user(kubeconfig, {"token": "s3cr3t"}))
    assert credentials.authorization == "Bearer s3cr3t"
    assert "s3cr3t" not in repr(credentials)


def test_relative_paths_are_relative_to_the_file(
    kubeconfig: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_secret(tmp_path / "own-ca.crt", authority.cert_pem)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def by_file(cluster: _Document, _: _Document) -> None:
        del cluster["certificate-authority-data"]
        cluster["certificate-authority"] = "own-ca.crt"

    assert len(_load(_change(kubeconfig, by_file)).context.get_ca_certs()) == 1


def test_another_authority_replaces_that_of_the_kubeconfig(kubeconfig: Path, tmp_path: Path) -> None:
    other = write_secret(tmp_path / "other.crt", trustme.CA(organization_name="the other").cert_pem)
    (trusted,) = _load(kubeconfig, ca=other).context.get_ca_certs()
    assert "the other" in str(trusted["subject"])


def test_the_server_name_of_the_kubeconfig_is_kept(kubeconfig: Path) -> None:
    _change(kubeconfig, lambda cluster, _: cluster.update({"tls-server-name": "kubernetes"}))
    assert _load(kubeconfig).server_name == "kubernetes"


def test_certificates_are_verified_with_their_names(kubeconfig: Path) -> None:
    context = _load(kubeconfig).context
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"insecure-skip-tls-verify": True}, {}, "turns the verification of the server's certificate off"),
        ({"proxy-url": "http://127.0.0.1:3128"}, {}, "sends requests through a proxy"),
        ({}, {"auth-provider": {"name": "oidc", "config": {"id-token": "s3cr3t"}}}, "uses an auth-provider"),
    ],
)
def test_what_would_weaken_the_connection_is_refused(
    kubeconfig: Path, cluster: _Document, user: _Document, message: str
) -> None:
    def change(its_cluster: _Document, its_user: _Document) -> None:
        its_cluster.update(cluster)
        its_user.update(user)

    with pytest.raises(UnusableInputError, match=message) as caught:
        _load(_change(kubeconfig, change))
    assert caught.value.hints


def test_an_unknown_context_is_named_with_those_that_exist(kubeconfig: Path) -> None:
    with pytest.raises(UnusableInputError, match="no context 'prod'") as caught:
        _load(kubeconfig, "prod")
    assert caught.value.cause == "it has: lab"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"none\.kubeconfig cannot be read"):
        _load(tmp_path / "none.kubeconfig")


def test_broken_yaml_is_located_but_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "broken.kubeconfig"
    path.write_text('a: 1\ntoken: "s3cr3t\n')
    with pytest.raises(UnusableInputError) as caught:
        _load(path)
    assert "line" in str(caught.value.cause)
    assert "s3cr3t" not in f"{caught.value}{caught.value.cause}{caught.value.__cause__}"


def test_a_malformed_user_is_refused_without_quoting_it(kubeconfig: Path) -> None:
    _with_user(kubeconfig, {"client-certificate-data": "s3cr3t-not-base64!", "client-key-data": "s3cr3t"})
    with pytest.raises(UnusableInputError) as caught:
        _load(kubeconfig)
    assert "s3cr3t" not in f"{caught.value}{caught.value.cause}{caught.value.__cause__}"


def test_a_key_of_another_certificate_is_refused(kubeconfig: Path) -> None:
    other = trustme.CA().issue_cert("other.test").private_key_pem.bytes()
    _change(kubeconfig, lambda _, user: user.update({"client-key-data": base64.b64encode(other).decode()}))
    with pytest.raises(UnusableInputError, match="cannot be used together") as caught:
        _load(kubeconfig)
    assert caught.value.cause == "key values mismatch"


def _plugin(source: str) -> _Document:
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": ["-c", source]}}


def test_a_credential_plugin_gives_the_token(kubeconfig: Path) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "fresh"}}
    assert _load(_with_user(kubeconfig, _plugin(f"print({json.dumps(said)!r})"))).authorization == "Bearer fresh"


def test_a_credential_plugin_that_fails_is_an_error_not_an_anonymous_user(
    kubeconfig: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(UnusableInputError, match="gave no credentials") as caught:
        _load(_with_user(kubeconfig, _plugin("import sys; sys.exit('not logged in')")))
    assert "not logged in" in str(caught.value.cause)
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr().err == ""


def test_nothing_of_the_kubernetes_package_is_imported_before_a_kubeconfig_is_read() -> None:
    import subprocess

    code = "import sys, keyctl.kube.servers, keyctl.kube.lease; print('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_token_file_that_ends_in_a_newline_is_read_as_kubectl_does(kubeconfig: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    assert _load(_with_user(kubeconfig, {"tokenFile": str(token)})).authorization == "Bearer s3cr3t"


def test_a_token_that_no_header_takes_is_refused_without_being_shown(kubeconfig: Path) -> None:
    with pytest.raises(UnusableInputError) as caught:
        _load(_with_user(kubeconfig, {"token": "s3c\nr3t"}))
    assert "r3t" not in str(caught.value)
