"""Wait for servers to be ready, with a deadline that shows their last answer and, where that is safe, their log's end.

kube-apiserver prints key bytes when it refuses an EncryptionConfiguration: of
one that was given such a file nothing of the log is ever shown, only its path.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from keyctl.errors import UnreachableError
from keyctl.lab.network import Answer, get
from keyctl.lab.processes import ProcessId

POLL_SECONDS = 0.1
_TAKEN = "address already in use"


class PortTakenError(UnreachableError):
    """Somebody took the port between our looking and the server's listening."""


@dataclass(frozen=True, slots=True)
class Starting:
    """A process that should become ready: where to ask, and its log since `log_start` (bytes)."""

    name: str
    process: ProcessId
    url: str
    log: Path
    log_start: int
    holds_keys: bool


def wait_until_ready(servers: Sequence[Starting], context: ssl.SSLContext, *, seconds: float, hint: str) -> None:
    """Return when all of `servers` are ready.

    Raises `PortTakenError` for one that found its port taken, `UnreachableError` for one that ended or did not
    become ready within `seconds`, with `hint`.
    """
    deadline = time.monotonic() + seconds
    for server in servers:
        _poll(server, context, lambda answer: answer.status == HTTPStatus.OK, _Limit(deadline, seconds, hint))


def wait_until_listening(server: Starting, context: ssl.SSLContext, *, seconds: float, hint: str) -> None:
    """Return when `server` answers at all, ready or not. Raises what `wait_until_ready` raises."""
    limit = _Limit(time.monotonic() + seconds, seconds, hint)
    _poll(server, context, lambda answer: answer.status != 0, limit)


def wait_until_counted(url: str, context: ssl.SSLContext, addresses: frozenset[str], *, seconds: float) -> None:
    """Return when the `kubernetes` Endpoints, as the server at `url` tells them, are `addresses`.

    Servers register themselves just after they are ready, and correct each other every ten seconds.
    """
    deadline = time.monotonic() + seconds
    while (seen := _endpoints(get(f"{url}/api/v1/namespaces/default/endpoints/kubernetes", context))) != addresses:
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"the API servers did not all register within {seconds:.0f} s",
                cause=f"the kubernetes Endpoints are {sorted(seen)}, not {sorted(addresses)}",
                hint="try again: keyctl lab up",
            )
        time.sleep(POLL_SECONDS)


def unready_checks(answer: Answer) -> str:
    """The last answer in one line: the names of the checks that failed, or why there was no answer."""
    failed = [line.split()[0].removeprefix("[-]") for line in answer.text.splitlines() if line.startswith("[-]")]
    if failed:
        return f"not ready: {', '.join(failed)}"
    return f"it answered {answer.status}" if answer.status else f"no answer: {answer.text}"


@dataclass(frozen=True, slots=True)
class _Limit:
    """How long to wait: until `deadline` (monotonic), `seconds` after the start; `hint` is what may help."""

    deadline: float
    seconds: float
    hint: str


def _poll(server: Starting, context: ssl.SSLContext, enough: Callable[[Answer], bool], limit: _Limit) -> None:
    while not enough(answer := get(server.url, context)):
        if not server.process.alive():
            kind = PortTakenError if _TAKEN in _log(server) else UnreachableError
            raise kind(f"{server.name} ended instead of becoming ready", cause=_log_end(server), hint=limit.hint)
        if time.monotonic() > limit.deadline:
            raise UnreachableError(
                f"{server.name} was not ready within {limit.seconds:.0f} s",
                cause=f"{unready_checks(answer)}; {_log_end(server)}",
                hint=limit.hint,
            )
        time.sleep(POLL_SECONDS)


def _endpoints(answer: Answer) -> frozenset[str]:
    if answer.status != HTTPStatus.OK:
        return frozenset()
    subsets = json.loads(answer.text).get("subsets") or ()
    return frozenset(address["ip"] for subset in subsets for address in subset.get("addresses", ()))


def _log(server: Starting) -> str:
    with server.log.open("rb") as stream:
        stream.seek(server.log_start)
        return stream.read().decode(errors="replace")


def _log_end(server: Starting) -> str:
    if server.holds_keys:
        return "its log may hold key bytes and is not shown here"
    return "its log ends: " + " | ".join(_log(server).strip().splitlines()[-3:])
