"""HTTP to one Vault or OpenBao. The only module that imports hvac, requests or urllib3.

hvac's adapter shapes the requests; what it would do on its own is taken from it:
its session is made here, so that no variable, no ~/.netrc and no ~/.vault-token
is read behind our back, no redirect is followed (the token would go with it),
only reads are tried again, and the server is checked against our authorities
and no others. Judges no answer and keeps no state but the token, and the index
of the last write, which every later read sends: a standby answers reads by
itself, and without it may be behind.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import requests
import urllib3
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter

from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.keys.vault.settings import VaultServer

_logger = logging.getLogger(__name__)

_INDEX = "X-Vault-Index"
_REPEATABLE = ("GET", "LIST")
# Standby, behind the index, rate limit, and a proxy whose backend is being replaced.
_PASSING = (412, 429, 472, 473, 502)
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `errors` are the server's words; `fields` may hold a secret and never show in a repr."""

    status: int
    errors: tuple[str, ...]
    fields: Mapping[str, object] = field(repr=False)
    location: str = ""

    @property
    def ok(self) -> bool:
        """Whether the server did what was asked; a redirect is no such answer."""
        return 200 <= self.status < 300

    @property
    def data(self) -> Mapping[str, object]:
        """The mapping under `data`, empty when there is none."""
        return mapping(self.fields.get("data"))


class UnansweredError(UnreachableError):
    """A request was sent and no answer came: it may have had its effect."""


class _OwnTls(HTTPAdapter):
    """Uses one TLS context for everything; what requests would add to it (its own authorities) stays out."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None, retries: urllib3.Retry) -> None:
        self._tls = {"ssl_context": context}
        self._names = {"server_hostname": server_name, "assert_hostname": server_name} if server_name else {}
        super().__init__(max_retries=retries)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool: object) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool, **self._tls, **self._names)

    def proxy_manager_for(self, proxy: str, **options: object) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options, **self._tls, **self._names)
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: object,  # noqa: ARG002 — requests' signature
        cert: object = None,  # noqa: ARG002 — requests' signature
    ) -> tuple[dict[str, object], dict[str, object]]:
        host, _ = super().build_connection_pool_key_attributes(request, True)
        return host, {"cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """Change nothing: the context already says whom to trust."""


class Transport:
    """Sends requests to `server`; connects at the first one. `token` goes with each."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self._session = requests.Session()
        self._session.trust_env = False
        retries = urllib3.Retry(
            connect=0, read=0, redirect=0, other=0, status=server.retries, total=None, backoff_factor=0.2,
            allowed_methods=_REPEATABLE, status_forcelist=_PASSING, raise_on_status=False,
            respect_retry_after_header=False,
        )  # fmt: skip
        self._session.mount("https://", _OwnTls(_context(server), server.server_name, retries))
        self._session.headers["X-Vault-Inconsistent"] = "forward-active-node"
        self._session.hooks["response"].append(self._take_index)
        if server.proxy:
            self._session.proxies = {"https": server.proxy}
        self._adapter = RawAdapter(
            base_uri=server.address,
            token="",
            session=self._session,
            timeout=(min(server.timeout, _CONNECT_SECONDS), server.timeout),
            namespace=server.namespace,
            allow_redirects=False,
        )

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._server.address

    def use(self, token: str) -> None:
        """Send `token` from now on; "" sends none."""
        self._adapter.token = token

    def send(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
    ) -> Answer:
        """Ask for `path` below /v1/; `token` takes the place of the one in use, for this request.

        Raises `UnreachableError` when nothing was sent, `UnansweredError` when no answer came.
        """
        used = self._adapter.token
        self._adapter.token = used if token is None else token
        try:
            response: requests.Response = self._adapter.request(method, f"/v1/{path}", raise_exception=False, json=body)
            return _answer(response)
        except requests.exceptions.RequestException as exc:
            raise self._failure(exc) from exc
        finally:
            self._adapter.token = used

    def close(self) -> None:
        """Forget the token and close the connections."""
        self._adapter.token = ""
        self._session.close()

    def _take_index(self, response: requests.Response, *_args: object, **_options: object) -> None:
        index = response.headers.get(_INDEX)
        if index:
            self._session.headers[_INDEX] = index

    def _failure(self, exc: requests.exceptions.RequestException) -> UnreachableError:
        where, causes = f"the Vault at {self.address}", tuple(_causes(exc))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _untrusted(where, cause)
        if isinstance(exc, requests.exceptions.SSLError):
            reason = next((cause.reason for cause in causes if isinstance(cause, ssl.SSLError)), None)
            hint = "check that the address is that of a TLS listener; one that asks for a certificate needs auth.cert"
            return UnreachableError(f"no TLS connection to {where}", cause=reason, hint=hint)
        # NOTE: urllib3 derives a refused connection from one that timed out.
        if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
            said = next((one.strerror for one in causes if isinstance(one, OSError) and one.strerror), None)
            return UnreachableError(f"{where} cannot be reached", cause=said, hint=_REACH)
        if any(isinstance(cause, urllib3.exceptions.ConnectTimeoutError) for cause in causes):
            waited = f"no connection within {min(self._server.timeout, _CONNECT_SECONDS):g} s"
            return UnreachableError(f"{where} cannot be reached", cause=waited, hint=_REACH)
        if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes):
            return UnansweredError(
                f"{where} took longer than {self._server.timeout:g} s for an answer",
                hint="try again when it is less busy, or allow more: keys.timeout in the cluster file",
            )
        return UnansweredError(
            f"{where} broke the connection off", hint="look whether it is restarting, then try again"
        )


