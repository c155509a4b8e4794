from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.keys.key import Provider
from keyctl.stored.envelope import (
    Encoding,
    Plaintext,
    Sealed,
    UnknownSeal,
    Unrecognised,
    classify,
    kms_v2_key_id,
    seal_head,
)
from tests.support import seal

SEALS = [
    (Provider.AESCBC, "v1"),
    (Provider.AESGCM, "v1"),
    (Provider.SECRETBOX, "v1"),
    (Provider.KMS, "v1"),
    (Provider.KMS, "v2"),
]


@pytest.mark.parametrize(
    ("value", "head"),
    [
        (b"k8s:enc:aescbc:v1:key1:body", Sealed(Provider.AESCBC, "v1", "key1", 23)),
        (b"k8s:enc:aesgcm:v1:key1:body", Sealed(Provider.AESGCM, "v1", "key1", 23)),
        (b"k8s:enc:secretbox:v1:key1:body", Sealed(Provider.SECRETBOX, "v1", "key1", 26)),
        (b"k8s:enc:kms:v1:vault:body", Sealed(Provider.KMS, "v1", "vault", 21)),
        (b"k8s:enc:kms:v2:vault:body", Sealed(Provider.KMS, "v2", "vault", 21)),
        (b"k8s\0\n\x0c", Plaintext(Encoding.PROTOBUF)),
        (b'{"kind":"Widget"}', Plaintext(Encoding.JSON)),
        (b"\xd9\xd9\xf7\xa3", Plaintext(Encoding.CBOR)),
        (b"k8s:enc:rot13:v1:key1:body", UnknownSeal()),
        (b"k8s:enc:aescbc:v2:key1:body", UnknownSeal()),
        (b"k8s:enc:aescbc:v1:key1", UnknownSeal()),
        (b"k8s:enc:aescbc:v1::body", UnknownSeal()),
        (b"k8s:enc:", UnknownSeal()),
        (b"k8s:en", Unrecognised()),
        (b"k8s", Unrecognised()),
        (b"apiVersion: v1", Unrecognised()),
        (b"", Unrecognised()),
    ],
)
def test_each_head_is_told_apart(value: bytes, head: object) -> None:
    assert classify(value) == head


def test_a_configured_name_with_colons_is_not_split_at_its_first_colon() -> None:
    value = b"k8s:enc:aescbc:v1:a:b:c:body"
    assert classify(value) == Sealed(Provider.AESCBC, "v1", "a", 20)
    assert classify(value, {"a", "a:b", "a:b:c", "a:b:c:d"}) == Sealed(Provider.AESCBC, "v1", "a:b:c", 24)


def test_an_endless_name_is_not_believed() -> None:
    assert classify(b"k8s:enc:aescbc:v1:" + b"x" * 5000 + b":body") == UnknownSeal()


@given(
    seal_=st.sampled_from(SEALS), name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), body=st.binary()
)
def test_the_head_of_a_configured_name_comes_back_whole(seal_: tuple[Provider, str], name: str, body: bytes) -> None:
    head = seal_head(*seal_, name)
    assert classify(head + body, {name}) == Sealed(*seal_, name, len(head))


@given(st.binary())
def test_any_bytes_have_some_head(value: bytes) -> None:
    assert isinstance(classify(value, {"key1"}), Sealed | Plaintext | UnknownSeal | Unrecognised)
    assert isinstance(classify(b"k8s:enc:" + value, {"key1"}), Sealed | UnknownSeal)


def test_identity_seals_nothing() -> None:
    with pytest.raises(ValueError, match="identity"):
        seal_head(Provider.IDENTITY, "v1", "")


def _kms_body(key_id: str = "kid-1") -> bytes:
    return seal.seal_kms_v2("p", b"/k", b"plain", key_id=key_id).partition(b":p:")[2]


def test_the_key_id_of_a_kms_v2_message_is_read_in_the_clear() -> None:
    assert kms_v2_key_id(_kms_body("projects/x/keys/1")) == "projects/x/keys/1"


# Made from the layout of k8s.io/apiserver with seed 00..1f and the etcd key /registry/secrets/default/demo.
VECTOR = bytes.fromhex(
    "6b38733a656e633a6b6d733a76323a70726f763a0a44404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
    "d0d1d2d3d4d5d6d7d8d9dadb1b29e208800246040f94ccee490451b91621f14998deaf4e12056b69642d311a0c777261707065642d73"
    "6565642801"
)


def test_the_kms_v2_vector_names_its_plugin_and_key() -> None:
    assert classify(VECTOR) == Sealed(Provider.KMS, "v2", "prov", 20)
    assert kms_v2_key_id(VECTOR[20:]) == "kid-1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 20,
        _kms_body()[:-5],
        b"\x12\x05kid-1\x1a\x01s",
        b"\n\x01c\x12\x00\x1a\x01s",
        b"\n\x01c\x12\x05kid-1",
        b"\n\x01c\x12\x01\xff\x1a\x01s",
        _kms_body("k" * 1025),
    ],
    ids=["empty", "noise", "cut", "no data", "empty id", "no source", "id is no text", "id too long"],
)
def test_a_damaged_kms_v2_message_has_no_key_id(body: bytes) -> None:
    assert kms_v2_key_id(body) is None


@given(st.binary())
def test_no_kms_v2_body_raises(body: bytes) -> None:
    assert kms_v2_key_id(body) is None or isinstance(kms_v2_key_id(body), str)
