"""Count what is stored, by resource, provider and key, and open each value with the key that it names.

Pure. Values that are like the one before them take a short way that makes no
objects (see `_Lane`); all others take `_count`, which knows everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.keys.key import KeyRef
from keyctl.stored import paths
from keyctl.stored.decrypt import NotOpened, Opened, Opener, Reason, Ring
from keyctl.stored.display import display
from keyctl.stored.envelope import MAGIC_SIZES, Encoding, Head, Plaintext, Sealed, Unrecognised, classify
from keyctl.stored.groups import Group, Role, Tally, TallyBook
from keyctl.stored.kube_object import fits, frame_head, namespace_field
from keyctl.stored.paths import PathKind, StoredPath
from keyctl.stored.source import PLACE, Batch, Packed, Value, taken

# Of so many directories it is kept how to deal with the values in them: a source on disk does not go one by one.
_MOST_DIRECTORIES = 4096


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that a server with this configuration cannot read, or should not. `etcd_key` is fit for display."""

    etcd_key: str
    resource: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A value to be rewritten, or read through the servers. `uid` is empty where only a KMS plugin can tell it."""

    etcd_key: bytes
    resource: str
    namespace: str | None
    name: str
    uid: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class CensusResult:
    """What was counted. Counts are exact; `problems`, `work` and `kms` hold the first ones.

    `problem_counts` is by (resource, reason); `unreadable` is their sum.
    `work_total` counts every value that is not under the wanted key, the
    unreadable ones too; `work` holds those of them that can be rewritten. `kms`
    holds what one of the configured KMS plugins, and nothing else, can open (rule R16).
    """

    values: int
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    problem_counts: Mapping[tuple[str, Reason], int]
    unreadable: int
    work: tuple[WorkItem, ...]
    work_total: int
    kms: tuple[WorkItem, ...] = ()


@dataclass(slots=True)
class _Place:
    """What all keys of one directory share."""

    directory: bytes
    path: StoredPath
    ring: Ring
    book: TallyBook
    want: KeyRef | None


@dataclass(slots=True)
class _Lane:
    """How to deal with a value like one before it: same directory, same head, nothing to note but its count.

    `open` is None where values are only counted.
    """

    head: bytes | tuple[()]
    body_at: int
    open: Opener | None
    frame: bytes
    namespace: bytes
    tally: Tally


class Census:
    """Counts batches of values as a server with `config` would read them.

    `config` None: it is not known, so roles are unknown and nothing is decrypted.
    `decrypt` False: heads are judged, bodies are not opened. `want` says under
    which key the values of a resource should stand. At most `work_limit` work
    items, `kms_limit` values of KMS plugins and `names_limit` names a group and a kind of problem are kept.
    """

    def __init__(
        self,
        prefix: bytes,
        config: EncryptionConfig | None,
        *,
        decrypt: bool = True,
        want: Mapping[str, KeyRef] | None = None,
        work_limit: int = 0,
        kms_limit: int = 0,
        names_limit: int = 20,
    ) -> None:
        self._prefix, self._config, self._decrypt = prefix, config, decrypt
        self._want, self._names_limit = want or {}, names_limit
        self._work_limit, self._kms_limit = work_limit, kms_limit
        self._names = _key_names(config)
        self._rings: dict[tuple[str, PathKind], tuple[Ring, TallyBook]] = {}
        self._places: dict[bytes, _Place] = {}
        self._lanes: dict[bytes, _Lane] = {}
        self._problems: dict[tuple[str, Reason], list[Problem]] = {}
        self._problem_counts: Counter[tuple[str, Reason]] = Counter()
        self._work: list[WorkItem] = []
        self._kms: list[WorkItem] = []

    def add(self, batch: Batch) -> None:
        """Count `batch`. Keys that do not lie under the prefix are passed over."""
        lane_of = self._lanes.get
        for key, value, revision in self._left(batch) if isinstance(batch, Packed) else batch:
            name_at = key.rfind(b"/") + 1
            lane = lane_of(key[:name_at], _NO_LANE)
            if value.startswith(lane.head):
                if lane.open is None:
                    lane.tally.values += 1
                    continue
                plain = lane.open(value, lane.body_at, key)
                if not isinstance(plain, Reason) and fits(plain, lane.frame, lane.namespace, key[name_at:]):
                    lane.tally.values += 1
                    lane.tally.opened += 1
                    continue
            self._count(key, value, revision)

    def _left(self, batch: Packed) -> Iterator[Value]:
        """Count what is only counted where it lies, and give the other values."""
        lane_of = self._lanes.get
        for content, places in batch.stretches:
            name_at, starts = content.rfind, content.startswith
            for place in PLACE.iter_unpack(places):
                _, key_at, key_end, value_at, value_end = place
                lane = lane_of(content[key_at : name_at(b"/", key_at, key_end) + 1], _NO_LANE)
                if lane.open is None and starts(lane.head, value_at, value_end):
                    lane.tally.values += 1
                else:
                    yield taken(content, place)

    def result(self) -> CensusResult:
        """What was counted so far."""
        tallies = [(book, tally) for _, book in self._rings.values() for tally in book.tallies()]
        groups = sorted((book.group(tally) for book, tally in tallies), key=_group_order)
        return CensusResult(
            values=sum(group.values for group in groups),
            groups=tuple(groups),
            problems=tuple(problem for some in self._problems.values() for problem in some),
            problem_counts=dict(self._problem_counts),
            unreadable=self._problem_counts.total(),
            work=tuple(self._work),
            work_total=sum(tally.values for _, tally in tallies if tally.wanted),
            kms=tuple(self._kms),
        )

    def _count(self, key: bytes, value: bytes, revision: int) -> None:
        """Count one value with all that can be known of it, and note how to deal with the next one like it."""
        place = self._place_of(key)
        if place is None:
            return
        head = classify(value, self._names)
        outcome = self._judge(place, head, key, value)
        tally = place.book.tally(head, value, outcome, place.want)
        tally.values += 1
        if len(tally.first) < self._names_limit:
            tally.first.append(display(key))
        if isinstance(outcome, Opened):
            tally.opened += 1
        elif outcome is not None and outcome.reason is Reason.KMS:
            if len(self._kms) < self._kms_limit:
                self._kms.append(_item(place, key, "", revision))
        elif outcome is not None:
            tally.failed += outcome.reason is not Reason.NO_IDENTITY
            self._note_problem(place.path.resource, outcome, key)
        if tally.wanted and len(self._work) < self._work_limit:
            self._note_work(place, outcome, key, value, revision)
            return
        lane = self._next_lane(place, head, value, outcome, tally)
        if lane is not None:
            self._lanes[place.directory] = lane

    def _judge(self, place: _Place, head: Head, key: bytes, value: bytes) -> Opened | NotOpened | None:
        """What a server makes of the value; None when that was not, or could not be, found out."""
        if isinstance(head, Sealed) and self._config is None:
            return None
        plain = isinstance(head, Plaintext | Unrecognised)
        if plain and place.path.kind in (PathKind.INFRASTRUCTURE, PathKind.UNKNOWN):
            return None
        if not self._decrypt:
            return place.ring.refused(value)
        # NOTE: plaintext binds to no place, with or without encryption; whoever can write it can also write its name.
        return place.ring.open(key, value, placed=not plain)

    def _note_problem(self, resource: str, outcome: NotOpened, key: bytes) -> None:
        kind = resource, outcome.reason
        self._problem_counts[kind] += 1
        named = self._problems.setdefault(kind, [])
        if len(named) < self._names_limit:
            named.append(Problem(display(key), resource, outcome.reason, outcome.detail))

    def _note_work(
        self, place: _Place, outcome: Opened | NotOpened | None, key: bytes, value: bytes, revision: int
    ) -> None:
        opened = outcome or place.ring.open(key, value)
        if isinstance(opened, NotOpened) and opened.reason is not Reason.KMS:
            return
        uid = opened.object.uid if isinstance(opened, Opened) else ""
        self._work.append(_item(place, key, uid, revision))

    def _next_lane(
        self, place: _Place, head: Head, value: bytes, outcome: Opened | NotOpened | None, tally: Tally
    ) -> _Lane | None:
        """The lane of the values like this one; None while names are wanted, or where the head does not tell all."""
        if isinstance(outcome, NotOpened) or len(tally.first) < self._names_limit:
            return None
        candidate = None
        match head:
            case Sealed(version="v1", body_at=body_at):
                candidate = place.ring.sole(value)
                if candidate is not None:
                    body_at = len(candidate.head)
                elif self._config is not None:
                    return None
            case Plaintext(encoding=encoding) if outcome is None or encoding is Encoding.PROTOBUF:
                body_at = MAGIC_SIZES[encoding]
            case _:
                return None
        start = value[:body_at]
        if outcome is None:
            return _Lane(start, body_at, None, b"", b"", tally)
        opener = _as_it_is if candidate is None else candidate.open
        frame, namespace = frame_head(outcome.object), namespace_field(place.path.namespace)
        return _Lane(start, body_at, opener, frame, namespace, tally)

    def _place_of(self, key: bytes) -> _Place | None:
        directory = paths.directory_of(key)
        place = self._places.get(directory)
        if place is None:
            path = paths.parse(self._prefix, key)
            if path is None:
                return None
            if len(self._places) >= _MOST_DIRECTORIES:
                self._places.clear()
                self._lanes.clear()
            place = self._places[directory] = self._new_place(directory, self._renamed(path))
        return place

    def _new_place(self, directory: bytes, path: StoredPath) -> _Place:
        known = self._rings.get((path.resource, path.kind))
        if known is None:
            served = self._config is not None and path.kind is not PathKind.INFRASTRUCTURE
            readers = effective.readers(self._config, path.resource) if served else (IdentityReader(),)
            book = TallyBook(path, () if self._config is None else readers)
            known = self._rings[path.resource, path.kind] = Ring(readers), book
        return _Place(directory, path, *known, self._want.get(path.resource))

    def _renamed(self, path: StoredPath) -> StoredPath:
        """`path` with the group that the configuration knows for a built-in resource that `paths` does not know."""
        if path.kind is not PathKind.UNKNOWN or self._config is None:
            return path
        names = {name for entry in self._config.entries for name in entry.resources}
        full = [name for name in names if name.startswith(path.resource + ".")]
        return StoredPath(full[0], path.namespace, path.name, PathKind.BUILT_IN) if len(full) == 1 else path


_NO_LANE = _Lane((), 0, None, b"", b"", Tally(None, None, None, None, Role.UNKNOWN))


def _item(place: _Place, key: bytes, uid: str, revision: int) -> WorkItem:
    name = key[len(place.directory) :].decode("utf-8", "backslashreplace")
    return WorkItem(key, place.path.resource, place.path.namespace, name, uid, revision)


def _as_it_is(value: bytes, _at: int, _etcd_key: bytes) -> bytes | Reason:
    return value


def _key_names(config: EncryptionConfig | None) -> frozenset[str]:
    if config is None:
        return frozenset()
    elements = (element for entry in config.entries for element in entry.providers)
    return frozenset(reader.ref.name for element in elements for reader in element.readers if reader.ref.name)


def _group_order(group: Group) -> tuple[str, str, str, str, str]:
    return group.resource, group.role, str(group.provider), group.key, group.key_id or ""
