"""A KV v2 engine of one Vault or OpenBao: entries with versions, written under check-and-set.

Knows the API and its three ways of having nothing, and knows no key and no
ledger. Every failure leaves as one of keyctl's errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keyctl.errors import RefusedError, UnreachableError
from keyctl.keys.vault import faults
from keyctl.keys.vault.login import Login
from keyctl.keys.vault.transport import Answer, Transport, UnansweredError, mapping

# An engine that was just mounted needs about a second.
_UPGRADE_SECONDS = 15.0
_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Found:
    """An entry. `fields` may hold a key and never show in a repr."""

    version: int
    fields: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was ever there, or all trace of it is erased."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The newest version is deleted, or has expired; it can be brought back."""

    version: int
    at: str


@dataclass(frozen=True, slots=True)
class Destroyed:
    """The bytes of the newest version are gone for good."""

    version: int


Reading = Found | Missing | Deleted | Destroyed


class CasMismatchError(RefusedError):
    """Somebody wrote since; nothing was changed."""


class KeyValues(Protocol):
    """What the key store needs of the engine. Every call raises keyctl's errors only."""

    @property
    def location(self) -> str:
        """Address and mount, for messages."""
        ...

    @property
    def mount(self) -> str:
        """The mount, for hints."""
        ...

    def read(self, path: str) -> Reading:
        """The newest version of the entry at `path`."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """What entries there are in `folder`, deleted ones among them; no folders."""
        ...

    def write(self, path: str, fields: Mapping[str, object], *, cas: int | None) -> int:
        """Write a version after version `cas`, 0 for the first, None for whichever; returns its number.

        Raises `CasMismatchError` when `cas` is not the newest, `UnknownOutcomeError` or
        `UnansweredError` when it may have been written.
        """
        ...

    def annotate(self, path: str, metadata: Mapping[str, str]) -> None:
        """Set the metadata that is readable without the right to read the entry, and nothing else of the entry."""
        ...

    def keep_newest(self, path: str) -> None:
        """From the next write on, keep no version of the entry but the newest."""
        ...

    def destroy(self, path: str) -> None:
        """Erase the bytes of every version for good; the path stays used."""
        ...

    def may_destroy(self, path: str) -> bool:
        """Whether the token has the right to `destroy`."""
        ...

    def require_lasting(self) -> None:
        """Raise `RefusedError` when the engine would let entries expire."""
        ...


class VaultClient:
    """The engine at `mount`; connects and logs in at the first call."""

    def __init__(
        self,
        transport: Transport,
        login: Login,
        *,
        mount: str,
        namespace: str | None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._login = login
        self._mount = mount
        self._namespace = namespace
        self._sleep = sleep
        self._monotonic = monotonic
        self._examined = False
        self._lasting = False

    @property
    def location(self) -> str:
        """See `KeyValues.location`."""
        namespace = f"{self._namespace}/" if self._namespace else ""
        return f"{self._transport.address} {namespace}{self._mount}"

    @property
    def mount(self) -> str:
        """See `KeyValues.mount`."""
        return self._mount

    def read(self, path: str) -> Reading:
        """See `KeyValues.read`."""
        self._examine()
        answer = self._ask("GET", f"{self._mount}/data/{path}")
        metadata = mapping(answer.data.get("metadata"))
        if answer.ok:
            return Found(_whole(metadata.get("version")), mapping(answer.data.get("data")))
        if answer.status == 404 and metadata:
            version = _whole(metadata.get("version"))
            at = metadata.get("deletion_time")
            return Destroyed(version) if metadata.get("destroyed") is True else Deleted(version, str(at))
        if faults.is_absent(answer):
            return Missing()
        raise self._explain(answer, "read", path)

    def names(self, folder: str) -> tuple[str, ...]:
        """See `KeyValues.names`."""
        self._examine()
        answer = self._ask("LIST", f"{self._mount}/metadata/{folder}")
        if faults.is_absent(answer):
            return ()
        if not answer.ok:
            raise self._explain(answer, "list", folder)
        found = answer.data.get("keys")
        return tuple(str(one) for one in found if not str(one).endswith("/")) if isinstance(found, list) else ()

    def write(self, path: str, fields: Mapping[str, object], *, cas: int | None) -> int:
        """See `KeyValues.write`."""
        self._examine()
        body = {"options": {} if cas is None else {"cas": cas}, "data": fields}
        answer = self._ask("POST", f"{self._mount}/data/{path}", body)
        if faults.is_conflict(answer):
            raise CasMismatchError(f"{path} was written by somebody else meanwhile", hint="run this again")
        if not answer.ok:
            raise self._explain(answer, "write", path)
        if answer.data.get("deletion_time"):
            raise self._expiring(f"what is written at {path} expires at {answer.data['deletion_time']}")
        return _whole(answer.data.get("version"))

    def annotate(self, path: str, metadata: Mapping[str, str]) -> None:
        """See `KeyValues.annotate`."""
        # NOTE: hvac's own call for this would reset delete_version_after along with it.
        self._do("annotate", f"{self._mount}/metadata/{path}", {"custom_metadata": metadata, "cas_required": True})

    def keep_newest(self, path: str) -> None:
        """See `KeyValues.keep_newest`."""
        # NOTE: as text, for a policy can name it only so: a number in one never equals a number in a request.
        self._do("shorten", f"{self._mount}/metadata/{path}", {"max_versions": "1"})

    def destroy(self, path: str) -> None:
        """See `KeyValues.destroy`."""
        self._examine()
        answer = self._ask("GET", f"{self._mount}/metadata/{path}")
        if faults.is_absent(answer):
            return
        if not answer.ok:
            raise self._explain(answer, "read the metadata of", path)
        versions = sorted(int(version) for version in mapping(answer.data.get("versions")))
        self._do("destroy", f"{self._mount}/destroy/{path}", {"versions": versions})

    def may_destroy(self, path: str) -> bool:
        """See `KeyValues.may_destroy`."""
        wanted = f"{self._mount}/destroy/{path}"
        answer = self._ask("POST", "sys/capabilities-self", {"paths": [wanted]})
        found = answer.data.get(wanted)
        # Where that cannot be asked, the attempt itself will tell.
        return not answer.ok or (isinstance(found, list) and bool({"update", "root"} & set(found)))

    def require_lasting(self) -> None:
        """See `KeyValues.require_lasting`."""
        self._examine()
        if self._lasting:
            return
        answer = self._ask("GET", f"{self._mount}/config")
        if not answer.ok:
            raise self._explain(answer, "read the settings of", f"{self._mount}/config")
        after = answer.data.get("delete_version_after", "0s")
        if after != "0s":
            raise self._expiring(f"the engine deletes every version after {after}")
        self._lasting = True

    def close(self) -> None:
        """Give the token back and close the connections."""
        self._login.close()
        self._transport.close()

    def _examine(self) -> None:
        """Once: refuse a mount that is no KV engine of version 2, as far as the token may see."""
        if self._examined:
            return
        answer = self._ask("GET", f"sys/internal/ui/mounts/{self._mount}")
        options = mapping(answer.data.get("options"))
        where = f"the mount {self._mount} of the Vault at {self._transport.address}"
        if answer.ok and answer.data.get("type") not in ("kv", "generic"):
            raise UnreachableError(f"{where} is no KV engine", hint=faults.ENGINE_HINT)
        if answer.ok and options.get("version") != "2":
            raise UnreachableError(
                f"{where} is KV of version 1, which keeps no versions and no check-and-set",
                hint="raise it (bao kv enable-versioning), or name another with keys.mount",
            )
        if answer.status == 403:
            raise UnreachableError(
                f"{where} does not exist, or this token may do nothing there",
                hint="check keys.mount, and that the token has a policy for it: keyctl keys policies",
            )
        if not answer.ok:
            raise self._explain(answer, "look at", self._mount)
        self._examined = True

    def _do(self, doing: str, path: str, body: Mapping[str, object]) -> None:
        answer = self._ask("POST", path, body)
        if not answer.ok:
            raise self._explain(answer, doing, path)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """Send with a token that is alive; wait for an engine that was mounted a moment ago."""
        self._login.ensure()
        answer = self._transport.send(method, path, body)
        if answer.status == 403 and self._login.again():
            answer = self._transport.send(method, path, body)
        if answer.status == 403 and (expired := self._login.denied()):
            raise expired
        deadline = self._monotonic() + _UPGRADE_SECONDS
        while faults.is_upgrading(answer) and self._monotonic() < deadline:
            self._sleep(_PAUSE)
            answer = self._transport.send(method, path, body)
        return answer

    def _explain(self, answer: Answer, doing: str, path: str) -> Exception:
        return faults.explain(
            answer, address=self._transport.address, doing=doing, path=path, namespace=self._namespace
        )

    def _expiring(self, cause: str) -> RefusedError:
        return RefusedError(
            f"{self.location} lets its entries expire, and no key may",
            cause=cause,
            hint=f"set it to 0s: bao write {self._mount}/config delete_version_after=0s",
        )


UNCERTAIN = (faults.UnknownOutcomeError, UnansweredError)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
