from __future__ import annotations

import pytest

from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored.leftovers import UNNAMED, LeftGroup, LeftoverCensus, may_be
from keyctl.stored.source import OTHER_THAN_SECRETS, SECRETS, Area, Fragment
from tests.support import seal

_NEW, _OLD = seal.key("new", fill=1), seal.key("old", fill=2)
_CONFIG = seal.config(_NEW)
_AT = b"/registry/secrets/default/demo"
_PLAIN = seal.secret("demo")


def _counted(
    *fragments: Fragment,
    history: tuple[tuple[bytes, bytes, int], ...] = (),
    config: EncryptionConfig | None = _CONFIG,
    deactivated: frozenset[KeyRef] = frozenset(),
) -> tuple[LeftGroup, ...]:
    census = LeftoverCensus(b"/registry/", config, deactivated=deactivated)
    census.add_history(history)
    census.add_fragments(fragments)
    return census.result()


def _raw(value: bytes, area: Area = Area.FREE_PAGES) -> Fragment:
    return Fragment(area, "page 7", None, None, value, whole=False)


def _whole(value: bytes, key: bytes = _AT) -> Fragment:
    return Fragment(Area.WAL, "a.wal offset 8", key, 5, value, whole=True)


def test_history_is_counted_by_resource_and_key() -> None:
    plain = seal.secret("demo")
    found = _counted(
        history=(
            (_AT, plain, 2),
            (_AT, seal.seal(_OLD, _AT, plain), 3),
            (_AT, seal.seal(_NEW, _AT, plain), 4),
            (b"/registry/configmaps/default/a", seal.config_map("a"), 5),
        )
    )
    assert [(one.area, one.resource, one.ref, one.retired, one.values) for one in found] == [
        (Area.HISTORY, "configmaps", None, False, 1),
        (Area.HISTORY, "secrets", None, False, 1),
        (Area.HISTORY, "secrets", _NEW.ref, False, 1),
        (Area.HISTORY, "secrets", _OLD.ref, True, 1),
    ]
    assert found[1].first == ("/registry/secrets/default/demo (revision 2)",)


def test_a_whole_fragment_belongs_to_the_resource_of_its_key() -> None:
    (found,) = _counted(_whole(seal.secret("demo")))
    assert (found.area, found.resource, found.ref) == (Area.WAL, "secrets", None)
    assert found.first == ("/registry/secrets/default/demo (a.wal offset 8)",)


@pytest.mark.parametrize(
    ("value", "resource"),
    [
        (seal.secret("demo"), "secrets"),
        (seal.secret("demo")[:40], "secrets"),
        (seal.secret("demo")[:8], UNNAMED),
        (seal.config_map("demo"), "configmaps"),
        (seal.stored("apps/v1", "Deployment", "demo"), "deployments.apps"),
        (seal.stored("networking.k8s.io/v1", "NetworkPolicy", "demo"), "networkpolicies.networking.k8s.io"),
        (seal.stored("networking.k8s.io/v1", "Ingress", "demo"), "ingresses.networking.k8s.io"),
        (seal.stored("v1", "Endpoints", "demo"), "endpoints"),
        (b'{"kind":"Secret","apiVersion":"v1","metadata":{', "secrets"),
        (b'{"apiVersion": "example.com/v1", "kind": "Thing", "spec', "*.example.com"),
        (b'{"apiVersion":"v1","data":{"a":"' + b"x" * 9000 + b'"},"kind":"Secret"}', "secrets"),
        (b'{"apiVersion":"v1","data":{"a":"cut', UNNAMED),
        (b"\xd9\xd9\xf7\xa2\x44kind\x45Thing\x4aapiVersion\x4eexample.com/v1", "*.example.com"),
        (b"\xd9\xd9\xf7\xa2\x44kind\x45Thing\x4aapiVersion\x4eexample", UNNAMED),
        (seal.stored("apps/v1", "Novelty", "demo"), "*.apps"),
        (seal.stored("v1", "Novelty", "demo"), UNNAMED),
    ],
)
def test_a_cut_object_belongs_to_the_resource_that_it_says(value: bytes, resource: str) -> None:
    (found,) = _counted(_raw(value))
    assert (found.resource, found.ref, found.values) == (resource, None, 1)


