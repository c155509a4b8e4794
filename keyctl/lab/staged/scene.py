"""The story that `keyctl demo --offline` shows: an unlucky cluster, its repair, and what is known to be in it.

Encryption came late, one key change was never finished, one Secret is from elsewhere. Nothing
here is from a real cluster: keys are random and gone at the end, passwords are made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyctl.encryption_config.editing.edit import add_reader, new_document
from keyctl.keys.generate import generate
from keyctl.keys.key import Key, Provider
from keyctl.lab.staged import objects
from keyctl.lab.staged.history import History

_NAMESPACES = ("shop", "payments", "mail")
_SECRETS = ("secrets",)
_CONFIGURATION = "encryption-config.yaml"


@dataclass(frozen=True, slots=True)
class Planted:
    """What was put in, counted while it was put in: the truth that keyctl's answer is held against.

    The first four count live Secrets; the others what is still in the file behind them.
    """

    plaintext: int
    old_key: int
    unopened: int
    right: int
    plaintext_in_history: int
    plaintext_in_free_pages: int
    old_keys_in_free_pages: int

    @property
    def live(self) -> int:
        """All live Secrets."""
        return self.plaintext + self.old_key + self.unopened + self.right


@dataclass(slots=True)
class Scene:
    """One cluster's etcd, act by act. `configuration` is what its API servers have, at the act that was played last."""

    history: History = field(default_factory=History)
    configuration: bytes = field(default=b"", repr=False)
    _key0: Key = field(default_factory=lambda: _key("key0"), repr=False)
    _key1: Key = field(default_factory=lambda: _key("key1"), repr=False)
    _key2: Key = field(default_factory=lambda: _key("key2"), repr=False)
    # By etcd key: the names of live Secrets, by what they are under; None is plaintext.
    _live: dict[str, Key | None] = field(default_factory=dict, repr=False)
    # What was written over or deleted: as above, in history, and in pages that were freed.
    _in_history: list[Key | None] = field(default_factory=list, repr=False)
    _in_free_pages: list[Key | None] = field(default_factory=list, repr=False)

    @property
    def first_plaintext(self) -> str:
        """The etcd key of a live Secret that is in plaintext."""
        return next(name for name, key in self._live.items() if key is None)

    def password_of(self, name: str) -> str:
        """What the Secret at the etcd key `name` holds."""
        return f"pw-{hashlib.sha256(name.encode()).hexdigest()[:20]}"

    def go_wrong(self) -> Planted:
        """The first act: what an auditor finds."""
        for number in range(12):
            key = f"/registry/configmaps/shop/settings-{number}"
            self.history.put(key.encode(), objects.config_map("shop", f"settings-{number}"))
        early = [self._create("login", number, None) for number in range(24)]
        # Encryption is turned on, and nothing is rewritten: what somebody changes is sealed, the rest is not.
        under_key1 = [self._create("token", number, self._key1) for number in range(60)]
        for name in early[:9]:
            self._write(name, self._key1)
        for name in early[9:11]:
            self._delete(name)
        self._compact()
        # The key is changed by hand, and again nothing is rewritten.
        for number in range(50):
            self._create("session", number, self._key2)
        for name in (*early[11:17], *under_key1[:22]):
            self._write(name, self._key2)
        # A Secret that somebody copied from the etcd of another cluster.
        self._create("terminal", 0, self._key0)
        both = new_document(_SECRETS, self._key2, key_first=True)
        self.configuration = add_reader(both, self._key1, entries=(0,), name=_CONFIGURATION)
        return self._planted()

    def be_rotated(self) -> Planted:
        """The second act: the foreign Secret is made anew, everything rewritten under one key, etcd compacted."""
        for name, key in tuple(self._live.items()):
            if key is not self._key2:
                self._write(name, self._key2)
        self._compact()
        self.configuration = new_document(_SECRETS, self._key2, key_first=True)
        return self._planted()

    def be_sanitized(self) -> Planted:
        """The last act: the database is written anew, without what was freed."""
        self.history.defragment()
        self._in_free_pages.clear()
        return self._planted()

    def _planted(self) -> Planted:
        keys = list(self._live.values())
        return Planted(
            plaintext=sum(key is None for key in keys),
            old_key=sum(key is self._key1 for key in keys),
            unopened=sum(key is self._key0 for key in keys),
            right=sum(key is self._key2 for key in keys),
            plaintext_in_history=self._in_history.count(None),
            plaintext_in_free_pages=self._in_free_pages.count(None),
            old_keys_in_free_pages=sum(key is not None for key in self._in_free_pages),
        )

    def _compact(self) -> None:
        self.history.compact()
        self._in_free_pages += self._in_history
        self._in_history.clear()

    def _create(self, kind: str, number: int, key: Key | None) -> str:
        name = f"/registry/secrets/{_NAMESPACES[number % len(_NAMESPACES)]}/{kind}-{number:02}"
        self._write(name, key)
        return name

    def _write(self, name: str, key: Key | None) -> None:
        *_, namespace, bare = name.split("/")
        plain = objects.secret(namespace, bare, self.password_of(name))
        self.history.put(name.encode(), plain if key is None else objects.sealed(key, plain))
        if name in self._live:
            self._in_history.append(self._live[name])
        self._live[name] = key

    def _delete(self, name: str) -> None:
        self.history.delete(name.encode())
        self._in_history.append(self._live.pop(name))


def _key(name: str) -> Key:
    return Key(Provider.AESCBC, name, generate(Provider.AESCBC, now=datetime.now(UTC)).material)
