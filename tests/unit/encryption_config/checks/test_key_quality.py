from __future__ import annotations

import base64
import hashlib
import math
import secrets
from fractions import Fraction

import pytest

from keyctl.encryption_config.checks import key_quality
from keyctl.encryption_config.checks.key_quality import Kind, weakness_of

_RANDOM_16 = bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b")
_RANDOM_32 = _RANDOM_16 + bytes.fromhex("05d27fb9c3164a88e07d2b5194fca36e")


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
        pytest.param(
            bytes([*b"\x01\x80\x90\xa0\xb0\xc7\xd1", *b"\x01\x01\x80" * 3]), Kind.LOW_ENTROPY, "only 7", id="7 of 16"
        ),
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
        pytest.param(
            b"correct-horse-battery".ljust(32, b"\0"),
            Kind.TEXT,
            "text of printable characters, filled up to the length of a key: at most 137 of 256 bits",
            id="text and NULs",
        ),
        pytest.param(b"hunter2".ljust(32, b"\0"), Kind.GUESSABLE, "filled up", id="a short password and NULs"),
        pytest.param(b"hunter2".rjust(16, b"\0"), Kind.GUESSABLE, "filled up", id="NULs and a short password"),
        pytest.param(b"my-password".ljust(32, b"\0"), Kind.GUESSABLE, "reads like a placeholder", id="a word and NULs"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3\0", Kind.TEXT, "letters and digits, filled up", id="31 and NUL"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3\1", Kind.TEXT, "filled up", id="31 and padding"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9f\4\4\4\4", Kind.TEXT, "filled up", id="28 and padding"),
        pytest.param(
            b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9f\n" + bytes(3), Kind.TEXT, "line break at its end, fi", id="echo, NULs"
        ),
        pytest.param(
            "drei Brötchen für Käse, süß & gut".encode()[:32], Kind.TEXT, "beyond ASCII: at most", id="umlauts"
        ),
        pytest.param("пароль для базы!".encode()[:24], Kind.TEXT, "beyond ASCII: at most", id="Cyrillic"),
        pytest.param("正しい馬電池ホッチ1!abc".encode(), Kind.TEXT, "beyond ASCII: at most 167 of 256", id="Japanese"),
        pytest.param(
            "grüße".encode().ljust(32, b"\0"), Kind.GUESSABLE, "beyond ASCII, filled up", id="umlauts and NULs"
        ),
        pytest.param(_RANDOM_32[:20] + bytes(12), Kind.LOW_ENTROPY, "12 bytes in a row that are equal", id="12 zeros"),
        pytest.param(_RANDOM_32[:24] + b"\xff" * 8, Kind.LOW_ENTROPY, "8 bytes in a row that are equal", id="8 ones"),
        pytest.param(
            _RANDOM_32[:12] + bytes(range(7, 27)), Kind.LOW_ENTROPY, "20 bytes in a row that count", id="20 counting"
        ),
        pytest.param(bytes(range(0, 208, 26)) + _RANDOM_32[:24], Kind.LOW_ENTROPY, "8 bytes in a row", id="in steps"),
        pytest.param(bytes(24) + _RANDOM_32[:8], Kind.GUESSABLE, "24 bytes in a row that are equal", id="24 zeros"),
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
        pytest.param(_RANDOM_16 + b"\xfe\xfd" + _RANDOM_16[:14], id="18 of 32 values"),
        pytest.param(_RANDOM_16[:13] + _RANDOM_16[1:12], id="13 of 24 values"),
        pytest.param(bytes([*b"\x01\x80\x90\xa0\xb0\xc7\xd1\xe9", *b"\x01\x01\x80\x01" * 2]), id="8 of 16 values"),
        pytest.param(_RANDOM_32[:25] + bytes(7), id="a run of 7 equal bytes"),
        pytest.param(_RANDOM_32[:25] + bytes(range(7)), id="a run of 7 counting bytes"),
        pytest.param("tea, biscuits & a långer walk hom".encode()[:31] + b"\xc3", id="text with half a letter"),
        pytest.param(b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3\x7f", id="one byte that is no text"),
    ],
)
def test_just_enough_is_not_flagged(key: bytes) -> None:
    assert weakness_of(key, _b64(key)) is None


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(hashlib.sha256(b"").digest(), id="sha256 of nothing"),
        pytest.param(hashlib.sha256(b"password").digest(), id="sha256"),
        pytest.param(hashlib.sha256(b"changeme\n").digest(), id="sha256 of a line"),
        pytest.param(hashlib.sha256(b"Kubernetes").digest()[:16], id="half of sha256"),
        pytest.param(hashlib.md5(b"secret", usedforsecurity=False).digest(), id="md5"),
        pytest.param(hashlib.md5(b"admin", usedforsecurity=False).hexdigest().encode(), id="hex digits of md5"),
        pytest.param(hashlib.sha1(b"test", usedforsecurity=False).digest()[:16], id="a part of sha1"),
        pytest.param(hashlib.sha512(b"123456").digest()[:32], id="half of sha512"),
        pytest.param(hashlib.sha256(b"encryption").hexdigest()[:32].encode(), id="half of the hex digits"),
        pytest.param(hashlib.sha256(b"key").digest()[:24], id="24 bytes"),
    ],
)
def test_the_digest_of_a_first_guess_is_guessable(key: bytes) -> None:
    found = weakness_of(key, _b64(key))
    assert found is not None
    assert found.kind is Kind.GUESSABLE
    assert "digest of a word" in found.message


def test_random_bytes_are_told_with_the_chance_that_is_claimed() -> None:
    """The arithmetic in the module, done again from its own tables."""
    sizes = [len(char.encode()) for code in range(0x20000) if key_quality._TEXT.fullmatch(char := chr(code))]
    counts = {size: sizes.count(size) for size in range(1, 5)}
    # Tabs and line breaks are part of a text, though not of an alphabet.
    assert counts == key_quality._CHARACTERS | {1: 98}
    texts = [1]
    for length in range(1, 33):
        texts.append(sum(counts[size] * texts[length - size] for size in counts if size <= length))
    whole, total = Fraction(texts[32]), Fraction(256**32)
    nul = sum((filled + 1) * texts[32 - filled] for filled in range(1, 33))
    repeated = 256 * sum(texts[32 - filled] for filled in range(2, 33)) + texts[31]
    run = (33 - key_quality._RUN) * Fraction(256) ** (34 - key_quality._RUN)
    few = _few_values(32, key_quality._TOO_FEW_VALUES[32]) * total
    assert math.log2((nul + repeated) / total) < -45
    assert math.log2((whole + nul + repeated + run + few) / total) < -40.4


def _few_values(length: int, most: int) -> Fraction:
    """The chance that `length` random bytes have `most` different values or fewer."""
    chances = {0: Fraction(1)}
    for _ in range(length):
        after: dict[int, Fraction] = {}
        for values, chance in chances.items():
            after[values] = after.get(values, Fraction(0)) + chance * values / 256
            after[values + 1] = after.get(values + 1, Fraction(0)) + chance * (256 - values) / 256
        chances = after
    return sum((chance for values, chance in chances.items() if values <= most), Fraction(0))


@pytest.mark.parametrize("length", [24, 32])
def test_random_keys_have_no_weakness(length: int) -> None:
    for _ in range(500):
        key = secrets.token_bytes(length)
        assert weakness_of(key, _b64(key)) is None