def test_a_brace_that_says_nothing_is_no_object() -> None:
    assert _counted(_raw(b'{"some": "thing else"}'), _raw(b"\0\1\2"), _raw(b'{"apiVersion":"v1","a":{}}.')) == ()


def test_an_encrypted_fragment_without_a_name_is_retired_when_no_entry_reads_its_key() -> None:
    values = (seal.seal(key, _AT, seal.secret("demo"))[:60] for key in (_NEW, _OLD))
    assert [(one.ref, one.retired) for one in _counted(*map(_raw, values))] == [(_NEW.ref, False), (_OLD.ref, True)]


def test_a_key_that_another_resource_reads_is_retired_for_this_one() -> None:
    elsewhere = (b"/registry/configmaps/default/a", seal.seal(_NEW, b"/registry/configmaps/default/a", b"x"), 3)
    (found,) = _counted(history=(elsewhere,))
    assert (found.resource, found.retired) == ("configmaps", True)


def test_a_deactivated_key_is_retired_although_a_file_has_it() -> None:
    value = seal.seal(_NEW, _AT, seal.secret("demo"))
    (found,) = _counted(history=((_AT, value, 2),), deactivated=frozenset({_NEW.ref}))
    assert found.retired


@pytest.mark.parametrize("provider", [Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX])
def test_what_a_configured_key_does_not_open_is_under_other_bytes_of_its_name(provider: Provider) -> None:
    key, reused = seal.key("new", provider, 1), seal.key("new", provider, 7)
    config = seal.config(key)
    for number in range(300):
        at = _AT + b"%d" % number
        found = _counted(
            _whole(seal.seal(key, at, _PLAIN), at),
            _whole(seal.seal(reused, at, _PLAIN), at),
            _raw(seal.seal(reused, at, _PLAIN)),
            config=config,
        )
        assert [(one.area, one.retired, one.other_bytes, one.values) for one in found] == [
            (Area.FREE_PAGES, False, False, 1),
            (Area.WAL, False, False, 1),
            (Area.WAL, True, True, 1),
        ]


@pytest.mark.parametrize(
    ("plain", "other_bytes"),
    [
        pytest.param(b"{\x93\x07 by chance", True, id="a brace by chance"),
        pytest.param(b'{"kind":"Widget","spec":{}}', False, id="JSON"),
        pytest.param(b'{"a":' + b"[" * 100_000, False, id="too deep to look through"),
        pytest.param(b"by chance", True, id="no object"),
    ],
)
def test_what_comes_out_must_be_an_object(plain: bytes, other_bytes: bool) -> None:
    key = seal.key("new", Provider.AESCBC, 1)
    (found,) = _counted(_whole(seal.seal(key, _AT, plain)), config=seal.config(key))
    assert found.other_bytes is other_bytes


def test_a_key_that_stands_twice_under_one_name_opens_with_either_bytes() -> None:
    twice = seal.config(_NEW, seal.key("new", fill=7))
    values = [(_AT, seal.seal(seal.key("new", fill=fill), _AT, _PLAIN), fill) for fill in (1, 7, 9)]
    found = _counted(history=tuple(values), config=twice)
    assert [(one.other_bytes, one.values) for one in found] == [(False, 2), (True, 1)]


def test_what_only_a_plugin_can_open_is_believed() -> None:
    plugin = KmsReader("vault", "v2")
    value = seal.seal_kms_v2("vault", _AT, _PLAIN)
    (found,) = _counted(history=((_AT, value, 2),), config=seal.config(plugin))
    assert (found.retired, found.other_bytes) == (False, False)


