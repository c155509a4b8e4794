from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.stored.kube_object import KubeObject, decode, fits, frame_head, namespace_field
from tests.support import seal

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)
UID = "0f4c3a52-7f37-4c6e-9c57-1d3b2f6a9e01"


@given(name=NAMES, namespace=st.one_of(st.just(""), NAMES), rest=st.integers(0, 40000), generated=NAMES)
def test_a_protobuf_object_comes_back(name: str, namespace: str, rest: int, generated: str) -> None:
    plain = seal.stored(
        "apps/v1",
        "Deployment",
        name,
        namespace,
        uid=UID,
        generate_name=generated,
        rest=b"\x12" + seal._varint(rest) + b"x" * rest,
    )
    assert decode(plain) == KubeObject("apps/v1", "Deployment", namespace or None, name, UID)


def test_infrastructure_objects_have_no_name() -> None:
    assert decode(seal.stored("v1", "RangeAllocation", "", uid=" ")) == KubeObject(
        "v1", "RangeAllocation", None, "", " "
    )


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"k8s\0",
        b"k8s\0demo",
        b"k8s\0\n\x04\n\x02v1\x12\x00",
        b"k8s\0\n\x0c\n\x02v1\x12\x06Secret",
        seal.secret("a")[:-20],
        seal.secret("a").replace(b"Secret", b"\xff\xfe\xfd\xfc\xfb\xfa"),
        b"hello",
        b"{",
        b"[]",
        b"{}",
        b'{"apiVersion":"v1","kind":"Secret"}',
        b'{"apiVersion":"v1","kind":"Secret","metadata":[]}',
        b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":7}}',
        b'{"apiVersion":1,"kind":"Secret","metadata":{}}',
        b'{"apiVersion":"v1","kind":"","metadata":{}}',
        b'{"a":' * 100_000,
        b'{"apiVersion":"\xff"}',
    ],
)
def test_what_is_no_object_gives_none(plain: bytes) -> None:
    assert decode(plain) is None


def test_a_json_object_comes_back() -> None:
    document = {"apiVersion": "e.io/v1", "kind": "W", "metadata": {"name": "w", "namespace": "n", "uid": "u"}}
    assert decode(json.dumps(document).encode()) == KubeObject("e.io/v1", "W", "n", "w", "u")


def _cbor(value: object, *, text: bool = False, endless: bool = False) -> bytes:
    if isinstance(value, dict):
        inner = b"".join(_cbor(k, text=text) + _cbor(v, text=text, endless=endless) for k, v in value.items())
        return b"\xbf" + inner + b"\xff" if endless else bytes([0xA0 + len(value)]) + inner
    if isinstance(value, str):
        raw = value.encode()
        return bytes([0x78 if text else 0x58, len(raw)]) + raw
    assert isinstance(value, int)
    return b"\x1a" + value.to_bytes(4, "big")


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("endless", [True, False])
def test_a_cbor_object_comes_back(text: bool, endless: bool) -> None:
    document = {
        "apiVersion": "e.io/v1",
        "kind": "W",
        "spec": {"replicas": 3},
        "metadata": {"name": "w", "namespace": "n", "uid": "u", "generation": 1},
    }
    plain = b"\xd9\xd9\xf7" + _cbor(document, text=text, endless=endless)
    assert decode(plain) == KubeObject("e.io/v1", "W", "n", "w", "u")
    assert decode(plain[:-1]) is None
    assert decode(plain + b"\0") is None


def test_cbor_nested_without_end_is_no_object() -> None:
    assert decode(b"\xd9\xd9\xf7" + b"\x81" * 100_000) is None


@given(st.binary(), st.sampled_from([b"", b"k8s\0", b"{", b"\xd9\xd9\xf7", b"\xd9\xd9\xf7\xbf", b"k8s\0\n"]))
def test_no_bytes_raise(noise: bytes, start: bytes) -> None:
    assert decode(start + noise) is None or isinstance(decode(start + noise), KubeObject)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_object_never_raises(at: int, byte: int) -> None:
    plain = bytearray(seal.secret("demo"))
    plain[at % len(plain)] = byte
    assert decode(bytes(plain)) is None or isinstance(decode(bytes(plain)), KubeObject)


def test_an_object_knows_its_place() -> None:
    found = KubeObject("v1", "Secret", "default", "demo", UID)
    assert found.is_at(b"/registry/secrets/default/demo")
    assert not found.is_at(b"/registry/secrets/default/other")
    assert not found.is_at(b"/registry/secrets/other/demo")
    assert not found.is_at(b"/registry/secrets/default/xdemo")
    assert KubeObject("v1", "Node", None, "n1", UID).is_at(b"/registry/minions/n1")
    assert not KubeObject("v1", "Node", None, "", UID).is_at(b"/registry/minions/")


HEAD = frame_head(KubeObject("v1", "Secret", "default", "demo", UID))


@given(name=NAMES, size=st.integers(0, 40000))
def test_the_quick_form_knows_what_the_api_server_writes(name: str, size: int) -> None:
    plain = seal.secret(name, size=size)
    assert fits(plain, HEAD, namespace_field("default"), name.encode())


def test_the_quick_form_knows_cluster_scoped_objects_and_generated_names() -> None:
    plain = seal.stored("v1", "Secret", "demo-x1", generate_name="demo-")
    assert fits(plain, HEAD, namespace_field(None), b"demo-x1")


@pytest.mark.parametrize(
    ("plain", "namespace", "name"),
    [
        (seal.secret("demo"), "default", b"other"),
        (seal.secret("demo"), "default", b"dem"),
        (seal.secret("demo"), "other", b"demo"),
        (seal.secret("demo"), None, b"demo"),
        (seal.config_map("demo"), "default", b"demo"),
        (seal.secret("demo") + b"x", "default", b"demo"),
        (seal.secret("demo")[:-1], "default", b"demo"),
        (seal.secret("demo")[:-4] + b"\x1a\x00\x22\x01", "default", b"demo"),
        (seal.secret("demo")[:-30] + seal.secret("demo")[-4:], "default", b"demo"),
        (seal.secret("d" * 200), "default", b"d" * 200),
        (seal.secret("demo", "n" * 200), "n" * 200, b"demo"),
        (HEAD + b"\x00\x1a\x00\x22\x00", "default", b"demo"),
        (HEAD, "default", b"demo"),
    ],
)
def test_the_quick_form_leaves_everything_else_to_the_thorough_one(
    plain: bytes, namespace: str | None, name: bytes
) -> None:
    assert not fits(plain, HEAD, namespace_field(namespace), name)


@given(st.binary(), st.binary(max_size=20))
def test_the_quick_form_never_raises(noise: bytes, name: bytes) -> None:
    assert fits(HEAD + noise + b"\x1a\x00\x22\x00", HEAD, namespace_field("default"), name) in (True, False)
