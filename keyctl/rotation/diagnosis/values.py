"""Which key really opens each stored value: every key at hand is tried, whatever it is called where it was found.

Pure: keys and values in, counts out. What comes out of a value is looked at as far as telling that it is an object,
and dropped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from keyctl.encryption_config.model import EncryptionConfig, StaticReader
from keyctl.keys.key import STATIC_PROVIDERS, Key, KeyRef, Provider
from keyctl.rotation.diagnosis.facts import KnownKey, ValueGroup
from keyctl.stored import paths
from keyctl.stored.decrypt import Candidate, NotOpened, Opened, Reason, Ring
from keyctl.stored.display import display
from keyctl.stored.envelope import Plaintext, Sealed, classify
from keyctl.stored.kube_object import fits, frame_head, namespace_field
from keyctl.stored.paths import PathKind, StoredPath
from keyctl.stored.source import Value

DECODED = "decoded from base64 once more"
ENCODED = "encoded in base64 once more"

_IDENTITY = KeyRef(Provider.IDENTITY, "")
_NAMES = 5


@dataclass(slots=True)
class _Count:
    values: int = 0
    first: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Lane:
    """How to deal with a value like the last one: same directory, same head, same key, and nothing to note of it."""

    directory: bytes
    candidate: Candidate
    frame: bytes
    namespace: bytes
    count: _Count

    def takes(self, key: bytes, value: bytes) -> bool:
        """Whether the value is one of these, opens, and is an object that belongs at `key`."""
        start, head = len(self.directory), self.candidate.head
        if not (key.startswith(self.directory) and value.startswith(head)) or key.find(b"/", start) >= 0:
            return False
        plain = self.candidate.open(value, len(head), key)
        return not isinstance(plain, Reason) and fits(plain, self.frame, self.namespace, key[start:])


@dataclass(frozen=True, slots=True)
class _Identity:
    resource: str
    ref: KeyRef | None
    version: str
    place: int | None
    lost: bool
    why: str


class Trial:
    """Counts batches of values by the key that opened them, trying all of `keys`.

    `configs` tell the group of a resource that its path does not. At most `names` names a group are kept.
    """

    def __init__(
        self, prefix: bytes, keys: Iterable[KnownKey], configs: Iterable[EncryptionConfig] = (), *, names: int = _NAMES
    ) -> None:
        self._prefix, self._limit = prefix, names
        self._keys = with_variants(keys)
        self._heads = frozenset(known.key.name for known in self._keys)
        self._named = frozenset(text for config in configs for entry in config.entries for text in entry.resources)
        self._rings: dict[KeyRef, list[tuple[int, Ring]]] = {}
        self._counts: dict[_Identity, _Count] = {}
        self._directory, self._path = b"\0", StoredPath("", None, "", PathKind.INFRASTRUCTURE)
        self._last: tuple[Ring, Opened] | None = None
        self._lane: _Lane | None = None

    def add(self, batch: Iterable[Value]) -> None:
        """Count `batch`; what lies outside the prefix, and what the servers keep for themselves, is passed over."""
        for key, value, _ in batch:
            if self._lane is not None and self._lane.takes(key, value):
                self._lane.count.values += 1
                continue
            directory = paths.directory_of(key)
            if directory != self._directory:
                found = paths.parse(self._prefix, key)
                if found is None:
                    continue
                self._directory, self._path = directory, found
            self._last = None
            identity = self._identify(key, value)
            if identity is None:
                continue
            count = self._counts.setdefault(identity, _Count())
            count.values += 1
            if len(count.first) < self._limit:
                count.first.append(display(key))
            else:
                self._lane = self._next_lane(value, count)

    def groups(self) -> tuple[ValueGroup, ...]:
        """What was counted so far: by resource, then by key."""
        groups = (
            ValueGroup(
                resource=one.resource,
                ref=one.ref,
                values=count.values,
                opened=None if one.place is None else self._keys[one.place],
                lost=one.lost,
                version=one.version,
                first=tuple(count.first),
                why=one.why,
            )
            for one, count in self._counts.items()
        )
        return tuple(sorted(groups, key=_order))

    def _identify(self, key: bytes, value: bytes) -> _Identity | None:
        path = self._path
        head = classify(value, self._heads)
        resource = self._full_name(path)
        match head:
            case Sealed(provider=Provider.KMS, version=version):
                return _Identity(resource, head.ref, version, None, lost=False, why="")
            case Sealed():
                place, why = self._open(head.ref, key, value)
                return _Identity(resource, head.ref, "v1", place, lost=place is None, why=why)
            case Plaintext():
                if path.kind is PathKind.INFRASTRUCTURE:
                    return None
                return _Identity(resource, _IDENTITY, "v1", None, lost=False, why="")
        # NOTE: infrastructure, and what others keep under the prefix, is no object and never was one.
        if path.kind in (PathKind.INFRASTRUCTURE, PathKind.UNKNOWN) and not value.startswith(b"k8s:enc:"):
            return None
        return _Identity(resource, None, "v1", None, lost=True, why="neither encrypted in a known way nor an object")

    def _open(self, ref: KeyRef, key: bytes, value: bytes) -> tuple[int | None, str]:
        rings = self._rings.get(ref)
        if rings is None:
            rings = self._rings[ref] = list(self._candidates(ref))
        for at, (place, ring) in enumerate(rings):
            outcome = ring.open(key, value)
            if _is_its_key(outcome, ref.provider):
                self._last = (ring, outcome) if isinstance(outcome, Opened) else None
                # What opened one value opens the next one, most likely.
                rings.insert(0, rings.pop(at))
                return place, ""
        named = any(known.key.ref == ref for known in self._keys)
        return None, (
            "no key at hand opens it: other bytes under that name, or damaged" if named else "no such key is at hand"
        )

    def _next_lane(self, value: bytes, count: _Count) -> _Lane | None:
        """The lane of the values like the last one; None where its head does not tell all."""
        if self._last is None:
            return self._lane
        ring, outcome = self._last
        candidate = ring.sole(value)
        if candidate is None:
            return None
        frame, namespace = frame_head(outcome.object), namespace_field(self._path.namespace)
        return _Lane(self._directory, candidate, frame, namespace, count)

    def _candidates(self, ref: KeyRef) -> Iterator[tuple[int, Ring]]:
        seen: set[bytes] = set()
        for place in sorted(range(len(self._keys)), key=lambda place: _likelihood(self._keys[place], ref)):
            material = self._keys[place].key.material
            if material not in seen and len(material) in STATIC_PROVIDERS[ref.provider]:
                seen.add(material)
                yield place, Ring((StaticReader(Key(ref.provider, ref.name, material)),))

    def _full_name(self, path: StoredPath) -> str:
        if path.kind is not PathKind.UNKNOWN:
            return path.resource
        full = [name for name in self._named if name.startswith(path.resource + ".")]
        return full[0] if len(full) == 1 else path.resource


def with_variants(keys: Iterable[KnownKey]) -> tuple[KnownKey, ...]:
    """`keys`, and behind them what their bytes become when base64 was applied once too often or too seldom."""
    found = tuple(keys)
    return (*found, *(variant for known in found if not known.changed for variant in _variants(known)))


def _variants(known: KnownKey) -> Iterator[KnownKey]:
    material = known.key.material
    texts = {ENCODED: base64.b64encode(material)}
    with suppress(binascii.Error, ValueError):
        texts[DECODED] = base64.b64decode(material, validate=True)
    for changed, other in texts.items():
        if len(other) in STATIC_PROVIDERS[known.key.provider]:
            yield KnownKey(Key(known.key.provider, known.key.name, other), known.origin, changed)


def _is_its_key(outcome: Opened | NotOpened, provider: Provider) -> bool:
    """Whether the key is that of the value. The padding of aescbc is no proof, so there an object has to come out."""
    if isinstance(outcome, Opened) or outcome.reason is Reason.WRONG_PLACE:
        return True
    return outcome.reason is Reason.NOT_AN_OBJECT and provider is not Provider.AESCBC


def _likelihood(known: KnownKey, ref: KeyRef) -> tuple[bool, bool, bool]:
    return (bool(known.changed), known.key.name != ref.name, known.key.provider is not ref.provider)


def _order(group: ValueGroup) -> tuple[str, str, bool, str]:
    return (group.resource, str(group.ref or ""), group.lost, group.opened.key.fingerprint if group.opened else "")