def test_without_a_configuration_no_key_is_called_retired() -> None:
    (found,) = _counted(history=((_AT, seal.seal(_OLD, _AT, b"x"), 2),), config=None)
    assert (found.ref, found.retired) == (KeyRef(Provider.AESCBC, "old"), False)


def test_what_is_not_under_the_prefix_is_only_counted() -> None:
    census = LeftoverCensus(b"/registry/", _CONFIG)
    census.add_history([(b"/other/x", b"k8s\0", 1), (b"compact_rev_key", b"7", 2), (_AT, _PLAIN, 3)])
    census.add_fragments([_whole(_PLAIN, b"/other/secrets/default/demo"), _whole(_PLAIN), _raw(_PLAIN)])
    assert census.elsewhere() == (3, ("/other", "compact_rev_key"))
    assert sum(group.values for group in census.result()) == 3


def test_a_tail_belongs_to_what_it_says() -> None:
    tails = [Fragment(Area.FREE_PAGES, "page 7", None, None, b"xxxx", whole=False, tail_of=SECRETS)]
    tails.append(Fragment(Area.FREE_PAGES, "page 9", None, None, b"xxxx", whole=False, tail_of=OTHER_THAN_SECRETS))
    found = _counted(*tails)
    assert [(one.resource, one.ref, one.values, one.first) for one in found] == [
        ("*.*", None, 1, ("page 9",)),
        ("secrets", None, 1, ("page 7",)),
    ]


@pytest.mark.parametrize(
    ("said", "resource", "possible"),
    [
        ("secrets", "secrets", True),
        ("pods", "secrets", False),
        (UNNAMED, "secrets", True),
        ("*.example.com", "apikeys.example.com", True),
        ("*.example.com", "people.example.com", True),
        ("*.example.com", "apikeys.example.org", False),
        ("*.example.com", "secrets", False),
        ("*.*", "secrets", False),
    ],
)
def test_a_kind_that_is_not_built_in_may_be_any_resource_of_its_group(said: str, resource: str, possible: bool) -> None:
    assert may_be(said, resource) is possible


def test_at_most_so_many_are_named() -> None:
    census = LeftoverCensus(b"/registry/", _CONFIG, names_limit=2)
    census.add_history([(_AT + b"%d" % number, seal.secret("demo"), number) for number in range(5)])
    (found,) = census.result()
    assert (found.values, len(found.first)) == (5, 2)


def test_no_group_repeats_a_value() -> None:
    assert "xxxx" not in repr(_counted(_raw(seal.secret("demo")), _whole(seal.secret("demo"))))
    assert "xxxx" not in repr(_raw(seal.secret("demo")))


def test_a_whole_record_that_is_neither_an_object_nor_encrypted_is_as_open_as_one() -> None:
    found = _counted(
        _whole(b"apiVersion: v1\nkind: Secret\n"), _whole(b"k8s:enc:rot13:v1:x:y"), history=((_AT, b"a=b", 2),)
    )
    assert [(one.area, one.resource, one.ref, one.values) for one in found] == [
        (Area.HISTORY, "secrets", None, 1),
        (Area.WAL, "secrets", None, 2),
    ]


def test_a_piece_that_says_nothing_and_an_empty_record_are_not_counted() -> None:
    assert _counted(_raw(b"a=b"), _raw(b"k8s:enc:"), _whole(b"")) == ()


def test_a_resource_that_a_wildcard_encrypts_is_called_encrypted() -> None:
    at = b"/registry/configmaps/default/a"
    history = ((at, seal.config_map("a"), 2),)
    for resources, encrypted in ((("*.*",), True), (("secrets",), False)):
        (found,) = _counted(history=history, config=seal.config(_NEW, resources=resources))
        assert found.encrypted is encrypted
    assert not _counted(history=history, config=None)[0].encrypted


def test_a_deactivated_key_is_retired_without_a_configuration_too() -> None:
    value = seal.seal(_OLD, _AT, b"x")
    (found,) = _counted(history=((_AT, value, 2),), config=None, deactivated=frozenset({_OLD.ref}))
    assert found.retired
