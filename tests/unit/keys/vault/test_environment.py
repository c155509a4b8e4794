"""What the variables of `bao` and `vault` mean, which come first, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, KeyctlError
from keyctl.keys.vault import environment
from keyctl.keys.vault.settings import AuthMethod, VaultAuth, VaultServer

_ADDRESS = "https://vault:8200"


def server(environ: Mapping[str, str], address: str | None = _ADDRESS, auth: VaultAuth | None = None) -> VaultServer:
    return environment.server(
        environ,
        address=address,
        namespace="of-the-file",
        ca_file=Path("file.crt"),
        server_name="name.of.the.file",
        timeout=12.0,
        auth=auth or VaultAuth(),
    )


def test_without_variables_the_file_counts() -> None:
    auth = VaultAuth(AuthMethod.CERT, cert=Path("c"), key=Path("k"))
    assert server({"PATH": "/bin"}, auth=auth) == VaultServer(
        _ADDRESS,
        "of-the-file",
        ca_file=Path("file.crt"),
        cert=Path("c"),
        key=Path("k"),
        server_name="name.of.the.file",
        timeout=12.0,
    )


@pytest.mark.parametrize("prefix", ["BAO_", "VAULT_"])
def test_every_variable_comes_before_the_file(prefix: str) -> None:
    said = {
        "ADDR": "https://other:1/",
        "NAMESPACE": "/team/a/",
        "CACERT": "/ca",
        "CAPATH": "/cas",
        "CACERT_BYTES": "pem",
        "CLIENT_CERT": "/cert",
        "CLIENT_KEY": "/key",
        "TLS_SERVER_NAME": "name",
        "CLIENT_TIMEOUT": "1m30s",
        "MAX_RETRIES": "5",
        "HTTP_PROXY": "http://proxy:3128",
        "DISABLE_REDIRECTS": "false",
        "SKIP_VERIFY": "false",
    }
    expected = VaultServer(
        "https://other:1",
        "team/a",
        ca_file=Path("/ca"),
        ca_directory=Path("/cas"),
        ca_pem="pem",
        cert=Path("/cert"),
        key=Path("/key"),
        server_name="name",
        proxy="http://proxy:3128",
        timeout=90.0,
        retries=5,
    )
    assert server({prefix + name: value for name, value in said.items()}) == expected


def test_baos_variables_come_before_vaults_and_an_agent_before_the_server() -> None:
    both = {"VAULT_ADDR": "https://v:1", "BAO_ADDR": "https://b:1"}
    assert server(both).address == "https://b:1"
    assert server({**both, "BAO_ADDR": ""}).address == "https://v:1"
    assert server({**both, "VAULT_AGENT_ADDR": "https://agent:1"}).address == "https://agent:1"


@pytest.mark.parametrize("name", ["CACERT_BYTES", "CAPATH"])
def test_authorities_of_the_environment_take_the_place_of_those_of_the_file(name: str) -> None:
    assert server({f"VAULT_{name}": "x"}).ca_file is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("7s", 7.0), ("1.5s", 1.5), ("500ms", 0.5), ("1h1m", 3660.0)]
)
def test_times_are_read_as_bao_reads_them(text: str, seconds: float) -> None:
    assert server({"VAULT_CLIENT_TIMEOUT": text}).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("environ", "address", "code"),
    [
        ({"VAULT_SKIP_VERIFY": "true"}, _ADDRESS, ExitCode.REFUSED),
        ({"BAO_SKIP_VERIFY": "1"}, _ADDRESS, ExitCode.REFUSED),
        ({"VAULT_ADDR": "http://vault:8200"}, _ADDRESS, ExitCode.REFUSED),
        ({"VAULT_AGENT_ADDR": "unix:///run/agent.sock"}, _ADDRESS, ExitCode.REFUSED),
        ({"VAULT_ADDR": "https://anna:hunter2@vault"}, _ADDRESS, ExitCode.USAGE),
        ({"VAULT_ADDR": "https://vault/v1?x=hunter2"}, _ADDRESS, ExitCode.USAGE),
        ({"VAULT_ADDR": "https://vault:hunter2"}, _ADDRESS, ExitCode.REFUSED),
        ({"VAULT_SRV_LOOKUP": "true"}, _ADDRESS, ExitCode.USAGE),
        ({}, None, ExitCode.USAGE),
        ({"VAULT_CLIENT_TIMEOUT": "soon"}, _ADDRESS, ExitCode.UNUSABLE),
        ({"VAULT_CLIENT_TIMEOUT": "0"}, _ADDRESS, ExitCode.UNUSABLE),
        ({"VAULT_MAX_RETRIES": "-1"}, _ADDRESS, ExitCode.UNUSABLE),
    ],
)
def test_what_would_weaken_the_connection_or_means_nothing_is_refused(
    environ: dict[str, str], address: str | None, code: ExitCode
) -> None:
    with pytest.raises(KeyctlError) as caught:
        server(environ, address)
    assert caught.value.exit_code == code
    assert caught.value.hints
    assert "hunter2" not in f"{caught.value} {caught.value.cause} {caught.value.hints} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("environ", "address", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, _ADDRESS, "http://p:1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "other, .test"}, _ADDRESS, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other,vault"}, _ADDRESS, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".test"}, "https://vault.test:1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, _ADDRESS, None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.1:8200", None),
        ({"HTTPS_PROXY": "http://p:1", "VAULT_PROXY_ADDR": "http://v:2"}, _ADDRESS, "http://v:2"),
    ],
)
def test_proxies_are_those_of_go(environ: dict[str, str], address: str, proxy: str | None) -> None:
    assert server(environ, address).proxy == proxy


def test_the_token_is_that_of_the_environment_or_the_one_of_the_last_login(tmp_path: Path) -> None:
    assert environment.token({}, tmp_path) is None
    (tmp_path / ".vault-token").write_text("left\n")
    assert environment.token({}, tmp_path) == "left"
    assert environment.token({"VAULT_TOKEN": "v"}, tmp_path) == "v"
    assert environment.token({"VAULT_TOKEN": "v", "BAO_TOKEN": "b"}, tmp_path) == "b"
