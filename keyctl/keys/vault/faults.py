"""What an answer of Vault that is no success means, in keyctl's own errors: one message each, with what to do.

Pure: an answer in, an error out. Nothing of an answer's body but the server's
`errors` is ever repeated, and of these only where they name no secret.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.keys.vault.transport import Answer

_CAS = "check-and-set parameter did not match"
_UPGRADING = ("upgrading from non-versioned to versioned", "waiting for the primary to upgrade")
_LEADERLESS = ("local node not active", "active cluster node not found", "leadership lost", "no active node")


class DeniedError(UnreachableError):
    """The token is valid and may not do this."""


class UnknownOutcomeError(UnreachableError):
    """The server failed while it wrote: what was asked may have happened."""


def is_conflict(answer: Answer) -> bool:
    """Whether a write was refused because somebody else wrote first."""
    return answer.status == 400 and _says(answer, _CAS)


def is_upgrading(answer: Answer) -> bool:
    """Whether the engine was mounted a moment ago and is not ready yet."""
    return answer.status == 400 and _says(answer, *_UPGRADING)


def is_absent(answer: Answer) -> bool:
    """Whether nothing is at that path: a 404 without a word. One with words is about the mount or the namespace."""
    return answer.status == 404 and not answer.errors


def expired(address: str, *, hint: str) -> UnreachableError:
    """The error for a token that the server at `address` does not take any more."""
    return UnreachableError(
        f"the Vault at {address} does not accept the token",
        cause="it has expired, was revoked, or was never one of this server",
        hint=hint,
    )


def explain(answer: Answer, *, address: str, doing: str, path: str, namespace: str | None) -> KeyctlError:
    """The error for an `answer` that is no success. `doing` completes "may not …"; `path` names the object."""
    where = f"the Vault at {address}"
    if 300 <= answer.status < 400:
        return _standby(answer, where)
    if answer.status == 403:
        return DeniedError(
            f"{where} permits this token not to {doing}: {path}",
            hint="log in as somebody who may, or give this token its policy: keyctl keys policies",
        )
    if answer.status == 404:
        return _nowhere(answer, where, path, namespace)
    if answer.status == 503 or answer.status == 501:
        return _closed(answer, where)
    if answer.status in (412, 429, 472, 473):
        return _busy(answer, where)
    if answer.status >= 500:
        return _failed(answer, where, path)
    if answer.status == 405:
        return _engine(where, path)
    if is_upgrading(answer):
        return UnreachableError(f"{where} is still preparing the engine of {path}", hint="try again in a minute")
    return UnreachableError(
        f"{where} refused to {doing}: {path}",
        cause=f"status {answer.status}: {_words(answer)}",
        hint="look into its log; the address must be that of Vault itself",
    )


def deleted(message: str, path: str, *, mount: str, version: int, at: str) -> UnusableInputError:
    """The error for an entry that is deleted and can be brought back; `message` says what it is."""
    return UnusableInputError(
        message,
        cause=f"version {version} was deleted, or has expired, at {at}",
        hint=f"bring it back: bao kv undelete -mount={mount} -versions={version} {path}",
    )


def conflict(path: str) -> RefusedError:
    """The error for a ledger that others keep writing."""
    return RefusedError(
        f"somebody else keeps changing {path}: nothing was changed by this run",
        cause="its check-and-set was lost again and again",
        hint="let one run at a time change this cluster; see what there is: keyctl keys list",
    )


def _standby(answer: Answer, where: str) -> UnreachableError:
    target = urlsplit(answer.location)
    # NOTE: only the host is shown, and nobody goes there: a redirect takes the token to an address nobody configured.
    cause = f"it sends its clients to {target.hostname}" if target.hostname else "it does not forward requests"
    return UnreachableError(
        f"{where} is a standby and sends requests elsewhere",
        cause=cause,
        hint="name the active server: keys.address, or VAULT_ADDR; no redirect is followed",
    )


def _nowhere(answer: Answer, where: str, path: str, namespace: str | None) -> UnreachableError | UnusableInputError:
    if _says(answer, "namespace not found") or (namespace and _says(answer, "namespace")):
        return UnreachableError(
            f"{where} has no namespace {namespace}", hint="check keys.namespace, or VAULT_NAMESPACE"
        )
    if answer.errors:
        return UnreachableError(f"{where} has no engine at the mount of {path}", hint="check keys.mount and namespace")
    return UnusableInputError(f"{where} has nothing at {path}", hint="check keys.mount and keys.path")


def _closed(answer: Answer, where: str) -> UnreachableError:
    if answer.status == 501:
        return UnreachableError(f"{where} is not initialised", hint="initialise it: bao operator init")
    if _says(answer, "sealed"):
        return UnreachableError(f"{where} is sealed", hint="unseal it (bao operator unseal), then run this again")
    return UnreachableError(
        f"{where} is not available", cause=_words(answer) or None, hint="see how it is: bao status; then run this again"
    )


def _busy(answer: Answer, where: str) -> UnreachableError:
    if answer.status == 429 and not _says(answer, "standby"):
        return UnreachableError(f"{where} limits how often it may be asked", hint="wait, or raise its rate limit")
    if answer.status == 412:
        return UnreachableError(f"{where} is a standby that lags behind", hint="try again, or name the active server")
    return UnreachableError(f"{where} is a standby", hint="name the active server: keys.address, or VAULT_ADDR")


def _failed(answer: Answer, where: str, path: str) -> UnreachableError | UnusableInputError:
    if _says(answer, "too large"):
        return UnusableInputError(
            f"{path} has outgrown what {where} stores in one entry",
            hint="forget the backups that are gone: keyctl snapshot forget FILE",
        )
    if _says(answer, *_LEADERLESS):
        return UnknownOutcomeError(
            f"{where} has no active server at the moment", cause=_words(answer), hint="wait for its election, run again"
        )
    return UnknownOutcomeError(
        f"{where} failed on {path}",
        cause=f"status {answer.status}: {_words(answer)}",
        hint="look into its log, then run this again",
    )


def _engine(where: str, path: str) -> UnreachableError:
    return UnreachableError(f"the engine of {path} in {where} is no KV of version 2", hint=ENGINE_HINT)


ENGINE_HINT = "enable one: bao secrets enable -path=keyctl -version=2 kv; or name another with keys.mount"


def _says(answer: Answer, *texts: str) -> bool:
    said = " ".join(answer.errors).lower()
    return any(text in said for text in texts)


def _words(answer: Answer) -> str:
    return "; ".join(answer.errors) or "it said nothing"
