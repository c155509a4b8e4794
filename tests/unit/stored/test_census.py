from __future__ import annotations

import json
import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.stored import census as census_module
from keyctl.stored.census import Census, CensusResult
from keyctl.stored.decrypt import Reason
from keyctl.stored.envelope import Encoding
from keyctl.stored.groups import Group, Role
from keyctl.stored.source import PLACE, Packed
from tests.support import seal
from tests.support.packed import packed

NEW, OLD = seal.key("new"), seal.key("old", fill=2)
CONFIG = seal.config(NEW, OLD)


def at(name: str, namespace: str = "default", resource: str = "secrets") -> bytes:
    return f"/registry/{resource}/{namespace}/{name}".encode()


def sealed(key: Key, name: str, namespace: str = "default") -> dict[bytes, bytes]:
    return {at(name, namespace): seal.seal(key, at(name, namespace), seal.secret(name, namespace))}


def secrets(key: Key, count: int, namespace: str = "default") -> dict[bytes, bytes]:
    return {k: v for number in range(count) for k, v in sealed(key, f"{key.name}-{number:04}", namespace).items()}


def count(
    values: Mapping[bytes, bytes],
    config: EncryptionConfig | None = CONFIG,
    *,
    decrypt: bool = True,
    names_limit: int = 3,
    want: Mapping[str, KeyRef] | None = None,
    work_limit: int = 0,
    kms_limit: int = 0,
    pack: bool = False,
    shuffle: int | None = None,
) -> CensusResult:
    census = Census(
        b"/registry",
        config,
        decrypt=decrypt,
        names_limit=names_limit,
        want=want,
        work_limit=work_limit,
        kms_limit=kms_limit,
    )
    batch = [(key, values[key], number) for number, key in enumerate(sorted(values))]
    if shuffle is not None:
        random.Random(shuffle).shuffle(batch)  # noqa: S311
    for start in range(0, len(batch), 7):
        part = batch[start : start + 7]
        census.add(packed(part) if pack else part)
    return census.result()


def group(result: CensusResult, key: str) -> Group:
    (found,) = (one for one in result.groups if one.key == key)
    return found


def test_values_are_counted_by_key_and_role_and_each_is_opened() -> None:
    result = count(secrets(NEW, 40) | secrets(OLD, 25, "other"))
    assert result.values == 65
    assert result.problems == ()
    new, old = group(result, "new"), group(result, "old")
    assert (new.values, new.decrypted, new.failed, new.role) == (40, 40, 0, Role.WRITE)
    assert (old.values, old.decrypted, old.failed, old.role) == (25, 25, 0, Role.READ)
    assert new.first == ("/registry/secrets/default/new-0000", *new.first[1:])
    assert len(new.first) == 3


@pytest.mark.parametrize("decrypt", [True, False])
@pytest.mark.parametrize("provider", [Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX])
def test_bad_values_among_many_good_ones_are_all_found(provider: Provider, decrypt: bool) -> None:
    key, other = seal.key("new", provider), seal.key("new", provider, fill=9)
    values = secrets(key, 60)
    values |= sealed(other, "new-0030")
    values |= {at("new-0031"): seal.seal(key, at("new-0031"), b"no object")}
    values |= {at("new-0032"): seal.seal(key, at("new-0032"), seal.secret("another"))}
    values |= {at("new-0033"): values[at("new-0033")][:40]}
    result = count(values, seal.config(key), decrypt=decrypt)
    one = group(result, "new")
    assert one.values == 60
    if decrypt:
        assert (one.decrypted, one.failed, one.not_decrypted) == (56, 4, 0)
        assert {problem.etcd_key for problem in result.problems} == {at(f"new-003{n}").decode() for n in range(4)}
        assert result.unreadable == 4
    else:
        assert (one.decrypted, one.failed, one.not_decrypted) == (0, 0, 60)