_REACH = "check that it runs, the address (keys.address, VAULT_ADDR), and what lies between"


def mapping(value: object) -> Mapping[str, object]:
    """`value` when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _untrusted(where: str, cause: ssl.SSLCertVerificationError) -> UnreachableError:
    said = cause.verify_message
    if "mismatch" in said:
        hint = "use an address that its certificate has, or name one with keys.serverName"
        return UnreachableError(f"the certificate of {where} is for another name", cause=said, hint=hint)
    if "expired" in said or "not yet valid" in said:
        hint = "renew its certificate, and check the clocks"
        return UnreachableError(f"the certificate of {where} is not valid now", cause=said, hint=hint)
    hint = "name the authority that signed it: keys.cacert, or VAULT_CACERT"
    return UnreachableError(
        f"the certificate of {where} is not signed by an authority you trust", cause=said, hint=hint
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """`exc` and what it was made of: requests keeps causes in its arguments, urllib3 under `reason`."""
    waiting: list[object] = [exc]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _answer(response: requests.Response) -> Answer:
    fields: Mapping[str, object] = {}
    if response.content:
        try:
            fields = mapping(response.json())
        except (ValueError, RecursionError):
            _logger.debug("an answer of status %d is no JSON", response.status_code)
    told = fields.get("errors")
    errors = tuple(" ".join(str(error).split()) for error in told) if isinstance(told, list) else ()
    return Answer(response.status_code, errors, fields, response.headers.get("Location", ""))


def _context(server: VaultServer) -> ssl.SSLContext:
    """TLS that trusts what `server` names, and shows our certificate when there is one."""
    try:
        context = ssl.create_default_context(
            cafile=str(server.ca_file) if server.ca_file else None,
            capath=str(server.ca_directory) if server.ca_directory else None,
            cadata=server.ca_pem,
        )
    except (OSError, ValueError) as exc:
        name = server.ca_file or server.ca_directory or "the value of VAULT_CACERT_BYTES"
        raise UnusableInputError(
            f"the authority for Vault cannot be read: {name}",
            cause=getattr(exc, "strerror", None) or "it is not PEM",
            hint="name a PEM file of certificates: keys.cacert, or VAULT_CACERT",
        ) from exc
    if server.cert:
        try:
            context.load_cert_chain(server.cert, server.key)
        except (OSError, ValueError) as exc:
            raise UnusableInputError(
                f"the certificate for Vault cannot be used: {server.cert}",
                cause=getattr(exc, "strerror", None) or "certificate and key are no pair of PEM files",
                hint="name both as PEM files: auth.cert and auth.key, or VAULT_CLIENT_CERT and VAULT_CLIENT_KEY",
            ) from exc
    return context
