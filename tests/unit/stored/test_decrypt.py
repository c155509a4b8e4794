from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config.model import IdentityReader, KmsReader, Reader, StaticReader
from keyctl.keys.key import Key, Provider
from keyctl.stored.decrypt import NotOpened, Opened, Reason, Ring, open_value
from keyctl.stored.kube_object import KubeObject
from tests.support import seal

AT = b"/registry/secrets/default/demo"
STATIC = [Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX]
IDENTITY = IdentityReader()


def reason(outcome: Opened | NotOpened) -> Reason:
    assert isinstance(outcome, NotOpened)
    return outcome.reason


@settings(max_examples=30)
@given(
    provider=st.sampled_from(STATIC),
    size=st.integers(0, 3000),
    length=st.sampled_from([16, 24, 32]),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
def test_what_the_server_seals_opens(provider: Provider, size: int, length: int, name: str) -> None:
    key = Key(provider, name, b"\7" * (32 if provider is Provider.SECRETBOX else length))
    outcome = open_value([StaticReader(key), IDENTITY], AT, seal.seal(key, AT, seal.secret("demo", size=size)))
    assert isinstance(outcome, Opened)
    assert outcome.reader == StaticReader(key)
    assert (outcome.object.kind, outcome.object.namespace, outcome.object.name) == ("Secret", "default", "demo")


# Made from the layouts of k8s.io/apiserver: key 00..1f, etcd key /registry/secrets/default/demo, plaintext "k8s\0demo".
VECTORS = {
    Provider.AESCBC: (
        "6b38733a656e633a6165736362633a76313a6b6579313aa0a1a2a3a4a5a6a7a8a9aaabacadaeaf6add621f7189d6b6f946b9684a0d40f4"
    ),
    Provider.AESGCM: (
        "6b38733a656e633a61657367636d3a76313a6b6579313ab0b1b2b3b4b5b6b7b8b9babbf26d29ab88a8d630fc0a0056ee"
        "b10b6c8f0bc2e9f6bed26e"
    ),
    Provider.SECRETBOX: (
        "6b38733a656e633a736563726574626f783a76313a6b6579313ac0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5"
        "d6d7380773411b3ca6b7f8fdcf6b30db4d53f6cff0893ed61d80"
    ),
}


@pytest.mark.parametrize("provider", STATIC)
def test_the_vectors_open_to_their_plaintext(provider: Provider) -> None:
    value = bytes.fromhex(VECTORS[provider])
    candidate = Ring([StaticReader(Key(provider, "key1", bytes(range(32))))]).sole(value)
    assert candidate is not None
    assert candidate.open(value, len(candidate.head), AT) == b"k8s\0demo"


@pytest.mark.parametrize("provider", STATIC)
def test_a_body_that_opens_to_no_object_is_not_opened(provider: Provider) -> None:
    reader = StaticReader(Key(provider, "key1", bytes(range(32))))
    assert reason(open_value([reader], AT, bytes.fromhex(VECTORS[provider]))) is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    ("provider", "expected"),
    [(Provider.AESGCM, Reason.NOT_AUTHENTIC), (Provider.AESCBC, Reason.WRONG_PLACE)],
)
def test_a_value_copied_to_another_name_does_not_open(provider: Provider, expected: Reason) -> None:
    key = seal.key("key1", provider)
    value = seal.seal(key, AT, seal.secret("demo"))
    outcome = open_value([StaticReader(key)], b"/registry/secrets/default/other", value)
    assert reason(outcome) is expected


@pytest.mark.parametrize("provider", STATIC)
def test_other_key_bytes_under_the_same_name_do_not_open(provider: Provider) -> None:
    right, wrong = seal.key("key1", provider), seal.key("key1", provider, fill=2)
    outcome = open_value([StaticReader(wrong)], AT, seal.seal(right, AT, seal.secret("demo")))
    assert reason(outcome) in (Reason.NOT_AUTHENTIC, Reason.BAD_PADDING, Reason.NOT_AN_OBJECT)
    assert wrong.material not in repr(outcome).encode()


def test_an_aescbc_value_that_opens_by_chance_is_no_object() -> None:
    right, wrong = seal.key("key1"), seal.key("key1", fill=2)
    value = seal.opens_by_chance(right, wrong, seal.secret("demo"))
    assert reason(open_value([StaticReader(wrong)], AT, value)) is Reason.NOT_AN_OBJECT
    # The server's search ends at the chance match, so the right key behind the wrong one does not help.
    both = [StaticReader(wrong), StaticReader(right)]
    assert reason(open_value(both, AT, value)) is Reason.NOT_AN_OBJECT
    assert isinstance(open_value(both[::-1], AT, value), Opened)


