"""Count what is left behind: superseded revisions, and fragments in freed pages, in the WAL and in old files.

Pure. Tells by the head of a value who sealed it or how it stands in plaintext. A whole one under a configured key is
opened too: a retired key may have had the same name. What a leftover means is for `keyctl.verify` to say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, GroupResource, IdentityReader
from keyctl.keys.key import KeyRef
from keyctl.stored import cbor, paths
from keyctl.stored.decrypt import NotOpened, Reason, Ring
from keyctl.stored.display import display
from keyctl.stored.envelope import Encoding, Plaintext, Sealed, classify
from keyctl.stored.source import Area, Fragment, Value

# A fragment that is cut before it says what it is part of.
UNNAMED = ""

_TYPE_META = re.compile(rb"k8s\0\n(?s:.)\n(?s:.)([a-zA-Z0-9./-]{1,63})\x12(?s:.)([A-Za-z]{1,63})\x12")
_JSON_KIND = re.compile(rb'"kind": ?"([A-Za-z]{1,63})"')
_JSON_VERSION = re.compile(rb'"apiVersion": ?"([a-zA-Z0-9./-]{1,128})"')
_JSON_STARTS = (b'{"kind":', b'{"apiVersion":')
_MOST_ELSEWHERE = 3


@dataclass(frozen=True, slots=True)
class LeftGroup:
    """Leftovers of one area and resource that stand alike. `resource` is what they are or may be, see `may_be`.

    `ref` is None for plaintext, `retired` says that no server with the configuration reads with this key any more (or
    that the ledger has deactivated it), `other_bytes` that a configured key of its name does not open them, which makes
    them a retired one's, too. `encrypted` says that new values of the resource are encrypted, False where no
    configuration is known. `first` names the first ones, fit for display.
    """

    area: Area
    resource: str
    ref: KeyRef | None
    retired: bool
    encrypted: bool
    values: int
    first: tuple[str, ...]
    other_bytes: bool = False


@dataclass(slots=True)
class _Tally:
    values: int = 0
    first: list[str] = field(default_factory=list)


class LeftoverCensus:
    """Counts leftovers under `prefix` as a server with `config` would see them; None: it is not known.

    What lies under another prefix is counted apart, by its first part. `deactivated` are keys that the ledger holds for
    retired although a file still has them. With `decrypt` whole values are opened. At most `names_limit` names a group
    are kept.
    """

    def __init__(
        self,
        prefix: bytes,
        config: EncryptionConfig | None,
        *,
        deactivated: frozenset[KeyRef] = frozenset(),
        decrypt: bool = True,
        names_limit: int = 10,
    ) -> None:
        self._prefix, self._config = prefix, config
        self._deactivated, self._names_limit = deactivated, names_limit
        self._names = frozenset(ref.name for ref in effective.refs(config)) if config else frozenset()
        self._decrypt, self._rings = decrypt, dict[str, Ring]()
        self._tallies: dict[tuple[Area, str, KeyRef | None, bool], _Tally] = {}
        self._directory: bytes | None = None
        self._resource: str | None = None
        self._elsewhere: Counter[bytes] = Counter()

    def add_history(self, batch: Iterable[Value]) -> None:
        """Count superseded values."""
        for key, value, revision in batch:
            resource = self._resource_at(key)
            if resource is None:
                self._elsewhere[paths.first_part(key)] += 1
            else:
                self._count(Area.HISTORY, resource, value, key, f"revision {revision}", whole=True)

    def add_fragments(self, batch: Iterable[Fragment]) -> None:
        """Count fragments. A whole one belongs to the resource of its key, another to what it says it is."""
        for one in batch:
            if one.tail_of:
                self._tally(one.area, one.tail_of, None, display(one.place))
                continue
            resource = _resource_said(one.value) if one.key is None else self._resource_at(one.key)
            if resource is None:
                self._elsewhere[paths.first_part(one.key or b"")] += 1
            else:
                self._count(one.area, resource, one.value, one.key, display(one.place), whole=one.whole)

    def result(self) -> tuple[LeftGroup, ...]:
        """What was counted so far, plaintext first."""
        groups = (
            LeftGroup(
                area,
                resource,
                ref,
                other_bytes or self._is_retired(resource, ref),
                self._is_encrypted(resource),
                tally.values,
                tuple(tally.first),
                other_bytes,
            )
            for (area, resource, ref, other_bytes), tally in self._tallies.items()
        )
        order = list(Area)
        return tuple(
            sorted(
                groups,
                key=lambda one: (
                    one.ref is not None,
                    order.index(one.area),
                    one.resource,
                    str(one.ref),
                    one.other_bytes,
                ),
            )
        )

    def elsewhere(self) -> tuple[int, tuple[str, ...]]:
        """How many leftovers lie under other prefixes, and the first parts of most of them, fit for display."""
        first = tuple(display(name) for name, _ in self._elsewhere.most_common(_MOST_ELSEWHERE))
        return self._elsewhere.total(), first

    def _count(self, area: Area, resource: str, value: bytes, key: bytes | None, place: str, *, whole: bool) -> None:
        other_bytes = False
        match classify(value, self._names):
            case Sealed() as head:
                ref: KeyRef | None = head.ref
                if whole and key is not None and not self._is_retired(resource, head.ref):
                    other_bytes = self._is_of_other_bytes(resource, key, value)
            case Plaintext(encoding=encoding):
                # NOTE: one brace alone says nothing, and whole JSON without a kind is no object.
                if encoding is Encoding.JSON and resource == UNNAMED and not _is_cut_object(value):
                    return
                ref = None
            case _:
                # A whole record of a resource that is no known encryption is as open as an object; a piece is noise.
                if not whole or not value:
                    return
                ref = None
        name = place if key is None else f"{display(key)} ({place})"
        self._tally(area, resource, ref, name, other_bytes=other_bytes)

    def _tally(self, area: Area, resource: str, ref: KeyRef | None, name: str, *, other_bytes: bool = False) -> None:
        tally = self._tallies.setdefault((area, resource, ref, other_bytes), _Tally())
        tally.values += 1
        if len(tally.first) < self._names_limit:
            tally.first.append(name)

    def _is_of_other_bytes(self, resource: str, key: bytes, value: bytes) -> bool:
        """Whether `value`, whole and under the name of a configured key, does not open under it."""
        if not self._decrypt or self._config is None:
            return False
        ring = self._rings.get(resource)
        if ring is None:
            ring = self._rings[resource] = Ring(effective.readers(self._config, resource))
        sole = ring.sole(value)
        if sole is not None:
            plain = sole.open(value, len(sole.head), key)
            if not isinstance(plain, Reason):
                # NOTE: under CBC one value of 256 comes out of any bytes, but not as an object begins.
                return not _is_object(plain)
        opened = ring.open(key, value, placed=False)
        return isinstance(opened, NotOpened) and opened.reason is not Reason.KMS

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
            self._directory, self._resource = directory, path.resource if path else None
        return self._resource


def may_be(said: str, resource: str) -> bool:
    """Whether what a leftover says of itself (`LeftGroup.resource`) may be an object of `resource`.

    What is cut before it says anything may be anything; of a kind that is not
    built in only the group is known, because nothing in an object tells its plural.
    """
    group = said.removeprefix("*.")
    return said in (UNNAMED, resource) or (group != said and group == GroupResource.parse(resource).group)


def _is_object(plain: bytes) -> bool:
    """Whether `plain`, which is whole, begins as an object does; one brace comes out of any bytes now and then."""
    found = classify(plain)
    if not isinstance(found, Plaintext) or found.encoding is not Encoding.JSON:
        return isinstance(found, Plaintext)
    try:
        json.loads(plain)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _is_cut_object(value: bytes) -> bool:
    """Whether `value` begins as JSON objects are written, and ends before its last brace."""
    if not value.startswith(_JSON_STARTS):
        return False
    try:
        json.JSONDecoder().raw_decode(value.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return True
    return False


def _resource_said(value: bytes) -> str:
    """What the start of an object says that it is, see `may_be`; `UNNAMED` when it is cut before that."""
    if value.startswith(cbor.MAGIC):
        found = cbor.decode(value)
        said = (found.get("apiVersion"), found.get("kind")) if isinstance(found, dict) else (None, None)
    elif match := _TYPE_META.match(value):
        said = match[1].decode(), match[2].decode()
    else:
        kind, version = _JSON_KIND.search(value), _JSON_VERSION.search(value)
        said = (version[1].decode(), kind[1].decode()) if kind and version else (None, None)
    match said:
        case str() as api_version, str() as name if name:
            return _resource(api_version, name)
        case _:
            return UNNAMED


def _resource(api_version: str, kind: str) -> str:
    """The resource of a built-in kind; of another one the group, as a wildcard."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    word = kind.lower()
    if word.endswith("endpoints"):
        plural = word
    elif word.endswith("y") and not word.endswith("ay"):
        plural = word[:-1] + "ies"
    else:
        plural = word + ("es" if word.endswith(("s", "x", "ch")) else "s")
    resource = f"{plural}.{group}" if group else plural
    if paths.is_built_in(resource):
        return resource
    return f"*.{group}" if group else UNNAMED
