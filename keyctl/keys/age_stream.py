"""Sealing a stream to age recipients and opening one, piece by piece: what is sealed never has to fit into memory.

age seals chunks of 64 KiB, each with a tag of its own, and marks the last one. So what comes out of an open stream is
right as far as it goes, and whether it is all of it shows at the end: nothing counts before `open_stream` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyrage

from keyctl.errors import StoppedError, UnusableInputError
from keyctl.keys.escrow_age import read_identities, read_recipients

MAGIC = b"age-encryption.org/v1\n"
# No header is longer: a recipient takes two hundred bytes of it, an SSH key of RSA a thousand.
HEAD = 1 << 18
_END = b"--- "
_NONCE, _CHUNK, _TAG = 16, 64 << 10, 16

Read = Callable[[int], bytes]
Write = Callable[[bytes], object]


class DamagedStreamError(UnusableInputError):
    """What is sealed was cut or changed."""


class ForeignIdentityError(UnusableInputError):
    """What is sealed is whole as far as anybody can see, and sealed to others."""


def plain_size(head: bytes, size: int, *, name: str) -> int:
    """How many bytes are in a stream of `size` bytes that begins with `head`; `HEAD` bytes of it are enough.

    All that shows of a stream without an identity. `name` is for messages. Raises `UnusableInputError` where it is no
    age stream, or one that was cut elsewhere than between two chunks.
    """
    if not head.startswith(MAGIC):
        raise UnusableInputError(f"{name} is no age file")
    at = 0
    for line in head.split(b"\n")[:-1]:
        at += len(line) + 1
        if line.startswith(_END):
            return _plain_size(size - at, name)
    raise _cut(name, "its header has no end")


def room_for(size: int) -> int:
    """How many bytes `size` bytes become, at most."""
    return HEAD + _NONCE + size + _TAG * _chunks(size)


def seal_stream(read: Read, write: Write, recipients: Sequence[str]) -> None:
    """Everything that `read` gives, sealed to each of `recipients`, into `write`, which takes all of what it is given.

    Raises what `read` and `write` raise, and `WrongUsageError` for one that is no recipient.
    """
    chosen = read_recipients(recipients)
    source, sink = _Reader(read), _Writer(write)
    try:
        pyrage.encrypt_io(source, sink, chosen)
    except (pyrage.EncryptError, OSError) as error:
        _raise_own(source, sink)
        raise StoppedError("the stream could not be encrypted", cause=str(error)) from None
    _raise_own(source, sink)


def open_stream(read: Read, write: Write, identities: bytes, *, name: str) -> None:
    """Everything that is sealed in what `read` gives, opened with one of `identities`, into `write`.

    Raises what `read` and `write` raise, `ForeignIdentityError` where it is sealed to others, and
    `DamagedStreamError` where it was changed or cut; what was written by then is to be thrown away.
    """
    keys = read_identities(identities)
    source, sink = _Reader(read), _Writer(write)
    try:
        pyrage.decrypt_io(source, sink, keys)
    except (pyrage.DecryptError, OSError) as error:
        _raise_own(source, sink)
        if "No matching keys" in str(error):
            raise ForeignIdentityError(
                f"{name} does not open",
                cause="it is encrypted to others than this identity",
                hint="give the identity of one of its recipients",
            ) from None
        raise _cut(name, "what is in it was changed, or its end is missing") from None
    _raise_own(source, sink)


class _Reader:
    """What `pyrage` reads from. It turns exceptions into texts of its own, so the first one is kept."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.failed: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except BaseException as error:
            self.failed = error
            raise


class _Writer:
    """What `pyrage` writes to. What its last write raises it drops in silence, so that is kept, too."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.failed: BaseException | None = None

    def write(self, content: bytes) -> int:
        try:
            self._write(content)
        except BaseException as error:
            self.failed = error
            raise
        return len(content)

    def flush(self) -> None:
        """Whoever owns the sink flushes it."""


def _raise_own(*sides: _Reader | _Writer) -> None:
    for side in sides:
        if side.failed is not None:
            raise side.failed


def _chunks(plain_size: int) -> int:
    # An empty stream has one chunk, an empty one.
    return max(1, -(-plain_size // _CHUNK))


def _plain_size(payload: int, name: str) -> int:
    sealed = payload - _NONCE
    chunks = -(-sealed // (_CHUNK + _TAG))
    plain = sealed - chunks * _TAG
    # A last chunk of a tag alone stands for nothing but an empty stream.
    if sealed < _TAG or plain < 0 or _chunks(plain) != chunks:
        raise _cut(name, "its bytes are not whole chunks")
    return plain


def _cut(name: str, cause: str) -> DamagedStreamError:
    return DamagedStreamError(f"{name} is no whole age file", cause=cause, hint="use another copy of it")