def test_problems_are_counted_exactly_and_named_up_to_the_limit() -> None:
    result = count(secrets(NEW, 5) | secrets(seal.key("gone"), 30))
    assert result.problem_counts == {("secrets", Reason.UNKNOWN_KEY): 30}
    assert result.unreadable == 30
    assert [problem.reason for problem in result.problems] == [Reason.UNKNOWN_KEY] * 3
    assert (group(result, "gone").role, group(result, "gone").failed) == (Role.UNKNOWN, 30)


@pytest.mark.parametrize("decrypt", [True, False])
def test_an_encrypted_value_of_a_resource_in_no_configuration_is_a_problem(decrypt: bool) -> None:
    key = at("c", resource="configmaps")
    result = count({key: seal.seal(NEW, key, seal.config_map("c"))}, decrypt=decrypt)
    (problem,) = result.problems
    assert (problem.etcd_key, problem.resource, problem.reason) == (key.decode(), "configmaps", Reason.NOT_COVERED)


def test_an_encrypted_infrastructure_value_is_a_problem_even_under_a_wildcard() -> None:
    key = b"/registry/masterleases/10.0.0.1"
    endpoints = seal.stored("v1", "Endpoints", "")
    everything = seal.config(NEW, resources=("*.*",))
    sealed_there = count({key: seal.seal(NEW, key, endpoints)}, everything)
    assert sealed_there.problem_counts == {("masterleases", Reason.NOT_COVERED): 1}
    result = count({key: endpoints, b"/registry/ranges/x": b"junk"}, everything)
    assert result.problems == ()
    assert all(one.infrastructure for one in result.groups)


def test_plaintext_is_grouped_by_encoding() -> None:
    custom = "/registry/e.io/widgets/default/{}"
    document = {"apiVersion": "e.io/v1", "kind": "W", "metadata": {"name": "w", "namespace": "default"}}
    result = count(
        {at("p"): seal.secret("p"), custom.format("w").encode(): json.dumps(document).encode()}
        | {custom.format("x").encode(): b"{broken"}
    )
    assert [(g.resource, g.encoding, g.values, g.failed, g.role) for g in result.groups] == [
        ("secrets", Encoding.PROTOBUF, 1, 0, Role.READ),
        ("widgets.e.io", Encoding.JSON, 2, 1, Role.WRITE),
    ]
    assert result.problem_counts == {("widgets.e.io", Reason.UNRECOGNISED): 1}


@pytest.mark.parametrize("decrypt", [True, False])
def test_plaintext_that_no_identity_reads_is_a_problem_and_still_plaintext(decrypt: bool) -> None:
    values = {at(f"p{n}"): seal.secret(f"p{n}") for n in range(9)}
    result = count(values, seal.config(NEW, identity=False), decrypt=decrypt)
    assert result.problem_counts == {("secrets", Reason.NO_IDENTITY): 9}
    (one,) = result.groups
    assert (one.encoding, one.values, one.failed) == (Encoding.PROTOBUF, 9, 0)


@pytest.mark.parametrize("decrypt", [True, False])
def test_what_is_neither_encrypted_nor_an_object_is_named(decrypt: bool) -> None:
    result = count({at("junk"): b"junk", at("odd"): b"k8s:enc:rot13:v1:k:x"}, decrypt=decrypt)
    assert {problem.reason for problem in result.problems} == {Reason.UNRECOGNISED, Reason.UNKNOWN_SEAL}
    (one,) = result.groups
    assert (one.provider, one.values, one.ref) == (None, 2, None)


def test_plaintext_damaged_among_many_is_found() -> None:
    values = {at(f"p{n:02}"): seal.secret(f"p{n:02}") for n in range(30)} | {at("p15"): b"k8s\0damaged"}
    result = count(values)
    assert [problem.etcd_key for problem in result.problems] == [at("p15").decode()]


