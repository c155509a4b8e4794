"""What a refused secret is said to be: in counts, and never in its own letters."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.encryption_config.secret_text import cause_of, decode_secret, encoded, readings

KEY = bytes.fromhex("c97a41e05b3d8862f0a91d64b7332eca1856fd90e34b7ac80d259f6e71b4035c")
TEXT = base64.b64encode(KEY).decode()
AES, BOX = (32, 16, 24), (32,)


@pytest.mark.parametrize(
    ("text", "lengths", "cause"),
    [
        ("", AES, None),
        ("c2hvcnQ=", AES, None),
        (base64.b64encode(KEY[:16]).decode(), BOX, None),
        ("<YOUR KEY>", AES, "a placeholder of 10 characters: nobody fills it in"),
        ("a pass phrase", AES, "it has 13 characters"),
        (encoded(TEXT.encode()), AES, "decodes to 44 bytes that are themselves the base64 of 32 bytes: encoded twice"),
        (KEY.hex(), AES, "64 hexadecimal digits, which are 32 bytes"),
        (f" {TEXT}", AES, "45 characters of base64 with white space around it, which is 32 bytes"),
        (
            "ab-" * 10 + "ab",
            AES,
            "32 characters that are no base64: not encoded or 32 characters of base64 for URLs, which are 24 bytes",
        ),
        ("ab-" * 10 + "ab", BOX, "32 characters that are no base64: not encoded"),
    ],
)
def test_the_cause_is_told_in_counts(text: str, lengths: tuple[int, ...], cause: str | None) -> None:
    assert cause_of(text, lengths) == cause


@given(st.binary(min_size=12, max_size=60).map(encoded), st.sampled_from(["", "-", " ", "<"]))
def test_a_cause_is_known_where_there_is_a_reading_and_repeats_nothing(text: str, sign: str) -> None:
    secret = text + sign
    cause = cause_of(secret, AES) or ""
    assert not readings(secret, AES) or cause
    assert not any(text[start : start + 8] in cause for start in range(len(text) - 7))


@given(st.binary(max_size=60))
def test_what_is_encoded_decodes_to_itself_with_line_breaks_too(material: bytes) -> None:
    text = encoded(material)
    assert decode_secret(text) == material
    assert decode_secret(f"{text[:5]}\r\n{text[5:]}\n") == material


@pytest.mark.parametrize("text", ["a", "YQ=", "YQ", "Y-Q=", " YQ==", "YQ==YQ==", "YQ==="])
def test_what_is_no_padded_standard_base64_decodes_to_nothing(text: str) -> None:
    assert decode_secret(text) is None
