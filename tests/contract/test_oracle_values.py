"""What keyctl makes of stored values is what kube-apiserver's own transformers make of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider
from keyctl.stored import kube_object
from keyctl.stored.census import Census
from keyctl.stored.decrypt import NotOpened, Opened, Reason, Ring, open_value
from keyctl.stored.groups import Role
from keyctl.stored.judgement import judge
from tests.support import oracle, seal
from tests.support.oracle import Oracle

Element = dict[str, object]
Entry = tuple[tuple[str, ...], list[Element]]

AT = b"/registry/secrets/default/demo"
IDENTITY: Element = {"identity": {}}
STATIC = tuple(STATIC_PROVIDERS)
KEYS = [Key(provider, "key1", bytes(range(size))) for provider, sizes in STATIC_PROVIDERS.items() for size in sizes]
JSON = b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"demo","namespace":"default","uid":"u"}}\n'
PLAIN = seal.secret("demo")
PLAINS = (seal.secret("demo", size=0), PLAIN, JSON)
LARGE = 1_400_000


@pytest.fixture(params=oracle.MODULE_FILES)
def server(request: pytest.FixtureRequest) -> Oracle:
    return oracle.oracle(request.param)


def keys(*some: Key) -> Element:
    """One element of a `providers` list."""
    listed = [{"name": key.name, "secret": base64.b64encode(key.material).decode()} for key in some]
    return {str(some[0].provider): {"keys": listed}}


def kms(version: str, name: str) -> Element:
    return {"kms": {"apiVersion": version, "name": name, "endpoint": "unix:///nowhere.sock"}}


def file(*entries: Entry) -> bytes:
    listed = [{"resources": resources, "providers": providers} for resources, providers in entries]
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return json.dumps(head | {"resources": listed}, indent=1).encode()


def secrets(*providers: Element) -> bytes:
    return file((("secrets",), list(providers)))


def only(key: Key) -> bytes:
    return secrets(keys(key))


def config_of(content: bytes) -> EncryptionConfig:
    return decode(content, name="the test's file").config


def plain_of(reader: Reader, value: bytes) -> bytes:
    """The bytes that keyctl sees when `reader` opens `value`."""
    if isinstance(reader, IdentityReader):
        return value
    candidate = Ring((reader,)).sole(value)
    assert candidate is not None
    plain = candidate.open(value, len(candidate.head), AT)
    assert isinstance(plain, bytes)
    return plain


def agree(server: Oracle, content: bytes, value: bytes, etcd_key: bytes = AT) -> oracle.Opened:
    """Both read `value` with the same outcome; the server's.

    keyctl looks at what came out, the transformers do not: of bytes that are no object it says so.
    """
    asked = server.decrypt(content, "secrets", etcd_key, value)
    readers = effective.readers(config_of(content), "secrets")
    outcome = Ring(readers).open(etcd_key, value, placed=False)
    if isinstance(outcome, NotOpened):
        assert (outcome.reason in (Reason.NOT_AN_OBJECT, Reason.UNRECOGNISED)) == (asked.plain is not None), outcome
        return asked
    assert asked.plain is not None, asked.error
    assert outcome.object == kube_object.decode(asked.plain)
    assert asked.stale == (outcome.reader is not readers[0])
    return asked


def counted_stale(content: bytes, value: bytes) -> bool:
    """Whether `value` counts as one to be rewritten when a whole etcd is judged. It must be readable."""
    census = Census(b"/registry", config_of(content))
    census.add([(AT, value, 1)])
    result = census.result()
    assert not result.unreadable
    (group,) = result.groups
    (judged,) = judge(result, frozenset({"secrets"}), None, {})
    assert judged.stale == (group.role is Role.READ and group.encoding is None)
    return group.role is Role.READ


OTHER_GCM = Key(Provider.AESGCM, "other", b"\7" * 32)


def sibling(key: Key, name: str = "key0") -> Key:
    """Another key of the same provider."""
    return Key(key.provider, name, b"\5" * 32)


# Where a key can stand, as the entries of a file; it writes in the first four and is stale in all others.
WRITES: dict[str, Callable[[Key], list[Entry]]] = {
    "alone": lambda key: [(("secrets",), [keys(key)])],
    "first of all": lambda key: [(("secrets",), [keys(key, sibling(key)), keys(OTHER_GCM), IDENTITY])],
    "first of the first entry of two": lambda key: [
        (("secrets",), [keys(key)]),
        (("secrets.",), [keys(sibling(key)), IDENTITY]),
    ],
    "wildcard of the group": lambda key: [
        (("configmaps",), [keys(OTHER_GCM)]),
        (("deployments.apps", "*."), [keys(key), IDENTITY]),
        (("*.*",), [IDENTITY]),
    ],
    "wildcard of everything": lambda key: [(("*.apps",), [keys(OTHER_GCM)]), (("*.*",), [keys(key), IDENTITY])],
}
READS: dict[str, Callable[[Key], list[Entry]]] = {
    "second of its element": lambda key: [(("secrets",), [keys(sibling(key), key), IDENTITY])],
    "later element of the provider": lambda key: [(("secrets",), [keys(sibling(key)), keys(key)])],
    "later element": lambda key: [(("secrets",), [keys(OTHER_GCM), keys(key), IDENTITY])],
    "behind identity": lambda key: [(("secrets",), [IDENTITY, keys(key)])],
    "behind a KMS plugin": lambda key: [(("secrets",), [kms("v2", "plugin"), keys(key)])],
    "later entry": lambda key: [(("secrets",), [keys(OTHER_GCM), IDENTITY]), (("pods", "secrets"), [keys(key)])],
    "later entry, spelt with a dot": lambda key: [(("secrets",), [keys(sibling(key))]), (("secrets.",), [keys(key)])],
    "wildcard, second key": lambda key: [(("*.",), [keys(sibling(key), key)])],
    "wildcard, later entry": lambda key: [
        (("configmaps",), [keys(key)]),
        (("*.*",), [keys(OTHER_GCM), keys(key), IDENTITY]),
    ],
}


@pytest.mark.parametrize("place", [*WRITES, *READS])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.provider}-{len(key.material)}")
def test_a_value_opens_and_is_stale_as_the_server_says(server: Oracle, key: Key, place: str) -> None:
    content = file(*(WRITES | READS)[place](key))
    for plain in PLAINS:
        value = server.encrypt(content if place in WRITES else only(key), "secrets", AT, plain)
        read = agree(server, content, value)
        outcome = open_value(effective.readers(config_of(content), "secrets"), AT, value)
        assert isinstance(outcome, Opened)
        assert outcome.reader == StaticReader(key)
        assert plain_of(outcome.reader, value) == read.plain == plain
        assert read.stale == (place in READS) == counted_stale(content, value)


@pytest.mark.parametrize("provider", STATIC)
def test_every_length_of_plaintext_opens(provider: Provider) -> None:
    server, key = oracle.oracle(), Key(provider, "key1", b"\1" * 32)
    for size in (*range(40), LARGE):
        plain = seal.secret("demo", size=size)
        value = server.encrypt(only(key), "secrets", AT, plain)
        assert agree(server, only(key), value).plain == plain_of(StaticReader(key), value) == plain


@pytest.mark.parametrize("plain", [*PLAINS, b"", b"hello", b"k8s", b"\xd9\xd9\xf7\xa0"], ids=range(7))
def test_plaintext_is_read_and_stale_as_the_server_says(server: Oracle, plain: bytes) -> None:
    key = keys(sibling(KEYS[0]))
    states = {
        "first": secrets(IDENTITY, key),
        "only": secrets(IDENTITY),
        "later": secrets(key, IDENTITY),
        "later entry": file((("secrets",), [key]), (("secrets.",), [IDENTITY])),
        "absent": secrets(key),
        "not covered": file((("configmaps",), [key])),
    }
    read = {state: agree(server, content, plain) for state, content in states.items()}
    assert {state for state, one in read.items() if one.plain is None} == {"absent"}
    assert {state for state, one in read.items() if one.stale} == {"later", "later entry"}
    if plain in PLAINS:
        stale = {state for state, content in states.items() if state != "absent" and counted_stale(content, plain)}
        assert stale == {"later", "later entry"}


@pytest.mark.parametrize("provider", STATIC)
def test_a_value_at_another_etcd_key_opens_where_the_server_opens_it(server: Oracle, provider: Provider) -> None:
    key, elsewhere = Key(provider, "key1", b"\1" * 32), b"/registry/secrets/default/other"
    value = server.encrypt(only(key), "secrets", AT, PLAIN)
    read = agree(server, only(key), value, elsewhere)
    assert (read.plain is None) == (provider is Provider.AESGCM)
    outcome = open_value([StaticReader(key)], elsewhere, value)
    assert isinstance(outcome, NotOpened)
    assert outcome.reason is (Reason.NOT_AUTHENTIC if provider is Provider.AESGCM else Reason.WRONG_PLACE)


@pytest.mark.parametrize("provider", STATIC)
def test_what_no_key_fits_stays_closed_to_both(server: Oracle, provider: Provider) -> None:
    key = Key(provider, "key1", b"\1" * 32)
    value = server.encrypt(only(key), "secrets", AT, PLAIN)
    other_bytes = Key(provider, "key1", b"\2" * 32)
    if provider is Provider.AESCBC:
        while agree(server, only(other_bytes), value).plain is not None:  # one in 256 opens by chance
            value = server.encrypt(only(key), "secrets", AT, PLAIN)
    refused = [only(sibling(key)), only(other_bytes), only(OTHER_GCM), secrets(IDENTITY), file((("pods",), [IDENTITY]))]
    assert [agree(server, content, value).plain for content in refused] == [None] * len(refused)


SEALS = [f"k8s:enc:{provider}:v{version}:{name}" for provider in STATIC for version in "12" for name in ("", ":", "a:")]


@pytest.mark.parametrize("head", ["k8s:enc:", "k8s:enc:x:v1:a:", "k8s:enc:identity:v1:a:", "k8s:enc:kms:v1:a:", *SEALS])
def test_what_is_marked_but_no_value_of_a_key_stays_closed_to_both(server: Oracle, head: str) -> None:
    content = secrets(*(keys(Key(provider, "a", b"\1" * 32)) for provider in STATIC), IDENTITY)
    assert agree(server, content, head.encode() + b"x" * 64).plain is None


@pytest.mark.parametrize("provider", STATIC)
def test_damage_and_truncation_are_seen_as_the_server_sees_them(provider: Provider) -> None:
    server, key = oracle.oracle(), Key(provider, "key1", b"\1" * 32)
    value = server.encrypt(only(key), "secrets", AT, PLAIN)
    damaged = [value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in range(len(value))]
    cut = [value[:end] for end in range(len(value))]
    read = [agree(server, secrets(keys(key), IDENTITY), one) for one in (*damaged, *cut, value + b"\0")]
    assert agree(server, only(key), value).plain == PLAIN
    assert sum(one.plain is None for one in read) > len(value)


def test_a_cbc_value_without_any_block_breaks_the_server_down_and_is_malformed_to_keyctl(server: Oracle) -> None:
    value = b"k8s:enc:aescbc:v1:key1:" + bytes(16)
    assert agree(server, only(KEYS[0]), value).panicked
    outcome = open_value([StaticReader(KEYS[0])], AT, value)
    assert isinstance(outcome, NotOpened)
    assert outcome.reason is Reason.MALFORMED


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 32, 48, 255])
def test_padding_of_any_size_is_taken_as_the_server_takes_it(size: int) -> None:
    key = Key(Provider.AESCBC, "key1", b"\1" * 32)
    filler = next(n for n in range(256) if (len(seal.secret("demo", size=n)) + size) % 16 == 0)
    padded = seal.secret("demo", size=filler) + bytes([size]) * size
    agree(oracle.oracle(), only(key), b"k8s:enc:aescbc:v1:key1:" + seal.cbc(key, padded))


NAMES = ["a", "a:b", "a:", ":", "a:b:", "a b", "ä", "a\nb", "key1", "k" * 1500]


@pytest.mark.parametrize("provider", STATIC)
def test_names_that_begin_alike_are_told_apart_as_by_the_server(provider: Provider) -> None:
    server = oracle.oracle()
    ring = [Key(provider, name, bytes([fill]) * 32) for fill, name in enumerate(NAMES, 1)]
    for order in (ring, ring[::-1]):
        content = secrets(keys(*order))
        for key in order:
            value = server.encrypt(only(key), "secrets", AT, PLAIN)
            assert value.startswith(f"k8s:enc:{provider}:v1:{key.name}:".encode())
            read = agree(server, content, value)
            assert (read.plain, read.stale) == (PLAIN, key is not order[0])


def test_a_key_whose_name_begins_like_another_takes_its_value_as_in_the_server(server: Oracle) -> None:
    # A block's worth of name: what is left of the head behind "a:" passes for an IV, and the same bytes open the rest.
    short, long = (Key(Provider.AESCBC, name, b"\1" * 32) for name in ("a", "a:" + "x" * 15))
    value = server.encrypt(only(long), "secrets", AT, PLAIN)
    read = agree(server, secrets(keys(short, long)), value)
    assert read.plain not in (None, PLAIN)
    assert not read.stale
    assert agree(server, secrets(keys(long, short)), value).plain == PLAIN


def test_the_first_key_that_opens_ends_the_search_as_in_the_server(server: Oracle) -> None:
    right, wrong = (Key(Provider.AESCBC, "key1", bytes([fill]) * 32) for fill in (1, 2))
    value = seal.opens_by_chance(right, wrong, PLAIN)
    read = agree(server, secrets(keys(wrong, right)), value)
    assert read.plain not in (None, PLAIN)
    assert agree(server, secrets(keys(right, wrong)), value).plain == PLAIN


@pytest.mark.parametrize("provider", [Provider.AESGCM, Provider.SECRETBOX])
def test_of_two_keys_with_one_name_the_one_that_opens_counts(server: Oracle, provider: Provider) -> None:
    first, second = (Key(provider, "key1", bytes([fill]) * 32) for fill in (1, 2))
    content = secrets(keys(first, second), keys(first))
    for key, stale in ((first, False), (second, True)):
        value = server.encrypt(only(key), "secrets", AT, PLAIN)
        assert agree(server, content, value).stale == stale == counted_stale(content, value)


RESOURCES = (
    *("secrets", "secrets.", "configmaps", "pods", "events", "endpoints", "deployments.apps", "jobs.batch"),
    *("ingresses.networking.k8s.io", "widgets.example.org", "widgets.a.b.example.org", "secrets.example.org"),
)


def one(name: str, provider: Provider = Provider.AESCBC) -> Element:
    return keys(Key(provider, name, b"\1" * 32))


COVERAGE: dict[str, bytes] = {
    "plain names": file((("secrets", "configmaps", "widgets.example.org"), [one("a")])),
    "identity first": file((("secrets", "pods"), [IDENTITY, one("a")])),
    "a name with a dot at its end": file((("secrets.", "deployments.apps"), [one("a")])),
    "group wildcards": file((("*.apps",), [one("a")]), (("*.example.org",), [one("b")]), (("*.",), [one("c")])),
    "names before wildcards": file(
        (("secrets", "widgets.example.org"), [one("a")]),
        (("*.example.org", "pods"), [one("b", Provider.SECRETBOX)]),
        (("*.",), [IDENTITY]),
        (("*.*",), [one("d", Provider.AESGCM)]),
    ),
    "repeated names": file(
        (("secrets", "pods"), [one("a")]),
        (("pods", "secrets."), [one("b"), IDENTITY]),
        (("jobs.batch",), [IDENTITY]),
        (("jobs.batch",), [one("c")]),
    ),
    "everything": file((("*.*",), [one("a")])),
    "everything but": file((("events", "*.example.org"), [IDENTITY]), (("*.*",), [one("a")])),
    "a KMS plugin": file((("secrets",), [kms("v2", "p"), one("a")]), (("pods",), [one("a"), kms("v2", "q")])),
}


def head_of(writer: Reader, plain: bytes) -> bytes:
    """How a value of `writer` begins; plaintext is itself."""
    return f"k8s:enc:{writer.ref.provider}:v1:{writer.ref.name}:".encode() if writer.ref.name else plain


@pytest.mark.parametrize("coverage", COVERAGE)
def test_the_writer_of_every_resource_is_the_servers(server: Oracle, coverage: str) -> None:
    loaded = server.load(COVERAGE[coverage], resources=RESOURCES, plain=JSON, etcd_key=AT)
    config = config_of(COVERAGE[coverage])
    assert loaded.accepted, loaded.error
    assert len(loaded.written) + len(loaded.unwritten) == len(RESOURCES)
    writers = {resource: effective.writer(config, resource) for resource in RESOURCES}
    assert {name for name, writer in writers.items() if isinstance(writer, KmsReader)} == set(loaded.unwritten)
    heads = {name: head_of(writers[name], JSON) for name in loaded.written}
    assert {name: stored[: len(heads[name])] for name, stored in loaded.written.items()} == heads
    plain = {name for name, stored in loaded.written.items() if stored == JSON}
    assert plain == {name for name, writer in writers.items() if isinstance(writer, IdentityReader)}


RING = [Key(provider, name, bytes([fill]) * 32) for provider in STATIC for fill, name in ((1, "a"), (2, "a:b"))]
ELEMENTS = st.just(IDENTITY) | st.builds(
    lambda provider, chosen: keys(*(key for key in RING if key.provider == provider and key.name in chosen)),
    st.sampled_from(STATIC),
    st.sampled_from([("a",), ("a:b",), ("a", "a:b")]),
)
ENTRIES = st.tuples(
    st.lists(st.sampled_from(["secrets", "secrets.", "pods", "*.", "*.*", "*.apps"]), min_size=1, max_size=2),
    st.lists(ELEMENTS, min_size=1, max_size=4),
).map(lambda entry: (tuple(entry[0]), entry[1]))


@settings(max_examples=150)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=3))
def test_in_any_configuration_any_value_is_read_as_by_the_server(entries: list[Entry]) -> None:
    server, content = oracle.oracle(), file(*entries)
    loaded = server.load(content, resources=("secrets",), etcd_key=AT, plain=PLAIN)
    if not loaded.accepted:
        return
    writer = effective.writer(config_of(content), "secrets")
    assert loaded.written["secrets"].startswith(head_of(writer, PLAIN))
    for value in (loaded.written["secrets"], PLAIN, *(seal.seal(key, AT, PLAIN) for key in RING)):
        agree(server, content, value)


def test_each_oracle_is_of_the_version_it_is_asked_for() -> None:
    extra = only(KEYS[0]).replace(b'"name"', b'"unknown": 1, "name"')
    assert {name: oracle.oracle(name).load(extra).accepted for name in oracle.MODULE_FILES} == {
        "1.37": False,
        "1.30": True,
        "1.28": True,
    }


@pytest.mark.parametrize(("gate", "accepting"), [(None, {"1.28"}), (True, {"1.37", "1.30", "1.28"}), (False, set())])
def test_the_gate_of_kms_v1_decides_as_in_each_version(gate: bool | None, accepting: set[str]) -> None:
    content = secrets(kms("v1", "plugin"))
    assert {name for name in oracle.MODULE_FILES if oracle.oracle(name, gate).load(content).accepted} == accepting


def test_an_oracle_that_is_too_slow_is_stopped_and_starts_anew() -> None:
    with Oracle(timeout=0.01) as hasty, pytest.raises(oracle.OracleError, match=r"no answer within 0\.01 s"):
        hasty.load(b"{" * 30_000_000)
    with Oracle() as patient:
        assert patient.load(only(KEYS[0])).accepted
        patient.close()
        assert not patient.load(b"").accepted
