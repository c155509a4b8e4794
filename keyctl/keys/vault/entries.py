"""What stands in the entries of a cluster: a key each, and one ledger. Pure: fields in, values out.

Decoding errors are raised without the text they are about: it may be a key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from keyctl.errors import UnusableInputError
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.keys.shown import reads_like_key, shown_name

_KEY_FORMAT = "keyctl/key/v1"
_LEDGER_FORMAT = "keyctl/vault-ledger/v1"
_PLAIN = re.compile(r"(?!sha256-)[A-Za-z0-9][A-Za-z0-9_.-]{0,179}")
# In bytes; Vault takes no longer value.
_LONGEST_METADATA = 512


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key with what the ledger would say of it."""

    key: Key
    origin: ledger.Origin
    created: str
    cluster: str

    def fields(self) -> dict[str, str]:
        """What is stored; it holds the key."""
        return {"material": base64.b64encode(self.key.material).decode(), "name": self.key.name, **self._facts()}

    def metadata(self) -> dict[str, str]:
        """What may be read by those who may not read keys."""
        name = shown_name(self.key.name).encode()[:_LONGEST_METADATA].decode(errors="ignore")
        return {"name": name, **self._facts()}

    def _facts(self) -> dict[str, str]:
        return {
            "format": _KEY_FORMAT,
            "cluster": self.cluster,
            "provider": self.key.provider,
            "fingerprint": self.key.fingerprint,
            "origin": self.origin,
            "created": self.created,
        }


def entry_name(ref: KeyRef) -> str:
    """The last part of the path of a key's entry: readable where the name is plain, for paths stand in audit logs."""
    if _PLAIN.fullmatch(ref.name) and not reads_like_key(ref.name):
        return f"{ref.provider}.{ref.name}"
    return f"{ref.provider}.sha256-{hashlib.sha256(ref.name.encode()).hexdigest()}"


def decode_key(fields: Mapping[str, object]) -> KeyEntry:
    """The key that `fields` hold. Raises `ValueError`, without a word of them, when they hold none."""
    try:
        text = {name: value for name, value in fields.items() if isinstance(value, str)}
        if text["format"] != _KEY_FORMAT:
            raise ValueError("another format")
        key = Key(Provider(text["provider"]), text["name"], base64.b64decode(text["material"], validate=True))
        created = datetime.fromisoformat(text["created"]).isoformat()
        entry = KeyEntry(key, ledger.Origin(text["origin"]), created, text["cluster"])
        said = text["fingerprint"]
    except (ValueError, KeyError, UnusableInputError):
        raise ValueError("it holds no whole key") from None
    if key.fingerprint != said:
        raise ValueError("its key does not have the fingerprint that stands beside it")
    return entry