def test_a_failed_candidate_does_not_stop_the_search() -> None:
    wrong, right = seal.key("key1", Provider.AESGCM, fill=2), seal.key("key1", Provider.AESGCM)
    outcome = open_value([StaticReader(wrong), StaticReader(right)], AT, seal.seal(right, AT, seal.secret("demo")))
    assert isinstance(outcome, Opened)
    assert outcome.reader == StaticReader(right)


@pytest.mark.parametrize("provider", STATIC)
def test_a_name_that_begins_another_name_does_not_hide_it(provider: Provider) -> None:
    short, long = seal.key("a", provider, fill=2), seal.key("a:b", provider)
    value = seal.seal(long, AT, seal.secret("demo"))
    outcome = open_value([StaticReader(short), StaticReader(long)], AT, value)
    assert isinstance(outcome, Opened)
    assert outcome.reader == StaticReader(long)


def test_of_several_failures_the_one_of_the_longest_name_is_told() -> None:
    short, long = seal.key("a", Provider.AESGCM), seal.key("a:b", Provider.AESGCM, fill=2)
    value = seal.seal(seal.key("a:b", Provider.AESGCM, fill=3), AT, seal.secret("demo"))
    outcome = open_value([StaticReader(short), StaticReader(long)], AT, value)
    assert isinstance(outcome, NotOpened)
    assert "aesgcm/a:b " in outcome.detail


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 33, 47])
def test_an_aescbc_body_of_a_wrong_length_is_malformed(size: int) -> None:
    reader = StaticReader(seal.key("key1"))
    assert reason(open_value([reader], AT, b"k8s:enc:aescbc:v1:key1:" + b"x" * size)) is Reason.MALFORMED


@pytest.mark.parametrize(("provider", "shortest"), [(Provider.AESGCM, 28), (Provider.SECRETBOX, 40)])
def test_a_body_without_room_for_nonce_and_tag_is_malformed(provider: Provider, shortest: int) -> None:
    reader = StaticReader(seal.key("key1", provider))
    head = f"k8s:enc:{provider}:v1:key1:".encode()
    assert reason(open_value([reader], AT, head + b"x" * (shortest - 1))) is Reason.MALFORMED
    assert reason(open_value([reader], AT, head + b"x" * shortest)) is Reason.NOT_AUTHENTIC


@pytest.mark.parametrize("padding", [b"\0", b"\x11" * 17 + b"\x12" * 15 + b"\x11", b"\x01\x02", b"\xff"])
def test_bad_padding_is_named(padding: bytes) -> None:
    key = seal.key("key1")
    plain = seal.secret("demo")
    padded = plain + b"p" * (-(len(plain) + len(padding)) % 16) + padding
    value = b"k8s:enc:aescbc:v1:key1:" + seal.cbc(key, padded)
    assert reason(open_value([StaticReader(key)], AT, value)) is Reason.BAD_PADDING


def test_one_ring_opens_value_after_value() -> None:
    key = seal.key("key1")
    ring = Ring([StaticReader(key)])
    values = [(f"/registry/secrets/default/s{n}".encode(), seal.secret(f"s{n}", size=n * 7)) for n in range(50)]
    for etcd_key, plain in values:
        assert isinstance(ring.open(etcd_key, seal.seal(key, etcd_key, plain)), Opened)
        assert reason(ring.open(etcd_key, seal.seal(key, etcd_key, b"noise"))) is Reason.NOT_AN_OBJECT
        assert reason(ring.open(etcd_key, b"k8s:enc:aescbc:v1:key1:short")) is Reason.MALFORMED


VALUE = seal.seal(seal.key("key1"), AT, seal.secret("demo"))
KMS_VALUE = seal.seal_kms_v2("vault", AT, seal.secret("demo"))


