"""The endpoints of one etcd cluster: their addresses, their sessions, and what a failed call means.

Chooses which endpoint answers and turns `CallError` into keyctl's errors, with
the stage that failed. Knows no request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from keyctl.errors import KeyctlError, RevisionLostError, UnreachableError, WrongUsageError
from keyctl.etcd.rpc import CallError, Session
from keyctl.etcd.tls import MutualTls

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

# https, then an IPv6 address in brackets or a host without colon, then a port; etcd's default is 2379.
_ENDPOINT = re.compile(r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@?#]+)(?::(?P<port>[0-9]{1,5}))?/?")
_DEFAULT_PORT = 2379
_AUTHORISATION = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
# etcd says so, as INVALID_ARGUMENT or FAILED_PRECONDITION: what it says, and what helps.
_AUTHORISATION_DETAILS = {
    "user name is empty": "etcd wants a user: a certificate whose common name is one, or etcd.user in the cluster file",
    "authentication failed": "correct etcd.user and the password in etcd.passwordFile",
    "user name not found": "etcd has no such user (etcdctl user list): correct etcd.user in the cluster file",
    "authentication is not enabled": "this etcd knows no users: leave etcd.user and etcd.passwordFile out, or turn its "
    "authentication on: etcdctl auth enable",
}
# gRPC itself says so, as UNAUTHENTICATED, and etcd was never asked.
_NAME_DIFFERS = "call host does not match SSL server name"
# etcd before 3.6 refuses a snapshot as UNKNOWN, in words of its inside: "auth: user not found".
_INSIDE = "auth: "
_RIGHTS = "give a user whose role may read the prefix; a snapshot needs the role root"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of etcd, checked. `host` keeps the brackets of an IPv6 address."""

    url: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read `https://HOST[:PORT]`. Raises `WrongUsageError` for anything else, above all for plain http."""
        match = _ENDPOINT.fullmatch(url)
        port = int(match["port"] or _DEFAULT_PORT) if match else 0
        if match and 0 < port < 1 << 16:
            return cls(url, match["host"], port)
        if url.startswith("https://"):
            raise WrongUsageError(f"{url} is no etcd endpoint", hint="write https://HOST:PORT, IPv6 in brackets")
        bare = url.split("://")[-1]
        raise WrongUsageError(
            f"etcd endpoint {url} is not https",
            cause="keyctl speaks to etcd over mutual TLS only; nothing was sent",
            hint=f"if this etcd listens with TLS: --endpoints https://{bare}",
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connections:
    """Sessions to the endpoints, opened when first needed.

    `diagnose` gets an endpoint's URL and answers what is wrong with it: the cause
    in the first line, hints in the others; nothing when it sees nothing wrong.
    """

    def __init__(
        self,
        endpoints: tuple[str, ...],
        tls: MutualTls,
        *,
        timeout: float,
        server_name: str | None = None,
        user: str | None = None,
        password: str | None = None,
        diagnose: Callable[[str], str] | None = None,
    ) -> None:
        if not endpoints:
            raise WrongUsageError("no etcd endpoint is given", hint="--endpoints https://HOST:2379")
        if (user is None) != (password is None):
            raise WrongUsageError("an etcd user needs a password, and a password a user")
        if timeout <= 0:
            raise WrongUsageError(f"the etcd timeout must be more than 0 s, not {timeout:g} s")
        self.endpoints = tuple(Endpoint.parse(url) for url in endpoints)
        tls.check()
        self._tls = tls
        self.timeout = timeout
        self._server_name = server_name
        self._user = user
        self._password = password
        self._diagnose = diagnose
        self._sessions: dict[Endpoint, Session] = {}

    def ask(self, endpoint: Endpoint, question: Callable[[Session], _Answer]) -> _Answer:
        """Put `question` to one endpoint; `CallError` comes through.

        An expired token of etcd's own authentication is renewed once: it lives
        for minutes only, and a rotation may pause for longer.
        """
        try:
            return question(self._session(endpoint))
        except CallError as error:
            if error.code != "UNAUTHENTICATED" or self._user is None:
                raise
        self.forget(endpoint)
        return question(self._session(endpoint))

    def ask_any(self, question: Callable[[Session], _Answer]) -> tuple[Endpoint, _Answer]:
        """Put `question` to one endpoint after the other until one answers.

        Raises `UnreachableError` with the stage that failed at each of them. What
        another endpoint would refuse too is not asked again.
        """
        failures: list[tuple[Endpoint, CallError]] = []
        for endpoint in self.endpoints:
            try:
                return endpoint, self.ask(endpoint, question)
            except CallError as error:
                _logger.debug("etcd at %s: %s", endpoint, error.code)
                if error.code == "OUT_OF_RANGE" or is_authorisation(error):
                    raise self.failure(endpoint, error) from error
                failures.append((endpoint, error))
        raise self.no_answer(failures) from failures[-1][1]

    def no_answer(self, failures: Sequence[tuple[Endpoint, CallError]]) -> KeyctlError:
        """What it means for the user that each of these endpoints failed; one at least."""
        if len(failures) == 1:
            return self.failure(*failures[0])
        found = [(endpoint, self._explain(endpoint, error)) for endpoint, error in failures]
        return UnreachableError(
            f"no etcd endpoint answered (0 of {len(failures)})",
            cause="\n".join(f"{endpoint} {cause}" for endpoint, (cause, *_) in found),
            hint=tuple(dict.fromkeys(hint for _, (_, *hints) in found for hint in hints)),
        )

    def failure(self, endpoint: Endpoint, error: CallError) -> KeyctlError:
        """What `error` of `endpoint` means for the user."""
        if error.code == "OUT_OF_RANGE" and "compacted" in error.detail:
            return RevisionLostError(
                f"etcd at {endpoint} no longer has the revision that was being read",
                cause="it was compacted away; kube-apiserver compacts what is older than 5 to 10 minutes",
                hint="run it again: a new scan starts at the revision of that moment",
            )
        if error.code == "OUT_OF_RANGE":
            return WrongUsageError(
                f"etcd at {endpoint} has not reached that revision yet",
                cause=error.detail,
                hint="leave the revision out to read what is there now",
            )
        if is_authorisation(error):
            who = f'user "{self._user}"' if self._user else "the common name of the client certificate"
            return UnreachableError(
                f"etcd at {endpoint} refused the request",
                cause=f"authorisation: {error.detail} (etcd knows us by {who})",
                hint=next((hint for said, hint in _AUTHORISATION_DETAILS.items() if said in error.detail), _RIGHTS),
            )
        if error.code == "RESOURCE_EXHAUSTED" and "larger than max" in error.detail:
            return UnreachableError(
                f"etcd at {endpoint} holds a value that is too large to be received",
                cause=error.detail,
                hint="read it from a snapshot: keyctl verify-secrets --snapshot FILE",
            )
        cause, *hints = self._explain(endpoint, error)
        return UnreachableError(f"etcd at {endpoint} could not be reached", cause=cause, hint=tuple(hints))

    def forget(self, endpoint: Endpoint) -> None:
        """Close the session of `endpoint`, so that the next question goes over a new connection."""
        if (session := self._sessions.pop(endpoint, None)) is not None:
            session.close()

    def close(self) -> None:
        """Close every session."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _session(self, endpoint: Endpoint) -> Session:
        if endpoint not in self._sessions:
            self._sessions[endpoint] = Session(
                endpoint.host,
                endpoint.port,
                self._tls,
                timeout=self.timeout,
                server_name=self._server_name,
                user=self._user,
                password=self._password,
            )
        return self._sessions[endpoint]

    def _explain(self, endpoint: Endpoint, error: CallError) -> list[str]:
        try:
            found = self._diagnose(endpoint.url).splitlines() if self._diagnose is not None else []
        except KeyctlError as failed:
            # NOTE: a file of ours that cannot be used just now, as while it is renewed, is no other kind of failure.
            found = [f"{failed}: {failed.cause}" if failed.cause else str(failed), *failed.hints]
        if found:
            return found
        if error.code == "UNIMPLEMENTED" and "http2 header with status" in error.detail:
            # A port for HTTP alone: of --listen-client-http-urls, or for metrics.
            return [f"it answers, and not as etcd's API: {error.detail}", "give the port that clients of etcd use"]
        if error.code == "DEADLINE_EXCEEDED":
            return [f"no answer within {self.timeout:g} s"]
        return [f"{error.code.lower().replace('_', ' ')}: {error.detail}"]


def is_authorisation(error: CallError) -> bool:
    """Whether etcd knew who asked, or that nobody did, and said no."""
    if error.detail == _NAME_DIFFERS:
        return False
    if error.code in _AUTHORISATION or (error.code == "UNKNOWN" and error.detail.startswith(_INSIDE)):
        return True
    return any(text in error.detail for text in _AUTHORISATION_DETAILS)
