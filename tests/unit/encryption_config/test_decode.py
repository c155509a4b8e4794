from __future__ import annotations

import json

import pytest

from keyctl.encryption_config.decode import decode, hash_of
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    ResourceEntry,
    StaticReader,
)
from keyctl.errors import KeyctlError, UnusableInputError
from keyctl.keys.key import Key, Provider
from tests.unit.encryption_config.configs import HEAD, b64, config_of, entry, file, key, static

_BLOCK = f"""\
# comment
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
      - '*.apps'
    providers:
      - aescbc:
          keys:
            - name: key1 # the writer
              secret: {b64(1)}
            - name: "20261121"
              secret: {b64(2, 16)}
      - kms:
          apiVersion: v2
          name: vault
          endpoint: unix:///run/kms.sock
          timeout: 3s
      - identity: {{}}
"""


def _refusal(content: bytes) -> UnusableInputError:
    with pytest.raises(UnusableInputError) as caught:
        decode(content, name="enc.yaml")
    assert caught.value.hints
    return caught.value


def test_a_configuration_is_read_in_the_servers_order() -> None:
    assert decode(_BLOCK.encode(), name="enc.yaml").config == EncryptionConfig(
        (
            ResourceEntry(
                ("secrets", "*.apps"),
                (
                    ProviderElement(
                        Provider.AESCBC,
                        (
                            StaticReader(key("key1", 1)),
                            StaticReader(Key(Provider.AESCBC, "20261121", bytes([2]) * 16)),
                        ),
                    ),
                    ProviderElement(Provider.KMS, (KmsReader("vault", "v2"),)),
                    ProviderElement(Provider.IDENTITY, (IdentityReader(),)),
                ),
            ),
        )
    )


def test_json_means_the_same_as_yaml() -> None:
    element = {"secretbox": {"keys": [{"name": "k", "secret": b64(3)}]}}
    value = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [element, {"identity": {}}]}],
    }
    expected = config_of(entry("secrets", static("k", 3, "secretbox"), "{identity: {}}"))
    for indent in (None, 2):
        assert decode(json.dumps(value, indent=indent).encode(), name="enc.json").config == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("apiserver.config.k8s.io/v1", "v1").replace("Configuration", "Config"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "---\nnot: {a: configuration\n",
        lambda text: text.replace(b64(1), f"|\n                {b64(1)[:20]}\n                {b64(1)[20:]}"),
        lambda text: text.replace(b64(1), f'"{b64(1)[:20]}\\r\\n{b64(1)[20:]}\\n"'),
        lambda text: text.replace("name: vault", "name: vault\n          cachesize: null"),
        lambda text: text.replace("      - kms:", "      - secretbox: null\n        kms:"),
    ],
    ids=[
        "legacy kind",
        "byte order mark",
        "crlf",
        "second document",
        "block scalar",
        "escaped breaks",
        "null",
        "null type",
    ],
)
def test_what_the_server_takes_for_the_same_is_the_same(change) -> None:
    assert decode(change(_BLOCK).encode(), name="e").config == decode(_BLOCK.encode(), name="e").config


def test_trailing_bits_of_base64_are_ignored_as_in_go() -> None:
    secret = b64(0, 16)
    content = file(entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: {secret[:-3]}B==}}]}}}}"))
    assert decode(content, name="e").config == config_of(
        entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: {secret}}}]}}}}")
    )


def test_a_null_resource_is_the_empty_name() -> None:
    assert config_of(entry("null", "{identity: {}}")).entries[0].resources == ("",)


def test_aliases_between_entries_are_followed() -> None:
    config = config_of(entry("secrets", "&p " + static()), entry("configmaps", "*p"))
    assert config.entries[0].providers == config.entries[1].providers


_NAME = "enc.yaml:11:21: resources[0].providers[0].aescbc.keys[0].name"
_CACHE = "enc.yaml:19:22: resources[0].providers[1].kms.cachesize should be a whole number of 32 bits, and is"


