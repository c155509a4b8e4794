"""Open stored values as kube-apiserver does, and say why one stays closed.

Pure: keys come in with the readers, and opened bytes live only until they are
recognised as an object (rule R14). A new provider is one function here and one
row in `_OPENERS`. Body layouts: k8s.io/apiserver
pkg/storage/value/encrypt/{aes,secretbox}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from nacl.bindings import crypto_secretbox_open
from nacl.exceptions import CryptoError

from keyctl.encryption_config.model import IdentityReader, KmsReader, Reader, StaticReader
from keyctl.keys.key import Provider
from keyctl.stored import kube_object
from keyctl.stored.display import display
from keyctl.stored.envelope import MARKER, Sealed, Unrecognised, classify, kms_v2_key_id, seal_head
from keyctl.stored.kube_object import KubeObject


class Reason(StrEnum):
    """Why a value did not open. All but `KMS` stop an API server from reading it, too, or should."""

    UNKNOWN_SEAL = "unknown-seal"
    NOT_COVERED = "not-covered"
    UNKNOWN_KEY = "unknown-key"
    MALFORMED = "malformed"
    BAD_PADDING = "bad-padding"
    NOT_AUTHENTIC = "not-authentic"
    NOT_AN_OBJECT = "not-an-object"
    UNRECOGNISED = "unrecognised"
    WRONG_PLACE = "wrong-place"
    NO_IDENTITY = "no-identity"
    KMS = "kms-not-opened"


@dataclass(frozen=True, slots=True)
class Opened:
    """`reader` opened the value and an object came out."""

    reader: Reader
    object: KubeObject


@dataclass(frozen=True, slots=True)
class NotOpened:
    """No object came out. `detail` is for a reader and holds nothing secret."""

    reason: Reason
    detail: str


_NO_IDENTITY = NotOpened(Reason.NO_IDENTITY, "plaintext, and no identity provider is configured to read it")
_UNRECOGNISED = NotOpened(Reason.UNRECOGNISED, "neither encrypted nor a Kubernetes object")

# (value, where its body starts, etcd key) to plaintext. An answer, not an exception: failures are expected.
Opener = Callable[[bytes, int, bytes], bytes | Reason]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reader made ready: what its values start with, and how their bodies open."""

    reader: Reader
    head: bytes
    open: Opener


