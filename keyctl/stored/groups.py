"""Groups of stored values: one for each resource, provider, key and role. Counting only; nothing here opens a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from keyctl.encryption_config.model import KmsReader, Reader
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored.decrypt import NotOpened, Opened
from keyctl.stored.envelope import Encoding, Head, Plaintext, Sealed, kms_v2_key_id
from keyctl.stored.paths import PathKind, StoredPath

_IDENTITY = KeyRef(Provider.IDENTITY, "")


class Role(StrEnum):
    """What the configuration uses the key of a group for."""

    WRITE = "write"
    READ = "read"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Group:
    """Values of one resource that are stored alike.

    `provider` is None for values that are neither encrypted by a known provider
    nor the start of an object. `encoding` is None for all but plaintext.
    `decrypted` and `failed` count encrypted values and add up with
    `not_decrypted` to `values`; of plaintext, `failed` counts what is no object.
    `first` names the first values, fit for display.
    """

    resource: str
    provider: Provider | None
    version: str | None
    key: str
    key_id: str | None
    encoding: Encoding | None
    role: Role
    values: int
    decrypted: int
    failed: int
    not_decrypted: int
    infrastructure: bool
    first: tuple[str, ...]

    @property
    def ref(self) -> KeyRef | None:
        """Provider and key name; the identity provider for plaintext, None where nothing was recognised."""
        return None if self.provider is None else KeyRef(self.provider, self.key)


@dataclass(slots=True)
class Tally:
    """A group while it is being counted. `wanted`: its values are to be rewritten."""

    ref: KeyRef | None
    version: str | None
    key_id: str | None
    encoding: Encoding | None
    role: Role
    wanted: bool = False
    values: int = 0
    opened: int = 0
    failed: int = 0
    first: list[str] = field(default_factory=list)


_Identity = tuple[KeyRef | None, str | None, str | None, Encoding | None, Role]


class TallyBook:
    """The groups of one resource. `readers` are those of its configuration, none when that is not known."""

    def __init__(self, path: StoredPath, readers: tuple[Reader, ...]) -> None:
        self._path, self._readers = path, readers
        self._roles = {_reader_id(reader): Role.READ for reader in readers}
        if readers:
            self._roles[_reader_id(readers[0])] = Role.WRITE
        self._tallies: dict[_Identity, Tally] = {}

    def tally(self, head: Head, value: bytes, outcome: Opened | NotOpened | None, want: KeyRef | None) -> Tally:
        """The group of a value with that `head`; `outcome` says which reader opened it, where that is known."""
        identity = self._identity(head, value, outcome)
        tally = self._tallies.get(identity)
        if tally is None:
            wanted = want is not None and identity[0] != want
            tally = self._tallies[identity] = Tally(*identity, wanted=wanted)
        return tally

    def tallies(self) -> Iterable[Tally]:
        """All groups so far."""
        return self._tallies.values()

    def group(self, tally: Tally) -> Group:
        """`tally` as it stands now."""
        sealed = tally.ref is not None and tally.encoding is None
        return Group(
            resource=self._path.resource,
            provider=None if tally.ref is None else tally.ref.provider,
            version=tally.version,
            key="" if tally.ref is None else tally.ref.name,
            key_id=tally.key_id,
            encoding=tally.encoding,
            role=tally.role,
            values=tally.values,
            decrypted=tally.opened if sealed else 0,
            failed=tally.failed,
            not_decrypted=tally.values - tally.opened - tally.failed if sealed else 0,
            infrastructure=self._path.kind is PathKind.INFRASTRUCTURE,
            first=tuple(tally.first),
        )

    def _identity(self, head: Head, value: bytes, outcome: Opened | NotOpened | None) -> _Identity:
        match head:
            case Sealed(version=version, body_at=body_at):
                key_id = kms_v2_key_id(value[body_at:]) if version == "v2" else None
                if isinstance(outcome, Opened):
                    # NOTE: of two keys of one name the one that opened it counts: the second is stale to the server.
                    role = Role.WRITE if outcome.reader is self._readers[0] else Role.READ
                    return outcome.reader.ref, version, key_id, None, role
                return head.ref, version, key_id, None, self._roles.get((head.ref, version), Role.UNKNOWN)
            case Plaintext(encoding=encoding):
                return _IDENTITY, None, None, encoding, self._roles.get((_IDENTITY, "v1"), Role.UNKNOWN)
            case _:
                return None, None, None, None, Role.UNKNOWN


def _reader_id(reader: Reader) -> tuple[KeyRef, str]:
    return reader.ref, reader.version if isinstance(reader, KmsReader) else "v1"