@pytest.mark.parametrize(
    ("readers", "value", "expected"),
    [
        ([IDENTITY], VALUE, Reason.NOT_COVERED),
        ([StaticReader(seal.key("key2")), IDENTITY], VALUE, Reason.UNKNOWN_KEY),
        ([StaticReader(seal.key("key1", Provider.SECRETBOX))], VALUE, Reason.UNKNOWN_KEY),
        ([StaticReader(seal.key("key1")), IDENTITY], b"k8s:enc:rot13:v1:key1:x", Reason.UNKNOWN_SEAL),
        ([KmsReader("vault", "v2")], KMS_VALUE, Reason.KMS),
        ([KmsReader("vault", "v1")], b"k8s:enc:kms:v1:vault:xyz", Reason.KMS),
        pytest.param([KmsReader("vault", "v2")], KMS_VALUE[:40], Reason.MALFORMED, id="cut short"),
        ([KmsReader("other", "v2")], KMS_VALUE, Reason.UNKNOWN_KEY),
        ([KmsReader("vault", "v1")], KMS_VALUE, Reason.UNKNOWN_KEY),
        ([StaticReader(seal.key("key1"))], seal.secret("demo"), Reason.NO_IDENTITY),
        ([IDENTITY], b"hello", Reason.UNRECOGNISED),
        ([IDENTITY], b"k8s\0hello", Reason.UNRECOGNISED),
    ],
)
def test_each_way_of_staying_closed_has_its_name(readers: list[Reader], value: bytes, expected: Reason) -> None:
    assert reason(open_value(readers, AT, value)) is expected


@pytest.mark.parametrize(
    ("readers", "value", "expected"),
    [
        ([IDENTITY], VALUE, Reason.NOT_COVERED),
        ([StaticReader(seal.key("key2"))], VALUE, Reason.UNKNOWN_KEY),
        ([StaticReader(seal.key("key1"))], VALUE, None),
        ([StaticReader(seal.key("key1"))], seal.secret("demo"), Reason.NO_IDENTITY),
        ([IDENTITY], seal.secret("demo"), None),
        ([IDENTITY], b"hello", Reason.UNRECOGNISED),
        ([KmsReader("vault", "v2")], KMS_VALUE, None),
    ],
)
def test_the_head_alone_tells_what_no_reader_would_try(
    readers: list[Reader], value: bytes, expected: Reason | None
) -> None:
    refused = Ring(readers).refused(value)
    assert (None if refused is None else refused.reason) is expected


def test_plaintext_opens_through_identity_only_as_an_object_in_its_place() -> None:
    assert open_value([StaticReader(seal.key("k")), IDENTITY], AT, seal.secret("demo")) == Opened(
        IDENTITY, open_object("demo")
    )
    assert reason(open_value([IDENTITY], AT, seal.secret("other"))) is Reason.WRONG_PLACE
    assert isinstance(Ring([IDENTITY]).open(AT, seal.secret("other"), placed=False), Opened)


def open_object(name: str) -> KubeObject:
    outcome = Ring([IDENTITY]).open(b"/" + name.encode(), seal.secret(name), placed=False)
    assert isinstance(outcome, Opened)
    return outcome.object


def test_only_a_head_that_tells_which_reader_is_first_has_a_sole_candidate() -> None:
    short, long = StaticReader(seal.key("a")), StaticReader(seal.key("a:b"))
    twin = StaticReader(seal.key("a", fill=2))
    of_short, of_long = (seal.seal(reader.key, AT, b"x") for reader in (short, long))
    only = Ring([short]).sole(of_short)
    assert only is not None
    assert only.reader == short
    assert Ring([short, long]).sole(of_short) is None
    assert Ring([short, long]).sole(of_long) is None
    first = Ring([long, short]).sole(of_long)
    assert first is not None
    assert first.reader == long
    assert Ring([short, twin]).sole(of_short) is None
    assert Ring([short]).sole(seal.secret("demo")) is None


@given(st.binary())
def test_no_value_raises(noise: bytes) -> None:
    readers: list[Reader] = [StaticReader(seal.key("k", provider)) for provider in STATIC]
    for head in (b"", b"k8s:enc:", *(f"k8s:enc:{provider}:v1:k:".encode() for provider in STATIC)):
        outcome = open_value([*readers, KmsReader("k", "v2"), IDENTITY], AT, head + noise)
        assert isinstance(outcome, NotOpened)


def test_a_hostile_key_name_is_shown_escaped() -> None:
    outcome = open_value([IDENTITY], AT, b"k8s:enc:aescbc:v1:\x1b[31m:body")
    assert isinstance(outcome, NotOpened)
    assert outcome.detail.isprintable()
