"""What control-plane nodes are to load: the one entry that a node may read, changed under check-and-set.

It holds keys, for it holds whole configurations; its older versions are no
archive, and a node may not read them. `seq` only ever grows, so that a node can
tell an older one of a Vault that was restored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from keyctl.errors import UnusableInputError
from keyctl.keys.vault import faults
from keyctl.keys.vault.client import UNCERTAIN, CasMismatchError, Deleted, Destroyed, Found, KeyValues
from keyctl.keys.vault.settings import VaultPlace

_FORMAT = "keyctl/current/v1"


@dataclass(frozen=True, slots=True)
class Rendition:
    """The files that the servers of a cluster are to load, by the servers' names."""

    seq: int
    files: Mapping[str, str] = field(repr=False)

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, as kube-apiserver reports it of what it has loaded."""
        return {name: f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" for name, text in self.files.items()}


class CurrentEntry:
    """The rendition of `cluster` at `place`."""

    def __init__(self, vault: KeyValues, place: VaultPlace, *, cluster: str) -> None:
        self._vault = vault
        self._place = place
        self._cluster = cluster

    def read(self) -> Rendition | None:
        """The newest rendition; None where none was ever published. Raises `UnusableInputError` for a damaged one."""
        return self._read()[1]

    def publish(self, files: Mapping[str, str]) -> Rendition:
        """Have the servers load `files`, all of them at once; the same ones again change nothing.

        Raises `RefusedError` when somebody else publishes at the same time: what to load is for one run to say.
        """
        version, known = self._read()
        if known is not None and known.files == files:
            return known
        wanted = Rendition(known.seq + 1 if known else 1, dict(files))
        fields = {"format": _FORMAT, "cluster": self._cluster, "seq": wanted.seq, "files": wanted.files}
        try:
            self._vault.write(self._place.current, fields, cas=version)
        except CasMismatchError:
            raise faults.conflict(self._place.current) from None
        except UNCERTAIN:
            if self._read()[1] != wanted:
                raise
        return wanted

    def _read(self) -> tuple[int, Rendition | None]:
        path = self._place.current
        reading = self._vault.read(path)
        match reading:
            case Found(version, fields):
                return version, self._decoded(fields)
            case Deleted(version, _):
                raise UnusableInputError(
                    f"what nodes are to load is deleted: {path}",
                    hint=f"bring it back: bao kv undelete -mount={self._vault.mount} -versions={version} {path}",
                )
            case Destroyed():
                raise UnusableInputError(
                    f"what nodes are to load is destroyed: {path}",
                    hint=f"erase what is left of it: bao kv metadata delete -mount={self._vault.mount} {path}",
                )
        return 0, None

    def _decoded(self, fields: Mapping[str, object]) -> Rendition:
        path, seq, files = self._place.current, fields.get("seq"), fields.get("files")
        if fields.get("cluster") not in (self._cluster, None):
            raise UnusableInputError(
                f'{path} belongs to cluster "{fields["cluster"]}", not "{self._cluster}"',
                hint="give each cluster its own keys.path",
            )
        if (
            fields.get("format") != _FORMAT
            or type(seq) is not int
            or not isinstance(files, dict)
            or not all(isinstance(text, str) for text in files.values())
        ):
            raise UnusableInputError(
                f"what nodes are to load is damaged: {path}",
                cause="it is not of keyctl's making",
                hint=f"find out who wrote it: bao kv metadata get -mount={self._vault.mount} {path}",
            )
        return Rendition(seq, files)
