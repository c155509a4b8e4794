"""Would this backup come back? Its integrity, every encrypted value opened, and a real API server that serves it.

Reads the file and the key store. The servers are somebody else's to start (`Plane`), on a copy; what they are given
has key bytes, and what is said afterwards has none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keyctl.backup.check import Checked, check_snapshot
from keyctl.backup.contents import Contents, read_live
from keyctl.backup.every_key import every_key
from keyctl.backup.interface import OpenSnapshot
from keyctl.backup.key_needs import KeyNeed, key_needs
from keyctl.backup.needed_config import NeededEntry, needed_entries, render, resources
from keyctl.backup.told import Told
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnusableInputError
from keyctl.etcd_files.snapshot_file import SHA256_ABSENT
from keyctl.keys.backups import Proof
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyRecord
from keyctl.keys.shown import shown_name
from keyctl.stored.judgement import is_encrypted

# Their objects leave etcd by themselves, so that fewer of them are no loss.
_PASSING = frozenset({"events", "events.events.k8s.io", "leases.coordination.k8s.io"})


class UnsoundError(UnusableInputError):
    """A backup that is damaged or not whole: it would not come back."""


@dataclass(frozen=True, slots=True)
class Served:
    """One encrypted resource: how many values the file has of it, and how many objects the API server listed."""

    resource: str
    stored: int
    listed: int
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether everything that is stored came back."""
        return not self.problem and (self.listed >= self.stored or self.resource in _PASSING)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a throw-away control plane is made of. `config` is the text of its EncryptionConfiguration: key bytes.

    `resources` counts the values of each encrypted resource; `digest`: the file ends with its SHA-256.
    """

    snapshot: Path
    prefix: str
    config: bytes
    resources: Mapping[str, int]
    digest: bool

    def __repr__(self) -> str:
        """Nothing of the configuration."""
        return f"Trial({str(self.snapshot)!r})"


@dataclass(frozen=True, slots=True)
class Trialled:
    """What a control plane made of it. `version` is that of the API server."""

    version: str
    served: tuple[Served, ...]


class Plane(Protocol):
    """Restores a snapshot into an etcd of its own, and asks a real API server for everything encrypted."""

    def __call__(self, trial: Trial) -> Trialled:
        """Raises `UnreachableError` when it does not come up; nothing of it is left then, or afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class RestoreTest:
    """What came of it. `unopened` counts values that nothing at hand makes objects of, `plugin` those of KMS plugins.

    `trialled` is None where no server was asked, and `untried` says why. `entries` is the configuration that it needs.
    """

    path: Path
    prefix: str
    checked: Checked
    contents: Contents
    keys: tuple[KeyNeed, ...]
    entries: tuple[NeededEntry, ...]
    encrypted: int
    unopened: int
    plugin: int
    trialled: Trialled | None
    untried: str

    @property
    def proof(self) -> Proof | None:
        """What the register is told; None where nothing was there to be opened, or only a plugin could open it."""
        if self.unopened or (self.trialled is not None and not all(one.good for one in self.trialled.served)):
            return Proof.FAILED
        if self.plugin or not self.contents.live.values:
            return None
        return Proof.OPENED if self.trialled is None else Proof.SERVED

    def shown(self) -> str:
        """The configuration that it needs, with fingerprints in the place of the keys."""
        prints = {need.ref: need.fingerprint for need in self.keys}
        told = {ref: f"<the key with fingerprint {known or 'unknown'}>" for ref, known in prints.items()}
        return render(self.entries, told.__getitem__, label=shown_name)


def restore_test(
    path: Path,
    *,
    prefix: str,
    keys: Sequence[Key],
    config: EncryptionConfig | None,
    records: Sequence[KeyRecord],
    open_snapshot: OpenSnapshot,
    plane: Plane | None,
    untried: str,
    progress: Callable[[str], None] = lambda _: None,
    content: Path | None = None,
) -> RestoreTest:
    """Test the backup at `path` with `keys` and those of `config`. `untried` says why `plane` is None.

    `content` is where it lies open, None where it is not encrypted. Raises `UnsoundError` for a file that is not
    sound, `RefusedError` (R5) where one name stands for two keys, and what `plane` raises.
    """
    checked = check_snapshot(path, open_snapshot, progress, content=content)
    if not checked.sound:
        raise UnsoundError(
            f"{path} is not sound",
            cause="; ".join(finding.message for finding in checked.findings),
            hint="use another copy: a damaged snapshot is not restored from",
        )
    known = every_key(keys, config)
    by_name = {key.ref: key for key in effective.static_keys(known)}
    contents = read_live(Told(open_snapshot(content or path), progress), prefix=prefix, config=known)
    sealed = [group for group in contents.live.groups if is_encrypted(group)]
    plugin = sum(group.values for group in sealed if group.provider is Provider.KMS)
    encrypted = sum(group.values for group in sealed)
    entries = needed_entries(contents, records)
    # NOTE: not only what a known key has sealed: a server does not read a strange head, or half of a value, either.
    behind_plugins = sum(group.failed for group in sealed if group.provider is Provider.KMS)
    unopened = contents.live.unreadable - behind_plugins
    untried = _untried(unopened, plugin, entries, untried)
    trialled = None
    if plane is not None and not untried:
        counts = {name: _count(contents, name) for name in resources(entries)}
        text = with_keys(entries, by_name).encode()
        trialled = plane(Trial(content or path, prefix, text, counts, checked.integrity != SHA256_ABSENT))
    return RestoreTest(
        path=path,
        prefix=prefix,
        checked=checked,
        contents=contents,
        keys=key_needs(contents, known),
        entries=entries,
        encrypted=encrypted,
        unopened=unopened,
        plugin=plugin,
        trialled=trialled,
        untried="" if trialled else untried,
    )


def with_keys(entries: Sequence[NeededEntry], keys: Mapping[KeyRef, Key]) -> str:
    """The configuration with the key bytes in it, as a server reads it."""
    text = render(entries, lambda ref: base64.b64encode(keys[ref].material).decode())
    if text:
        decode(text.encode(), name="the configuration that the backup needs")
    return text


def _untried(unopened: int, plugin: int, entries: Sequence[NeededEntry], reason: str) -> str:
    if unopened:
        return "an API server that cannot read every value does not become ready, so none was started"
    if plugin:
        return f"{plugin} values open with their KMS plugin only, which the throw-away server does not have"
    return reason or ("" if entries else "nothing in it is encrypted")


def _count(contents: Contents, resource: str) -> int:
    return sum(group.values for group in contents.live.groups if group.resource == resource)
