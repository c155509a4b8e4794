"""A token to work with: logged in for, kept alive while work goes on, given back at the end.

Everything that identifies us is read from files when it is needed, and kept
only as long as the request takes. A token that somebody gave us is used and
never revoked: it is not ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from keyctl.errors import KeyctlError, UnreachableError, UnusableInputError, WrongUsageError
from keyctl.keys.vault import faults
from keyctl.keys.vault.settings import AuthMethod, VaultAuth
from keyctl.keys.vault.transport import Answer, Transport, mapping

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# A token is renewed when this part of its time is over: two more attempts are left then.
_RENEW_AFTER = 1 / 3


@dataclass(frozen=True, slots=True)
class _Lease:
    """How long the token in use lives, in seconds from `since`; 0 is for ever."""

    since: float
    seconds: float
    renewable: bool


class Login:
    """Logs in to the server of `transport` at the first `ensure`.

    `given` is a token from the environment; `has_certificate` says that `transport` shows one.
    """

    def __init__(
        self,
        transport: Transport,
        auth: VaultAuth,
        *,
        given: Callable[[], str | None],
        has_certificate: bool = False,
        monotonic: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._auth = auth
        self._given = given
        self._has_certificate = has_certificate
        self._monotonic = monotonic
        self._lease: _Lease | None = None

    def ensure(self) -> None:
        """Have a token that lives for a while: log in, or renew. Raises `UnreachableError` when neither works."""
        if self._lease is None:
            self._lease = self._log_in()
        elif self._lease.seconds and self._age() > self._lease.seconds * _RENEW_AFTER:
            self._renew(self._lease)

    def again(self) -> bool:
        """Log in anew after the token stopped working; False where that cannot be done or does not help."""
        if self._lease is None or not self._can_repeat() or self._is_alive():
            return False
        self._lease = self._log_in()
        return True

    def denied(self) -> UnreachableError | None:
        """The error for a token that has expired, None when the token is valid."""
        if self._is_alive():
            return None
        if self._auth.method is AuthMethod.TOKEN:
            # NOTE: whoever gave it may give another one: the next `ensure` looks.
            self._lease = None
        return faults.expired(self._transport.address, hint=self._way_in())

    def close(self) -> None:
        """Revoke the token if we got it ourselves. Never raises: work is done when this is called."""
        if self._lease and self._auth.method is not AuthMethod.TOKEN:
            try:
                answer = self._transport.send("POST", "auth/token/revoke-self")
            except KeyctlError:
                _logger.warning("the token for Vault could not be revoked; it ends by itself")
            else:
                if not answer.ok:
                    _logger.warning("the token for Vault was not revoked (status %d)", answer.status)
        self._lease = None
        self._transport.use("")

    def _age(self) -> float:
        return self._monotonic() - self._lease.since if self._lease else 0.0

    def _renew(self, lease: _Lease) -> None:
        """Prolong the token. One that its maximal time cuts short is replaced, where we can log in again."""
        since = self._monotonic()
        if lease.renewable:
            answer = self._transport.send("POST", "auth/token/renew-self", {})
            if answer.ok:
                renewed = _lease(answer, since)
                if renewed.seconds >= lease.seconds or not self._can_repeat():
                    self._lease = _Lease(since, max(renewed.seconds, 1.0), renewed.renewable)
                    return
        if self._can_repeat():
            self._lease = self._log_in()

    def _can_repeat(self) -> bool:
        return self._auth.method is not AuthMethod.TOKEN and not self._auth.wrapped

    def _is_alive(self) -> bool:
        return self._transport.send("GET", "auth/token/lookup-self").status != 403

    def _way_in(self) -> str:
        if self._auth.method is AuthMethod.TOKEN:
            return "log in (bao login), or set VAULT_TOKEN, then run this again"
        if self._auth.wrapped:
            return "have a new secret id wrapped and put it in auth.secretIdFile, then run this again"
        return "run this again: it logs in anew"

    def _log_in(self) -> _Lease:
        since = self._monotonic()
        if self._auth.method is AuthMethod.TOKEN:
            return self._take_token(since)
        path, body = self._request()
        answer = self._transport.send("POST", path, body, token="")
        if not answer.ok:
            raise self._refused(answer)
        token = mapping(answer.fields.get("auth")).get("client_token")
        if not isinstance(token, str) or not token:
            raise UnreachableError(
                f"the login at {self._transport.address} gave no token",
                hint="a second factor is not supported: give this role a login without one",
            )
        self._transport.use(token)
        _logger.info("logged in by %s", self._auth.method)
        return _lease(answer, since)

    def _take_token(self, since: float) -> _Lease:
        token = self._given()
        if self._auth.token_file:
            token = _read(self._auth.token_file, "token file", "auth.tokenFile")
        if not token:
            raise WrongUsageError(
                "no token for Vault",
                hint="log in (bao login), set VAULT_TOKEN, or name another way in keys.auth (docs/keys-in-vault.md)",
            )
        self._transport.use(token)
        answer = self._transport.send("GET", "auth/token/lookup-self")
        if answer.status == 403:
            raise faults.expired(self._transport.address, hint=self._way_in())
        if not answer.ok:
            raise faults.explain(
                answer, address=self._transport.address, doing="look at itself", path="auth/token", namespace=None
            )
        data = answer.data
        return _Lease(since, _number(data.get("ttl")), data.get("renewable") is True)

    def _request(self) -> tuple[str, Mapping[str, object]]:
        """The path of the login, and what is said there."""
        auth = self._auth
        mount = auth.mount or auth.method
        match auth.method:
            case AuthMethod.APPROLE:
                body = {"role_id": _need(auth.role_id, "auth.roleId"), "secret_id": self._secret_id(mount)}
            case AuthMethod.CERT:
                _need(
                    self._has_certificate or None, "auth.cert and auth.key, or VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
                )
                body = {"name": auth.role} if auth.role else {}
            case AuthMethod.USERPASS:
                password = _read(_need(auth.password_file, "auth.passwordFile"), "password file", "auth.passwordFile")
                return f"auth/{mount}/login/{_need(auth.username, 'auth.username')}", {"password": password}
            case AuthMethod.KUBERNETES:
                jwt = _read(auth.jwt_file or SERVICE_ACCOUNT_TOKEN, "service account token", "auth.jwtFile")
                body = {"role": _need(auth.role, "auth.role"), "jwt": jwt}
            case _:
                jwt = _read(_need(auth.jwt_file, "auth.jwtFile"), "JWT file", "auth.jwtFile")
                body = {"jwt": jwt} | ({"role": auth.role} if auth.role else {})
        return f"auth/{mount}/login", body

    def _secret_id(self, mount: str) -> str:
        """The secret id from its file; a wrapped one is unwrapped, which nobody may have done before."""
        file = _need(self._auth.secret_id_file, "auth.secretIdFile")
        found = _read(file, "secret id file", "auth.secretIdFile")
        if not self._auth.wrapped:
            return found
        looked = self._transport.send("POST", "sys/wrapping/lookup", {"token": found}, token="")
        made_at = looked.data.get("creation_path")
        if not looked.ok:
            raise _unwrapped_before(file)
        if not (
            isinstance(made_at, str) and made_at.startswith(f"auth/{mount}/role/") and made_at.endswith("secret-id")
        ):
            raise UnreachableError(
                f"{file} does not wrap a secret id of auth/{mount}",
                cause="it was made by another request",
                hint="somebody may have replaced it: have a new secret id wrapped, and find out who did",
            )
        answer = self._transport.send("POST", "sys/wrapping/unwrap", token=found)
        secret_id = answer.data.get("secret_id")
        if not isinstance(secret_id, str):
            raise _unwrapped_before(file)
        return secret_id

    def _refused(self, answer: Answer) -> KeyctlError:
        method, mount = self._auth.method, self._auth.mount or self._auth.method
        if answer.status in (400, 401, 403) or (answer.status == 500 and method is AuthMethod.KUBERNETES):
            return UnreachableError(
                f"the Vault at {self._transport.address} refused the login by {method} at auth/{mount}",
                cause=f"status {answer.status}: {'; '.join(answer.errors) or 'it gave no reason'}",
                hint="check keys.auth in the cluster file, and that role and credential are still valid",
            )
        if answer.status in (404, 405):
            return UnreachableError(
                f"the Vault at {self._transport.address} has no login method at auth/{mount}",
                hint="check auth.method, auth.mount and the namespace",
            )
        return faults.explain(
            answer, address=self._transport.address, doing="log in", path=f"auth/{mount}", namespace=None
        )


def _unwrapped_before(file: Path) -> UnreachableError:
    return UnreachableError(
        f"the wrapped secret id in {file} is not valid any more",
        cause="it has expired, or somebody has unwrapped it already",
        hint="unless that was you, treat it as stolen: destroy that secret id, and have a new one wrapped",
    )


def _lease(answer: Answer, since: float) -> _Lease:
    auth = mapping(answer.fields.get("auth"))
    return _Lease(since, _number(auth.get("lease_duration")), auth.get("renewable") is True)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _need(value: _T | None, field: str) -> _T:
    if value is None:
        raise WrongUsageError(f"the login to Vault lacks {field}", hint="add it to keys.auth in the cluster file")
    return value


def _read(path: Path, what: str, field: str) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise UnusableInputError(
            f"the {what} {path} cannot be read", cause=getattr(exc, "strerror", None), hint=f"correct {field}"
        ) from exc
    if not text:
        raise UnusableInputError(f"the {what} {path} is empty", hint=f"fill it, or correct {field}")
    return text
