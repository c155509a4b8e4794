"""Streams sealed with age: what goes in comes out, what was changed or cut does not, and no failure is swallowed."""

from __future__ import annotations

import io
import os

import pyrage
import pytest

from keyctl.errors import WrongUsageError
from keyctl.keys.age_stream import (
    HEAD,
    DamagedStreamError,
    ForeignIdentityError,
    open_stream,
    plain_size,
    room_for,
    seal_stream,
)

CHUNK = 64 << 10
OWNER = pyrage.x25519.Identity.generate()
RECIPIENT, IDENTITY = str(OWNER.to_public()), str(OWNER).encode()
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200_000]


def sealed(content: bytes) -> bytes:
    out = io.BytesIO()
    seal_stream(io.BytesIO(content).read, out.write, [RECIPIENT])
    return out.getvalue()


def opened(content: bytes, identity: bytes = IDENTITY) -> bytes:
    out = io.BytesIO()
    open_stream(io.BytesIO(content).read, out.write, identity, name="b.age")
    return out.getvalue()


def header_of(content: bytes) -> int:
    end = content.index(b"\n--- ") + 1
    return content.index(b"\n", end) + 1


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_comes_out_and_its_size_shows_without_an_identity(size: int) -> None:
    content = os.urandom(size)
    made = sealed(content)
    assert opened(made) == content
    assert plain_size(made[:HEAD], len(made), name="b.age") == size
    assert len(made) <= room_for(size)


def test_it_is_what_age_itself_reads_and_writes() -> None:
    assert pyrage.decrypt(sealed(b"snapshot"), [OWNER]) == b"snapshot"
    assert opened(pyrage.encrypt(b"snapshot", [OWNER.to_public()])) == b"snapshot"


@pytest.mark.parametrize("cut", [1, 16, 17, CHUNK + 16, CHUNK + 17])
def test_a_stream_that_was_cut_does_not_open_also_where_a_chunk_ends(cut: int) -> None:
    made = sealed(os.urandom(2 * CHUNK))
    with pytest.raises(DamagedStreamError):
        opened(made[:-cut])


@pytest.mark.parametrize("at", [0, 30, -1, -CHUNK, -CHUNK - 100])
def test_a_stream_with_a_changed_bit_does_not_open(at: int) -> None:
    made = bytearray(sealed(os.urandom(2 * CHUNK)))
    made[at] ^= 1
    with pytest.raises((DamagedStreamError, ForeignIdentityError)):
        opened(bytes(made))


def test_what_was_added_at_the_end_is_not_taken_for_a_part() -> None:
    with pytest.raises(DamagedStreamError):
        opened(sealed(b"x") + b"x")


def test_nobody_else_opens_it() -> None:
    with pytest.raises(ForeignIdentityError, match="does not open"):
        opened(sealed(b"x"), str(pyrage.x25519.Identity.generate()).encode())


@pytest.mark.parametrize("cut", [1, 5, 15])
def test_a_size_that_no_stream_has_is_seen_without_an_identity(cut: int) -> None:
    made = sealed(os.urandom(CHUNK + 10))[: -10 - cut]
    with pytest.raises(DamagedStreamError, match="no whole age file"):
        plain_size(made[:HEAD], len(made), name="b.age")


@pytest.mark.parametrize("keep", [23, 100])
def test_a_header_that_was_cut_is_seen_without_an_identity(keep: int) -> None:
    made = sealed(b"x")
    with pytest.raises(DamagedStreamError, match="no whole age file"):
        plain_size(made[:keep], keep, name="b.age")


@pytest.mark.parametrize("size", [100, 10 * CHUNK])
def test_a_sink_that_fails_at_the_very_last_write_is_heard_when_sealing(size: int) -> None:
    sizes: list[int] = []
    seal_stream(io.BytesIO(bytes(size)).read, lambda piece: sizes.append(len(piece)), [RECIPIENT])
    left = len(sizes)

    def write(_: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        seal_stream(io.BytesIO(bytes(size)).read, write, [RECIPIENT])


def test_a_sink_that_fails_at_the_very_last_byte_is_heard_when_opening() -> None:
    def write(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        open_stream(io.BytesIO(sealed(b"x")).read, write, IDENTITY, name="b.age")


def test_an_interrupt_comes_through_as_itself() -> None:
    def read(_: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal_stream(read, io.BytesIO().write, [RECIPIENT])


def test_a_source_that_fails_is_heard_and_is_no_damage() -> None:
    def read(_: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        open_stream(read, io.BytesIO().write, IDENTITY, name="b.age")


def test_what_is_no_recipient_is_refused_before_anything_is_written() -> None:
    out = io.BytesIO()
    with pytest.raises(WrongUsageError, match="recipient 1"):
        seal_stream(io.BytesIO(b"x").read, out.write, ["age1nobody"])
    assert out.getvalue() == b""


def test_no_piece_is_larger_than_a_few_chunks_however_large_the_stream_is() -> None:
    content, largest = os.urandom(4 << 20), 0
    made = sealed(content)
    source = io.BytesIO(content)

    def note(piece: bytes) -> None:
        nonlocal largest
        largest = max(largest, len(piece))

    def read(size: int) -> bytes:
        nonlocal largest
        largest = max(largest, size)
        return source.read(size)

    seal_stream(read, note, [RECIPIENT])
    open_stream(io.BytesIO(made).read, note, IDENTITY, name="b.age")
    assert 0 < largest <= 4 * CHUNK
