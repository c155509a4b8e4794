from __future__ import annotations

import base64
import secrets

import pytest

from keyctl.encryption_config.checks.key_quality import Kind, weakness_of

_RANDOM_16 = bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b")


def _b64(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        pytest.param(bytes(32), Kind.GUESSABLE, "all bytes are equal", id="zeros"),
        pytest.param(b"\xff" * 16, Kind.GUESSABLE, "all bytes are equal", id="ones"),
        pytest.param(b"a" * 24, Kind.GUESSABLE, "all bytes are equal", id="one letter"),
        pytest.param(_RANDOM_16[:8] * 4, Kind.GUESSABLE, "the same 8 bytes over and over", id="8 bytes repeated"),
        pytest.param((_RANDOM_16[:7] * 5)[:32], Kind.GUESSABLE, "the same 7 bytes over and over", id="cut short"),
        pytest.param(
            _RANDOM_16 * 2, Kind.LOW_ENTROPY, "the same 16 bytes over and over: at most 128 of 256", id="twice"
        ),
        pytest.param(bytes(range(32)), Kind.GUESSABLE, "bytes that count up or down", id="counting"),
        pytest.param(bytes(range(255, 239, -1)), Kind.GUESSABLE, "bytes that count up or down", id="counting down"),
        pytest.param(bytes(range(240, 256)) + bytes(16), Kind.LOW_ENTROPY, "only 17 different", id="17 of 32 values"),
        pytest.param(bytes([*range(11, 23), *[11] * 12]), Kind.LOW_ENTROPY, "only 12 different", id="12 of 24 values"),
        pytest.param(bytes([*b"\x01\x80\x90\xa0\xb0\xc7\xd1", *[1] * 9]), Kind.LOW_ENTROPY, "only 7", id="7 of 16"),
        pytest.param(
            b"change-me-to-a-real-32-byte-key!",
            Kind.GUESSABLE,
            "text that reads like a placeholder or a first guess",
            id="encoded placeholder",
        ),
        pytest.param(
            b"CHANGEMECHANGEmeXYZchangemenow-\n",
            Kind.GUESSABLE,
            "text that reads like a placeholder or a first guess, with a line break at its end",
            id="encoded placeholder with a line break",
        ),
        pytest.param(
            b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3P", Kind.TEXT, "letters and digits: at most 190 of 256", id="alnum"
        ),
        pytest.param(
            b"vqmzrtnkwxecjbyhdsuafglpvqmzrtnk", Kind.TEXT, "text of letters: at most 150 of", id="lower case"
        ),
        pytest.param(b"73059182640718253946573829106483", Kind.TEXT, "text of digits: at most 106 of 256", id="digits"),
        pytest.param(b"9F1C37A20BE84D5571D3C60A42F89E7B", Kind.TEXT, "hex digits, not the bytes", id="hex capitals"),
        pytest.param(_RANDOM_16[:8].hex().encode(), Kind.TEXT, "at most 64 of 128 bits", id="hex of 8 bytes"),
        pytest.param(b"tea, biscuits & a long walk home", Kind.TEXT, "of printable characters: at most", id="a phrase"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3\n", Kind.TEXT, "with a line break at its end: at", id="echo"),
        pytest.param(
            base64.b64encode(_RANDOM_16), Kind.TEXT, "encoded twice: at most 128 of 192 bits", id="base64 of 16 bytes"
        ),
        pytest.param(
            base64.b64encode(b"\xfb\xff" + _RANDOM_16 + b"abcdef"), Kind.TEXT, "at most 192 of 256", id="base64 of 24"
        ),
    ],
)
def test_a_weak_key_is_told_what_it_is(key: bytes, kind: Kind, message: str) -> None:
    found = weakness_of(key, _b64(key))
    assert found is not None
    assert found.kind is kind
    assert message in found.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "9f1c37a20be84d5571d3c60a42f89e7b", "hex digits that were never encoded: at most 128 of 192", id="hex"
        ),
        pytest.param("9F1C37A20BE84D5571D3\nC60A42F89E7B", "hex digits that were never encoded", id="hex in two lines"),
        pytest.param("correcthorsebatterystaplecorrect", "letters that were never encoded: at most 150", id="words"),
        pytest.param("VQMZRTNKWXECJBYHDSUAFGLPVQMZRTNK", "letters that were never encoded", id="capitals"),
    ],
)
def test_text_that_happens_to_be_base64_is_told(text: str, message: str) -> None:
    found = weakness_of(base64.b64decode(text), text)
    assert found is not None
    assert found.kind is Kind.TEXT
    assert message in found.message


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(_RANDOM_16, id="16 bytes"),
        pytest.param(bytes([*range(240, 256), 3]) + bytes(15), id="18 of 32 values"),
        pytest.param(bytes([*range(11, 24), *[11] * 11]), id="13 of 24 values"),
        pytest.param(bytes([*b"\x01\x80\x90\xa0\xb0\xc7\xd1\xe9", *[1] * 8]), id="8 of 16 values"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3\x7f", id="one byte that is no text"),
    ],
)
def test_just_enough_is_not_flagged(key: bytes) -> None:
    assert weakness_of(key, _b64(key)) is None


@pytest.mark.parametrize("length", [24, 32])
def test_random_keys_have_no_weakness(length: int) -> None:
    for _ in range(500):
        key = secrets.token_bytes(length)
        assert weakness_of(key, _b64(key)) is None
