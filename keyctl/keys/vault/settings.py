"""Where a Vault or OpenBao is, and how to log in there, as values. Nothing is read, opened or tried here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class AuthMethod(StrEnum):
    """The login methods, by the names that Vault gives them."""

    TOKEN = "token"  # noqa: S105 — the name of a method
    APPROLE = "approle"
    CERT = "cert"
    JWT = "jwt"
    KUBERNETES = "kubernetes"
    USERPASS = "userpass"


@dataclass(frozen=True, slots=True)
class VaultAuth:
    """How to log in. Secrets stand in the files named here, never in the values.

    `mount` None is the method's usual mount. `wrapped` says that the file of the
    secret id holds a wrapping token. `cert` and `key` are shown to the server.
    """

    method: AuthMethod = AuthMethod.TOKEN
    mount: str | None = None
    role: str | None = None
    token_file: Path | None = None
    role_id: str | None = None
    secret_id_file: Path | None = None
    wrapped: bool = False
    jwt_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class VaultServer:
    """One address over TLS, and whom to trust there.

    `ca_pem` is text, `ca_file` and `ca_directory` are paths; without any of them
    the system's authorities are trusted. `timeout` is in seconds, for one answer.
    """

    address: str
    namespace: str | None = None
    ca_file: Path | None = None
    ca_directory: Path | None = None
    ca_pem: str | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    proxy: str | None = None
    timeout: float = 30.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Where the entries of one cluster are: the mount of a KV v2 engine, and the folder in it."""

    mount: str
    path: str

    def key(self, name: str) -> str:
        """The path of the entry of a key."""
        return f"{self.path}/keys/{name}"

    @property
    def ledger(self) -> str:
        """The path of the ledger."""
        return f"{self.path}/ledger"

    @property
    def current(self) -> str:
        """The path of what nodes read."""
        return f"{self.path}/current"

    def applied(self, server: str) -> str:
        """The path of what the agent of `server` reports."""
        return f"{self.reports}/{server}"

    @property
    def reports(self) -> str:
        """The folder of what agents report."""
        return f"{self.path}/applied"