def _edited(old: str, new: str) -> bytes:
    assert old in _BLOCK
    return _BLOCK.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_edited("name: key1", "name: 1"), f"{_NAME} should be text, and is a number"),
        (_edited("name: key1", "name: yes"), f"{_NAME} should be text, and is a bool"),
        (_edited("name: key1", "name: [a]"), f"{_NAME} should be text, and is a list"),
        (
            _edited("identity: {}", "identity: []"),
            "enc.yaml:20:19: resources[0].providers[2].identity should be a mapping, and is a list",
        ),
        (
            _edited("timeout: 3s", "timeout: 3"),
            "enc.yaml:19:20: resources[0].providers[1].kms.timeout should be text, and is a number",
        ),
        (_edited("timeout: 3s", "cachesize: '5'"), f"{_CACHE} text"),
        (_edited("timeout: 3s", "cachesize: 2147483648"), f"{_CACHE} a number"),
        (
            _edited("timeout: 3s", "cachesize: 1e3"),
            "enc.yaml:19:22: resources[0].providers[1].kms.cachesize is not written in decimal digits",
        ),
        (_edited("kind:", "Kind:"), "enc.yaml:2:13: not an EncryptionConfiguration"),
        (_edited("kind: EncryptionConfiguration", "kind: null"), "enc.yaml:3:7: not an EncryptionConfiguration"),
        (_edited("k8s.io/v1", "k8s.io/v1beta1"), "enc.yaml:2:13: not an EncryptionConfiguration"),
        (_edited("apiserver.config.k8s.io/v1", "v1"), "enc.yaml:2:13: not an EncryptionConfiguration"),
        (_edited("# comment\n", "---\n---\n"), "enc.yaml:2:1: the first document is empty"),
        (b"[]", "enc.yaml:1:1: the top level should be a mapping, and is a list"),
        (b"text", "enc.yaml:1:1: the top level should be a mapping, and is text"),
    ],
)
def test_a_wrong_type_or_kind_is_refused_with_its_place(content: bytes, message: str) -> None:
    assert str(_refusal(content)) == message


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            _BLOCK.encode() + b"metadata: {}\n",
            "enc.yaml:21:1: unknown field at the top level",
            "delete the field; known here: apiVersion, kind, resources",
        ),
        (
            _edited("    providers:", "providers:"),
            'enc.yaml:8:1: unknown field "providers" at the top level',
            "providers belongs to an element of the top list resources: check the indentation",
        ),
        (
            _edited("          keys:", "        keys:"),
            'enc.yaml:10:9: unknown field "keys" at resources[0].providers[0]',
            "keys belongs to aescbc or aesgcm or secretbox: check the indentation",
        ),
        (
            _edited("aescbc:", "aesCBC:"),
            "enc.yaml:9:9: unknown field at resources[0].providers[0]",
            "write it as aescbc: case matters",
        ),
        (
            _edited("identity: {}", "identity: {a: b}"),
            "enc.yaml:20:20: unknown field at resources[0].providers[2].identity",
            "delete the field; known here: none",
        ),
        (
            _edited("      - kms:", "      - 1: x\n        kms:"),
            "enc.yaml:15:9: unknown field at resources[0].providers[1]",
            "delete the field; known here: aescbc, aesgcm, secretbox, kms, identity",
        ),
    ],
)
def test_an_unknown_field_is_refused_and_told_where_it_belongs(content: bytes, message: str, hint: str) -> None:
    error = _refusal(content)
    assert (str(error), error.hints) == (message, (hint,))


def test_the_hash_is_that_of_the_raw_bytes() -> None:
    assert hash_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert hash_of(b"a\n") != hash_of(b"a\r\n")


_SECRET = b64(9)


@pytest.mark.parametrize(
    "content",
    [
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: {_SECRET[:-4]}}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: '{_SECRET}x'}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: '', secret: {_SECRET}}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: [{{{_SECRET}: name, secret: x}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: {{name: a, secret: {_SECRET}}}}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: {_SECRET}, secret: a}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: {_SECRET}}}]}}}}")),
        file(entry("secrets", f"{{aescbc: {_SECRET}}}")),
        file(entry(_SECRET, static())),
        file(entry("secrets", static(fill=9), static(fill=9)), f"{_SECRET}: x\n"),
        file(entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: {_SECRET}}}]}}, identity: {{}}}}")),
        f"kind: {_SECRET}\napiVersion: {_SECRET}\n".encode(),
        (HEAD + f"- {_SECRET}\n").encode(),
        file(entry("secrets", static(fill=9)))[:-2],
    ],
)
def test_no_refusal_ever_repeats_a_key(content: bytes) -> None:
    assert _SECRET[:-4].encode() in content
    error = _refusal(content)
    shown: list[object] = [error, error.cause, error.hints, repr(error), error.__cause__]
    assert _SECRET[:12] not in " ".join(map(str, shown))


def test_no_repr_shows_a_key() -> None:
    decoded = decode(file(entry("secrets", static(fill=9))), name="enc.yaml")
    for shown in (repr(decoded), repr(decoded.raw), repr(decoded.document), repr(decoded.config)):
        assert _SECRET not in shown
        assert repr(b"\t" * 32)[2:-1] not in shown


def test_a_failure_is_always_of_the_one_root() -> None:
    assert issubclass(type(_refusal(b"{")), KeyctlError)