def test_without_a_configuration_roles_are_unknown_and_nothing_is_opened() -> None:
    result = count(secrets(NEW, 10) | sealed(seal.key("gone"), "x"), None)
    assert result.problems == ()
    assert {(one.key, one.role, one.decrypted, one.not_decrypted) for one in result.groups} == {
        ("new", Role.UNKNOWN, 0, 10),
        ("gone", Role.UNKNOWN, 0, 1),
    }


def test_of_two_keys_of_one_name_the_second_is_only_a_read_key() -> None:
    first, second = seal.key("k", Provider.AESGCM), seal.key("k", Provider.AESGCM, fill=2)
    values = {**secrets(first, 20, "a"), **secrets(second, 10, "b")}
    result = count(values, seal.config(first, second))
    assert {(one.role, one.values, one.decrypted) for one in result.groups} == {
        (Role.WRITE, 20, 20),
        (Role.READ, 10, 10),
    }


@pytest.mark.parametrize("decrypt", [True, False])
def test_values_that_look_alike_are_kept_apart_by_their_directories(decrypt: bool) -> None:
    stray = {f"/registry/a{n}".encode(): seal.secret("stray") for n in range(4)}
    maps = {at(f"m{n}", resource="configmaps"): seal.config_map(f"m{n}") for n in range(5)}
    values = stray | maps | {at(f"s{n}"): seal.secret(f"s{n}") for n in range(6)}
    result = count(values, decrypt=decrypt, names_limit=1)
    counts = {one.resource: one.values for one in result.groups}
    assert counts == {"/": 4, "configmaps": 5, "secrets": 6}


def test_names_with_colons_are_kept_apart() -> None:
    short, long = seal.key("a"), seal.key("a:b", fill=2)
    result = count(secrets(short, 20, "x") | secrets(long, 10, "y"), seal.config(short, long))
    assert {(one.key, one.values, one.decrypted) for one in result.groups} == {("a", 20, 20), ("a:b", 10, 10)}


def test_kms_values_are_grouped_by_key_id_and_not_called_opened() -> None:
    values = {
        at(f"s{n}"): seal.seal_kms_v2("vault", at(f"s{n}"), seal.secret(f"s{n}"), key_id=f"kid-{n % 2}")
        for n in range(10)
    }
    values[at("s0")] = values[at("s0")][:30]
    result = count(values, seal.config(KmsReader("vault", "v2")))
    assert {(one.key, one.key_id, one.values, one.not_decrypted, one.failed, one.role) for one in result.groups} == {
        ("vault", "kid-0", 4, 4, 0, Role.WRITE),
        ("vault", "kid-1", 5, 5, 0, Role.WRITE),
        ("vault", None, 1, 0, 1, Role.WRITE),
    }
    assert result.problem_counts == {("secrets", Reason.MALFORMED): 1}


def vault(name: str, resource: str = "configmaps") -> dict[bytes, bytes]:
    key = at(name, resource=resource)
    return {key: seal.seal_kms_v2("vault", key, seal.config_map(name))}


BOTH = EncryptionConfig(
    (*CONFIG.entries, *seal.config(KmsReader("vault", "v2"), NEW, resources=("configmaps",)).entries)
)


@pytest.mark.parametrize("names_limit", [0, 3])
def test_the_values_of_a_kms_plugin_are_named_among_those_of_other_providers(names_limit: int) -> None:
    values = secrets(NEW, 30) | {k: v for number in range(9) for k, v in vault(f"m{number}").items()}
    static = at("m4", resource="configmaps")
    values[static] = seal.seal(NEW, static, seal.config_map("m4"))
    result = count(values, BOTH, kms_limit=100, names_limit=names_limit)
    names = [f"m{number}" for number in range(9) if number != 4]
    assert [item.name for item in result.kms] == names
    item = result.kms[0]
    assert (item.etcd_key, item.resource, item.namespace) == (at("m0", resource="configmaps"), "configmaps", "default")
    assert (item.uid, item.mod_revision) == ("", sorted(values).index(item.etcd_key))
    assert (result.work, result.unreadable) == ((), 0)