class Ring:
    """The readers of one resource, made ready once, in the server's order.

    Not for several threads at once: the ciphers are kept running.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._candidates = tuple(_candidate(reader) for reader in readers if not isinstance(reader, IdentityReader))
        self._identity = next((reader for reader in readers if isinstance(reader, IdentityReader)), None)
        self._names = tuple({reader.ref.name for reader in readers if reader.ref.name})

    def open(self, etcd_key: bytes, value: bytes, *, placed: bool = True) -> Opened | NotOpened:
        """Open `value`, found at `etcd_key`, with the reader that the server would take.

        With `placed` the object must say of itself that it belongs at `etcd_key`.
        """
        if not value.startswith(MARKER):
            if self._identity is None:
                return _NO_IDENTITY
            return _recognised(self._identity, value, etcd_key, placed=placed)
        failed: tuple[Candidate, Reason] | None = None
        for candidate in self._candidates:
            if not value.startswith(candidate.head):
                continue
            plain = candidate.open(value, len(candidate.head), etcd_key)
            if not isinstance(plain, Reason):
                # NOTE: the server's search ends with the first key that opens, right or not, and so does this one.
                return _recognised(candidate.reader, plain, etcd_key, placed=placed)
            if failed is None or len(candidate.head) > len(failed[0].head):
                failed = candidate, plain
        if failed is None:
            return self._refusal(value)
        return NotOpened(failed[1], _FAILURES[failed[1]].format(display(str(failed[0].reader.ref))))

    def refused(self, value: bytes) -> NotOpened | None:
        """Why no reader opens `value`, as far as its head alone tells; None when one may."""
        if not value.startswith(MARKER):
            if self._identity is None:
                return _NO_IDENTITY
            return _UNRECOGNISED if isinstance(classify(value), Unrecognised) else None
        if any(value.startswith(candidate.head) for candidate in self._candidates):
            return None
        return self._refusal(value)

    def sole(self, value: bytes) -> Candidate | None:
        """The reader to try first on each value with the head of `value`; None when that is not the same for all."""
        first = next((candidate for candidate in self._candidates if value.startswith(candidate.head)), None)
        if first is None:
            return None
        others = (candidate for candidate in self._candidates if candidate is not first)
        return None if any(other.head.startswith(first.head) for other in others) else first

    def _refusal(self, value: bytes) -> NotOpened:
        head = classify(value, self._names)
        if not isinstance(head, Sealed):
            return NotOpened(Reason.UNKNOWN_SEAL, "marked as encrypted, but by no known provider")
        if not self._candidates:
            return NotOpened(
                Reason.NOT_COVERED, f"encrypted under {display(str(head.ref))}, but nothing is configured to decrypt it"
            )
        return NotOpened(Reason.UNKNOWN_KEY, f"no configured key is {display(str(head.ref))}")


def open_value(readers: Sequence[Reader], etcd_key: bytes, value: bytes) -> Opened | NotOpened:
    """Open one `value` found at `etcd_key`; the object must belong there. For many values keep a `Ring`."""
    return Ring(readers).open(etcd_key, value)


def _recognised(reader: Reader, plain: bytes, etcd_key: bytes, *, placed: bool) -> Opened | NotOpened:
    found = kube_object.decode(plain)
    if found is None:
        if isinstance(reader, IdentityReader):
            return _UNRECOGNISED
        return NotOpened(Reason.NOT_AN_OBJECT, display(f"{reader.ref} opens it, but no object comes out"))
    if placed and not found.is_at(etcd_key):
        place = f"{found.namespace}/{found.name}" if found.namespace else found.name
        return NotOpened(Reason.WRONG_PLACE, f"holds the object {display(place)}, which belongs elsewhere")
    return Opened(reader, found)


_FAILURES = {
    Reason.MALFORMED: "too short or cut off for {}",
    Reason.BAD_PADDING: "{} does not open it: other key bytes under that name, or damaged",
    Reason.NOT_AUTHENTIC: "{} does not open it: other key bytes under that name, copied here, or damaged",
    Reason.KMS: "only the plugin of {} can open it",
}
_PADDINGS = tuple(bytes([size]) * size for size in range(256))


def _aescbc(material: bytes) -> Opener:
    # NOTE: one decryptor runs through all values. CBC needs only the block before, so a body that brings its IV in
    # front comes out right but for that first block, which is dropped; a decryptor per value costs ten times as much.
    decrypt = Cipher(AES(material), CBC(bytes(16))).decryptor().update

    def open_body(value: bytes, at: int, _etcd_key: bytes) -> bytes | Reason:
        size = len(value) - at
        if size < 32 or size % 16:
            return Reason.MALFORMED
        plain = decrypt(value[at:])
        padding = plain[-1]
        # The server takes more than one block of padding too, as long as it all stands behind the first block.
        if not 1 <= padding <= size - 16 or not plain.endswith(_PADDINGS[padding]):
            return Reason.BAD_PADDING
        return plain[16:-padding]

    return open_body


def _aesgcm(material: bytes) -> Opener:
    decrypt = AESGCM(material).decrypt

    def open_body(value: bytes, at: int, etcd_key: bytes) -> bytes | Reason:
        start = at + 12
        if len(value) < start + 16:
            return Reason.MALFORMED
        try:
            return decrypt(value[at:start], value[start:], etcd_key)
        except InvalidTag:
            return Reason.NOT_AUTHENTIC

    return open_body


def _secretbox(material: bytes) -> Opener:
    def open_body(value: bytes, at: int, _etcd_key: bytes) -> bytes | Reason:
        start = at + 24
        if len(value) < start + 16:
            return Reason.MALFORMED
        try:
            return crypto_secretbox_open(value[start:], value[at:start], material)
        except CryptoError:
            return Reason.NOT_AUTHENTIC

    return open_body


def _kms_v1(_value: bytes, _at: int, _etcd_key: bytes) -> bytes | Reason:
    return Reason.KMS


def _kms_v2(value: bytes, at: int, _etcd_key: bytes) -> bytes | Reason:
    return Reason.MALFORMED if kms_v2_key_id(value[at:]) is None else Reason.KMS


_OPENERS: dict[Provider, Callable[[bytes], Opener]] = {
    Provider.AESCBC: _aescbc,
    Provider.AESGCM: _aesgcm,
    Provider.SECRETBOX: _secretbox,
}


def _candidate(reader: StaticReader | KmsReader) -> Candidate:
    if isinstance(reader, KmsReader):
        head = seal_head(Provider.KMS, reader.version, reader.name)
        return Candidate(reader, head, _kms_v2 if reader.version == "v2" else _kms_v1)
    key = reader.key
    return Candidate(reader, seal_head(key.provider, "v1", key.name), _OPENERS[key.provider](key.material))
