from __future__ import annotations

import base64
import hashlib
import re
import secrets

import pytest

from keyctl.encryption_config.checks import published_keys
from keyctl.encryption_config.checks.published_keys import looks_like_placeholder, origin_of


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        pytest.param(b"secret is secure", "the Kubernetes documentation", id="16 bytes of the documentation"),
        pytest.param(b"this is password", "the Kubernetes documentation", id="the documentation's second key"),
        pytest.param(b"abcdefghijklmnopqrstuvwxyz123456", "the Kubernetes documentation", id="its secretbox key"),
        pytest.param(b"secret is secure, is it?", "the Kubernetes documentation", id="24 bytes"),
        pytest.param(b"_" * 32, "the tests or samples of an open-source project", id="tests"),
        pytest.param(
            bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
            "the test vectors of a cipher's standard",
            id="AES-256 of SP 800-38A",
        ),
        pytest.param(b"12345678901234567890123456789012", "lists of common keys", id="digits"),
        pytest.param(b"password", "a public tutorial", id="too short for any provider"),
    ],
)
def test_a_published_key_is_told_with_its_origin(key: bytes, origin: str) -> None:
    assert origin_of(key) == origin


@pytest.mark.parametrize("key", [b"", b"secret is secure!", bytes(31), hashlib.sha256(b"no key of anybody").digest()])
def test_another_key_is_not_known(key: bytes) -> None:
    assert origin_of(key) is None


def test_the_table_holds_digests_only_and_each_once() -> None:
    digests = [digest for digests in published_keys._DIGESTS.values() for digest in digests]
    assert len(digests) == len(set(digests)) == len(published_keys._ORIGINS)
    assert len(digests) >= 150
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


@pytest.mark.parametrize(
    "text",
    [
        "<BASE 64 ENCODED SECRET>",
        "<BASE64_ENCODED_SECRET>",
        "<32-byte-base64-encoded-key>",
        "${ENCRYPTION_KEY}",
        "$ENCRYPTION_KEY",
        "$(head -c 32 /dev/urandom | base64)",
        "{{ .EncryptionKey }}",
        "{}",
        "%ENCRYPTION_KEY%",
        "@@KEY@@",
        "__ENCRYPTION_KEY__",
        "[insert key]",
        "CHANGEME",
        "change-me",
        "REPLACE_ME",
        "replaceMeWithARealKey",
        "base64-encoded-key",
        "BASE64ENCODEDKEY",
        "YOUR_KEY_HERE",
        "your-32-byte-key",
        "yoursecret",
        "xxxxx",
        "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX=",
        "*****",
        "...",
        "…",
        "TODO",
        "key",
        "  '<secret>'\n",
        "op://vault/item/field",
        "ENC[AES256_GCM,data:abc]",
    ],
)
def test_what_was_never_filled_in_is_a_placeholder(text: str) -> None:
    assert looks_like_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2VjcmV0IGlzIHNlY3VyZQ==",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c2VjcmV0IGlz\nIHNlY3VyZQ==",
        "c2hvcnQ=",
        "0123456789abcdef0123456789abcdef",
        "a line of prose",
    ],
)
def test_a_key_in_a_wrong_form_is_no_placeholder(text: str) -> None:
    assert not looks_like_placeholder(text)


@pytest.mark.parametrize("length", [16, 24, 31, 32, 48])
def test_random_keys_are_no_placeholders(length: int) -> None:
    for _ in range(200):
        key = secrets.token_bytes(length)
        assert not looks_like_placeholder(base64.b64encode(key).decode())
        assert not looks_like_placeholder(key.hex())
        assert not looks_like_placeholder(base64.b64encode(key).decode()[:-3])