def test_the_values_of_a_kms_plugin_are_named_up_to_the_limit_and_all_counted() -> None:
    values = {k: v for number in range(9) for k, v in vault(f"m{number}").items()}
    result = count(values, BOTH, kms_limit=4)
    assert [item.name for item in result.kms] == ["m0", "m1", "m2", "m3"]
    assert group(result, "vault").values == 9
    assert count(values, BOTH).kms == ()


def test_what_no_plugin_can_open_is_a_problem_and_not_a_value_of_a_plugin() -> None:
    damaged = {key: value[:30] for key, value in vault("damaged").items()}
    result = count(damaged | vault("uncovered", "secrets") | vault("good"), BOTH, kms_limit=10)
    assert [item.name for item in result.kms] == ["good"]
    assert result.problem_counts == {("configmaps", Reason.MALFORMED): 1, ("secrets", Reason.UNKNOWN_KEY): 1}


def test_a_value_of_a_kms_plugin_may_be_work_too() -> None:
    result = count(vault("m"), BOTH, want={"configmaps": NEW.ref}, work_limit=5, kms_limit=5)
    assert result.work == result.kms != ()


@pytest.mark.parametrize("decrypt", [True, False])
def test_the_work_list_holds_what_is_not_under_the_wanted_key(decrypt: bool) -> None:
    values = secrets(NEW, 10) | secrets(OLD, 5) | {at("p"): seal.secret("p", uid="uid-p")}
    result = count(values, want={"secrets": NEW.ref}, work_limit=4, decrypt=decrypt)
    assert result.work_total == 6
    assert [item.name for item in result.work] == ["old-0000", "old-0001", "old-0002", "old-0003"]
    item = result.work[0]
    assert (item.etcd_key, item.resource, item.namespace) == (at("old-0000"), "secrets", "default")
    assert item.uid == "0f4c3a52-7f37-4c6e-9c57-1d3b2f6a9e01"
    assert item.mod_revision == sorted(values).index(at("old-0000"))
    everything = count(values, want={"secrets": NEW.ref}, work_limit=100, decrypt=decrypt)
    assert [(one.name, one.uid) for one in everything.work][-1] == ("p", "uid-p")
    assert len(everything.work) == 6


def test_the_work_list_leaves_out_what_cannot_be_rewritten_but_counts_it() -> None:
    values = secrets(OLD, 2) | sealed(seal.key("gone"), "lost")
    values |= {at("kms"): seal.seal_kms_v2("vault", at("kms"), seal.secret("kms"))}
    result = count(values, seal.config(NEW, OLD, KmsReader("vault", "v2")), want={"secrets": NEW.ref}, work_limit=10)
    assert result.work_total == 4
    assert [(item.name, item.uid != "") for item in result.work] == [
        ("kms", False),
        ("old-0000", True),
        ("old-0001", True),
    ]


def test_only_wanted_resources_are_work() -> None:
    key = at("c", resource="configmaps")
    result = count({key: seal.config_map("c")}, want={"secrets": NEW.ref}, work_limit=5)
    assert (result.work, result.work_total) == ((), 0)


def test_a_resource_that_only_the_configuration_knows_gets_its_group() -> None:
    key = at("n", resource="novelties")
    plain = seal.stored("e/v1", "Novelty", "n", "default")
    result = count({key: seal.seal(NEW, key, plain)}, seal.config(NEW, resources=("novelties.new.k8s.io",)))
    (one,) = result.groups
    assert (one.resource, one.decrypted) == ("novelties.new.k8s.io", 1)


def test_keys_outside_the_prefix_are_passed_over() -> None:
    result = count({b"/registry-2/secrets/a/b": b"junk", b"stray": b"junk"} | secrets(NEW, 1))
    assert (result.values, result.problems) == (1, ())