@dataclass(frozen=True, slots=True)
class Intent:
    """A key that somebody was about to store under this fingerprint."""

    ref: KeyRef
    fingerprint: str
    at: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger as stored. `seq` counts its writes; `previous` is the digest of the one before.

    `pending` keys may have an entry and no record yet; the bytes of `erasing` ones
    may still be there. `run` makes every write different from all others.
    """

    cluster: str
    seq: int = 0
    previous: str = ""
    run: str = ""
    records: tuple[KeyRecord, ...] = ()
    backups: tuple[Backup, ...] = ()
    pending: tuple[Intent, ...] = ()
    erasing: tuple[KeyRef, ...] = ()
    lines: str = field(default="", repr=False)

    def intending(self, key: Key, *, at: str) -> Ledger:
        """With `key` among the pending ones."""
        others = tuple(one for one in self.pending if (one.ref, one.fingerprint) != (key.ref, key.fingerprint))
        return replace(self, pending=(*others, Intent(key.ref, key.fingerprint, at)))

    def settled(self, entry: KeyEntry) -> Ledger:
        """With the record of `entry`, which is stored. Raises `RefusedError` (R5) when the record is of other bytes."""
        record = ledger.admit(self.records, entry.key, origin=entry.origin, at=entry.created)
        return replace(self.noting(record), pending=tuple(one for one in self.pending if one.ref != entry.key.ref))

    def without_intent(self, intent: Intent) -> Ledger:
        """Without one that came to nothing."""
        return replace(self, pending=tuple(one for one in self.pending if one != intent))

    def noting(self, record: KeyRecord) -> Ledger:
        """With all that `record` says of its key. Raises `RefusedError` (R5) when it is another life.

        What is destroyed by this is among the `erasing` ones from now on.
        """
        former = ledger.find(self.records, record.ref)
        if former == record:
            return self
        added = b"".join(ledger.lines(former, record, cluster=self.cluster)).decode()
        known = {one.ref: one for one in self.records} | {record.ref: record}
        ends = record.state is KeyState.DESTROYED and record.ref not in self.erasing
        return replace(
            self,
            records=tuple(known.values()),
            lines=self.lines + added,
            erasing=(*self.erasing, record.ref) if ends else self.erasing,
        )

    def keeping(self, backup: Backup) -> Ledger:
        """With `backup` in the place of what was registered at its location."""
        known = {one.location: one for one in self.backups} | {backup.location: backup}
        return replace(self, backups=tuple(known.values()))

    def forgetting(self, location: str) -> Ledger:
        """Without the backup at `location`."""
        return replace(self, backups=tuple(one for one in self.backups if one.location != location))

    def erased(self, ref: KeyRef) -> Ledger:
        """With the bytes of `ref` gone."""
        return replace(self, erasing=tuple(one for one in self.erasing if one != ref))

    def fields(self) -> dict[str, object]:
        """What is stored; it holds no key."""
        return {
            "format": _LEDGER_FORMAT,
            "cluster": self.cluster,
            "seq": self.seq,
            "previous": self.previous,
            "run": self.run,
            "ledger": self.lines,
            "backups": "".join(backups.noted_line(one, cluster=self.cluster).decode() for one in self.backups),
            "pending": [[one.ref.provider, one.ref.name, one.fingerprint, one.at] for one in self.pending],
            "erasing": [[ref.provider, ref.name] for ref in self.erasing],
        }

    @property
    def digest(self) -> str:
        """Over everything stored."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()


def decode_ledger(fields: Mapping[str, object], *, cluster: str, name: str) -> Ledger:
    """The ledger that `fields` hold; `name` is its place, for messages. Raises `UnusableInputError`."""
    owner = fields.get("cluster")
    if isinstance(owner, str) and owner != cluster:
        raise UnusableInputError(
            f'{name}: this ledger belongs to cluster "{owner}", not "{cluster}"',
            hint="give each cluster its own keys.path",
        )
    try:
        lines = _text(fields, "ledger")
        registered = _text(fields, "backups")
        seq = fields["seq"]
        if _text(fields, "format") != _LEDGER_FORMAT or type(seq) is not int or seq < 1:
            raise ValueError("another format")
        return Ledger(
            cluster=_text(fields, "cluster"),
            seq=seq,
            previous=_text(fields, "previous"),
            run=_text(fields, "run"),
            records=ledger.replay(lines.encode(), cluster=cluster, name=name),
            backups=backups.replay(registered.encode(), cluster=cluster, name=name),
            pending=tuple(Intent(_ref(p, n), f, _moment(at)) for p, n, f, at in _rows(fields, "pending")),
            erasing=tuple(_ref(p, n) for p, n in _rows(fields, "erasing")),
            lines=lines,
        )
    except (ValueError, KeyError, UnusableInputError) as exc:
        cause = str(exc) if isinstance(exc, UnusableInputError) else "it is not of keyctl's making"
        raise UnusableInputError(
            f"the key ledger at {name} is damaged",
            cause=cause,
            hint="see its versions (bao kv metadata get) and bring the last good one back: bao kv rollback",
        ) from None


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _rows(fields: Mapping[str, object], name: str) -> list[list[str]]:
    rows = fields[name]
    if not isinstance(rows, list):
        raise ValueError("not a list")
    if not all(isinstance(row, list) and all(isinstance(one, str) for one in row) for row in rows):
        raise ValueError("not rows of texts")
    return rows


def _moment(text: str) -> str:
    """`text`, which is a moment with its time zone."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a zone")
    return text


def _ref(provider: str, name: str) -> KeyRef:
    return KeyRef(Provider(provider), name)
