"""Count what is left behind: superseded revisions, and fragments in freed pages, in the WAL and in old files.

Pure. Tells by the head of a value who sealed it or how it stands in plaintext; opens nothing. What a leftover means
is for `keyctl.verify` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.keys.key import KeyRef
from keyctl.stored import paths
from keyctl.stored.display import display
from keyctl.stored.envelope import Encoding, Plaintext, Sealed, classify
from keyctl.stored.source import Area, Fragment, Value

# A fragment that is cut before it says what it is part of.
UNNAMED = ""

_TYPE_META = re.compile(rb"k8s\0\n(?s:.)\n(?s:.)([a-zA-Z0-9./-]{1,63})\x12(?s:.)([A-Za-z]{1,63})\x12")
_JSON_KIND = re.compile(rb'"kind": ?"([A-Za-z]{1,63})"')
_JSON_VERSION = re.compile(rb'"apiVersion": ?"([a-zA-Z0-9./-]{1,128})"')
_JSON_HEAD = 4096


@dataclass(frozen=True, slots=True)
class LeftGroup:
    """Leftovers of one area and resource that stand alike.

    `ref` is None for plaintext, `retired` says that no server with the configuration reads with this key any more (or
    that the ledger has deactivated it). `encrypted` says that new values of the resource are encrypted, False where no
    configuration is known. `first` names the first ones, fit for display.
    """

    area: Area
    resource: str
    ref: KeyRef | None
    retired: bool
    encrypted: bool
    values: int
    first: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    values: int = 0
    first: list[str] = field(default_factory=list)


class LeftoverCensus:
    """Counts leftovers under `prefix` as a server with `config` would see them; None: it is not known.

    `deactivated` are keys that the ledger holds for retired although a file still has them. At most `names_limit`
    names a group are kept.
    """

    def __init__(
        self,
        prefix: bytes,
        config: EncryptionConfig | None,
        *,
        deactivated: frozenset[KeyRef] = frozenset(),
        names_limit: int = 10,
    ) -> None:
        self._prefix, self._config = prefix, config
        self._deactivated, self._names_limit = deactivated, names_limit
        self._names = frozenset(ref.name for ref in effective.refs(config)) if config else frozenset()
        self._tallies: dict[tuple[Area, str, KeyRef | None], _Tally] = {}
        self._directory, self._resource = b"", UNNAMED

    def add_history(self, batch: Iterable[Value]) -> None:
        """Count superseded values."""
        for key, value, revision in batch:
            resource = self._resource_at(key)
            if resource is not None:
                self._count(Area.HISTORY, resource, value, display(key), f"revision {revision}", whole=True)

    def add_fragments(self, batch: Iterable[Fragment]) -> None:
        """Count fragments. A whole one belongs to the resource of its key, another to what it says it is."""
        for one in batch:
            resource = _resource_said(one.value) if one.key is None else self._resource_at(one.key)
            if resource is not None:
                name = UNNAMED if one.key is None else display(one.key)
                self._count(one.area, resource, one.value, name, display(one.place), whole=one.whole)

    def result(self) -> tuple[LeftGroup, ...]:
        """What was counted so far, plaintext first."""
        groups = (
            LeftGroup(
                area,
                resource,
                ref,
                self._is_retired(resource, ref),
                self._is_encrypted(resource),
                tally.values,
                tuple(tally.first),
            )
            for (area, resource, ref), tally in self._tallies.items()
        )
        order = list(Area)
        return tuple(
            sorted(groups, key=lambda one: (one.ref is not None, order.index(one.area), one.resource, str(one.ref)))
        )

    def _count(self, area: Area, resource: str, value: bytes, name: str, place: str, *, whole: bool) -> None:
        match classify(value, self._names):
            case Sealed() as head:
                ref: KeyRef | None = head.ref
            case Plaintext(encoding=encoding):
                # NOTE: one brace alone says nothing; what is cut before it names a kind may be anything.
                if encoding is Encoding.JSON and resource == UNNAMED:
                    return
                ref = None
            case _:
                # A whole record of a resource that is no known encryption is as open as an object; a piece is noise.
                if not whole or not value:
                    return
                ref = None
        tally = self._tallies.setdefault((area, resource, ref), _Tally())
        tally.values += 1
        if len(tally.first) < self._names_limit:
            tally.first.append(f"{name} ({place})" if name else place)

    def _is_retired(self, resource: str, ref: KeyRef | None) -> bool:
        if ref is None:
            return False
        if ref in self._deactivated:
            return True
        if self._config is None:
            return False
        readers = effective.readers(self._config, resource) if resource else ()
        known = {reader.ref for reader in readers} if resource else set(effective.refs(self._config))
        return ref not in known

    def _is_encrypted(self, resource: str) -> bool:
        if self._config is None or resource == UNNAMED:
            return False
        return not isinstance(effective.writer(self._config, resource), IdentityReader)

    def _resource_at(self, key: bytes) -> str | None:
        """The resource of an etcd key; None for one that is not under the prefix."""
        directory = paths.directory_of(key)
        if directory != self._directory:
            path = paths.parse(self._prefix, key)
            if path is None:
                return None
            self._directory, self._resource = directory, path.resource
        return self._resource


def _resource_said(value: bytes) -> str | None:
    """The resource of which the start of an object says that it is one; `UNNAMED` when it is cut before that."""
    match = _TYPE_META.match(value)
    if match is not None:
        return _plural(match[1].decode(), match[2].decode())
    head = value[:_JSON_HEAD]
    kind, version = _JSON_KIND.search(head), _JSON_VERSION.search(head)
    return _plural(version[1].decode(), kind[1].decode()) if kind and version else UNNAMED


def _plural(api_version: str, kind: str) -> str:
    """The resource of a kind, as the API names its own: `secrets` for v1 Secret."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    word = kind.lower()
    if word.endswith("endpoints"):
        plural = word
    elif word.endswith("y") and not word.endswith("ay"):
        plural = word[:-1] + "ies"
    else:
        plural = word + ("es" if word.endswith(("s", "x", "ch")) else "s")
    return f"{plural}.{group}" if group else plural