def test_hostile_keys_are_escaped() -> None:
    result = count({b"/registry/secrets/default/\x1b[31m": b"junk"})
    assert result.problems[0].etcd_key == "/registry/secrets/default/\\x1b[31m"


VALUES = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["secrets", "configmaps"]), st.integers(0, 40)),
    st.sampled_from(["new", "old", "gone", "swapped", "plain", "junk", "moved", "kms", "odd"]),
    max_size=60,
)


def _value(key: bytes, kind: str, namespace: str, name: str) -> bytes:
    plain = seal.secret(name, namespace)
    match kind:
        case "new" | "old" | "gone":
            return seal.seal({"new": NEW, "old": OLD, "gone": seal.key("gone")}[kind], key, plain)
        case "swapped":
            return seal.seal(seal.key("new", fill=9), key, plain)
        case "plain":
            return plain
        case "moved":
            return seal.seal(NEW, key, seal.secret("elsewhere", namespace))
        case "kms":
            return seal.seal_kms_v2("vault", key, plain)
        case "odd":
            return b"k8s:enc:odd:x:y"
        case _:
            return b"junk"


@settings(max_examples=60, deadline=None)
@given(VALUES, st.booleans(), st.none() | st.integers(0, 9), st.sampled_from([CONFIG, None]))
def test_the_short_way_counts_as_the_long_way_does(
    kinds: dict[tuple[str, str, int], str], pack: bool, shuffle: int | None, config: EncryptionConfig | None
) -> None:
    values = {}
    for (namespace, resource, number), kind in kinds.items():
        key = at(f"n{number}", namespace, resource)
        values[key] = _value(key, kind, namespace, f"n{number}")
    quick = count(values, config, names_limit=1, pack=pack, shuffle=shuffle)
    thorough = count(values, config, names_limit=10_000)
    assert quick.problem_counts == thorough.problem_counts
    shape = [(g.resource, g.ref, g.role, g.encoding, g.values, g.decrypted, g.failed) for g in thorough.groups]
    assert shape == [(g.resource, g.ref, g.role, g.encoding, g.values, g.decrypted, g.failed) for g in quick.groups]
    assert quick.values == len(values)


def test_a_packed_value_that_is_cut_within_its_head_is_not_taken_with_the_bytes_behind_it() -> None:
    head = b"k8s:enc:aescbc:v1:new:"
    values = {at(f"s{number}"): head + b"x" * 32 for number in range(5)}
    census = Census(b"/registry", None, names_limit=1)
    census.add(packed([(key, value, 1) for key, value in values.items()]))
    cut = len(head) - 4
    batch = packed([(at("cut"), head, 1)])
    ((content, places),) = batch.stretches
    *before, end = PLACE.unpack(places)
    census.add(Packed(((content, PLACE.pack(*before, end - len(head) + cut)),)))
    assert {(one.key, one.values) for one in census.result().groups} == {("new", 5), ("", 1)}


def test_packed_values_are_opened_as_others_are() -> None:
    (one,) = count(secrets(NEW, 30), pack=True).groups
    assert (one.values, one.decrypted) == (30, 30)


@pytest.mark.parametrize("pack", [True, False])
def test_a_key_below_a_directory_is_not_counted_as_one_in_it(pack: bool) -> None:
    values = secrets(NEW, 9) | {at("deeper", "default/more"): b"k8s:enc:aescbc:v1:new:junk"}
    groups = count(values, None, names_limit=1, pack=pack).groups
    assert sorted(one.values for one in groups) == [1, 9]


def test_more_directories_than_are_kept_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {key: value for name in "abcdefgh" for key, value in secrets(NEW, 4, f"team-{name}").items()}
    monkeypatch.setattr(census_module, "_MOST_DIRECTORIES", 3)
    census = Census(b"/registry", CONFIG, names_limit=1)
    for key, value in values.items():
        census.add([(key, value, 1)])
        assert len(census._lanes) <= 3
    assert [(one.values, one.decrypted) for one in census.result().groups] == [(32, 32)]
