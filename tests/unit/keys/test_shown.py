"""The one guard in front of names: what reads like a key is shortened, and no ordinary name is."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef, Provider
from keyctl.keys.shown import reads_like_key, shortened, shown_name, shown_ref

KEYS = [
    bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b"),
    bytes.fromhex("3ab6e1048f5d92c7106be95b2a7df4837c21d80e5496bf63"),
    bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b05d27fb9c3164a88e07d2b5194fca36e"),
]
FORMS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda key: base64.b64encode(key).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key).decode(),
    "base64 without padding": lambda key: base64.b64encode(key).decode().rstrip("="),
    "base64 behind a word": lambda key: f"key1:{base64.b64encode(key).decode()}",
    "base64 behind a hyphen": lambda key: f"key1.{base64.b64encode(key).decode().rstrip('=')}",
    "hex digits": lambda key: key.hex(),
    "capital hex digits": lambda key: f"0x{key.hex().upper()}",
    "hex digits behind a word": lambda key: f"key-{key.hex()}",
    "pairs of hex digits": lambda key: key.hex(":"),
    "pairs of hex digits with blanks": lambda key: key.hex(" "),
    "an array of bytes": lambda key: ", ".join(f"0x{byte:02X}" for byte in key),
}
WORDS = st.from_regex(r"[a-z]{3,12}", fullmatch=True)
PARTS = WORDS | WORDS.map(str.upper) | WORDS.map(str.capitalize) | st.from_regex(r"[0-9]{1,8}", fullmatch=True)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{len(key)} bytes")
@pytest.mark.parametrize("form", FORMS)
def test_what_reads_like_a_key_is_shortened(form: str, key: bytes) -> None:
    name = FORMS[form](key)
    assert reads_like_key(name)
    assert shortened(name) == shown_name(name) == f"{name[:4]}…"
    assert shown_ref(KeyRef(Provider.AESCBC, name)) == f"aescbc/{name[:4]}…"


@given(st.lists(PARTS, min_size=1, max_size=12), st.sampled_from(["-", "_", ".", "/", ":", " ", "--"]))
def test_an_ordinary_name_of_any_length_is_not_shortened(parts: list[str], sign: str) -> None:
    name = sign.join(parts)
    assert shown_name(name) == shortened(name) == name


@given(st.lists(WORDS.map(str.capitalize), min_size=1, max_size=9), st.from_regex(r"[0-9]{0,4}", fullmatch=True))
def test_a_name_of_joined_words_is_not_shortened(words: list[str], number: str) -> None:
    name = f"{''.join(words)}{number}"
    assert shown_name(name) == name
    assert shown_name(name[0].lower() + name[1:]) == name[0].lower() + name[1:]


@pytest.mark.parametrize(
    "name",
    [
        "key1",
        "KubernetesSecretsKey01",
        "K8S-PROD-EU-WEST-1-Keys",
        "key-20261121t100000z-ab12",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "customresourcedefinitions.apiextensions.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "correct-horse-battery-staple",
        "etcd1a-eu2b-prod3c-k8s",
        "0t1u2v3w4x5y6z7t8u9v0w1x2y3z4t5u",
        "arn:aws:kms:eu-west-1:111122223333:alias/etcd",
        "schlüssel",
        "a" * 1000,
    ],
)
def test_names_that_people_give_are_not_shortened(name: str) -> None:
    assert shown_name(name) == name


def test_no_name_that_keyctl_makes_is_shortened() -> None:
    for provider in STATIC_PROVIDERS:
        for _ in range(100):
            key = generate(provider, now=datetime(2026, 11, 21, 10, tzinfo=UTC))
            assert shown_ref(key.ref) == str(key.ref)


def test_what_acts_on_a_terminal_is_escaped() -> None:
    assert shown_name("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert shortened("a\nb") == "a\nb"


def test_a_reference_without_a_name_is_its_provider() -> None:
    assert shown_ref(KeyRef(Provider.IDENTITY, "")) == "identity"


@given(st.binary(min_size=32, max_size=32))
def test_no_padded_base64_of_32_bytes_passes(key: bytes) -> None:
    assert reads_like_key(base64.b64encode(key).decode())
    assert reads_like_key(base64.urlsafe_b64encode(key).decode())


@pytest.mark.parametrize("text", ["-_", "a", "Aa", "Ab:", "ab:", "0", "12 ", "= "])
def test_a_megabyte_of_anything_is_judged_at_once(text: str) -> None:
    start = time.monotonic()
    shown_name(text * (1_000_000 // len(text)))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["xZ0vT3nWc8yBeKfRjHsEaPmUgXi5OlNt2VwQ4hYk&=", "keyxZ0vT3nWc8yBeKfRjHsEaPm"])
def test_a_key_that_was_written_wrongly_is_shortened_too(text: str) -> None:
    assert shown_name(text) == f"{text[:4]}…"
