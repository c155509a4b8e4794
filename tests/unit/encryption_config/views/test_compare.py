"""Whether one configuration may take another's place: each rule by itself, and all of them against brute force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.encryption_config.server import Server
from keyctl.encryption_config.views import step_rules as rules
from keyctl.encryption_config.views.compare import compare, plugin_settings
from keyctl.encryption_config.views.resource_view import probes, view
from keyctl.findings import Location, Rule, Severity, Status
from keyctl.keys.key import Provider
from tests.support.hints import wrong_commands
from tests.unit.encryption_config.configs import b64, config_of, entry, file, key, static

_ID = "{identity: {}}"
_NEW_YAML = Location(file="new.yaml")


def kms(name: str = "plugin", version: str = "v2", socket: str = "a", more: str = "") -> str:
    """A KMS provider element in flow style."""
    return f"{{kms: {{apiVersion: {version}, name: {name}, endpoint: 'unix:///{socket}.sock'{more}}}}}"


def secrets(*providers: str) -> EncryptionConfig:
    return config_of(entry("secrets", *providers))


def ids(old: EncryptionConfig | None, new: EncryptionConfig | None) -> list[str]:
    return [finding.id for finding in compare(old, new).findings(_NEW_YAML)]


def messages(old: EncryptionConfig | None, new: EncryptionConfig | None) -> list[str]:
    return [finding.message for finding in compare(old, new).findings(_NEW_YAML)]


A, B, A2 = static("a", 1), static("b", 2), static("a", 9)
FP_A, FP_A2 = key("a", 1).fingerprint, key("a", 9).fingerprint


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param([A, _ID], [A, _ID], [], id="the same"),
        pytest.param([A, _ID], [A, B, _ID], [], id="a new reader that does not write"),
        pytest.param([A, B, _ID], [A, _ID, B], [], id="another order behind the first"),
        pytest.param([A, B, A, _ID], [A, B, _ID], [], id="a second place of the same key goes"),
        pytest.param([A, B, _ID], [B, A, _ID], [rules.PROMOTION], id="a reader is promoted"),
        pytest.param([_ID, A], [A, _ID], [rules.PROMOTION], id="encryption is switched on"),
        pytest.param([A, _ID], [_ID, A], [rules.TO_PLAINTEXT, rules.PROMOTION], id="encryption is switched off"),
        pytest.param([A, _ID], [B, A, _ID], [rules.UNREAD_WRITER], id="a new key writes at once"),
        pytest.param([A, _ID], [B, _ID], [rules.UNREAD_WRITER, rules.WRITER_LEAVES], id="one key for another"),
        pytest.param([A, B, _ID], [B, _ID], [rules.WRITER_LEAVES, rules.PROMOTION], id="the old key goes too early"),
        pytest.param([A, B, _ID], [A, _ID], [rules.READER_LEAVES], id="a reader leaves"),
        pytest.param([A, _ID], [A], [rules.PLAINTEXT_LEAVES], id="plaintext leaves"),
        pytest.param([_ID, A], [A], [rules.WRITER_LEAVES, rules.PROMOTION], id="plaintext leaves while it writes"),
        pytest.param([A, _ID], [A2, _ID], [rules.OTHER_BYTES], id="other bytes under the name that writes"),
        pytest.param([A, _ID], [A, A2, _ID], [rules.OTHER_BYTES], id="other bytes beside"),
        pytest.param([A, kms()], [A], [rules.PLUGIN_LEAVES], id="a plugin leaves"),
        pytest.param([kms()], [A, kms()], [rules.UNREAD_WRITER], id="a key before a plugin"),
        pytest.param([kms("p", "v1")], [kms("p", "v2")], [rules.UNREAD_WRITER, rules.PLUGIN_LEAVES], id="v1 to v2"),
        pytest.param([A, A2], [A2, A], [rules.MISTAKEN, rules.MISTAKEN, rules.PROMOTION], id="aescbc twins change"),
        pytest.param(
            [static("a", 1, "aesgcm"), static("a", 9, "aesgcm")],
            [static("a", 9, "aesgcm"), static("a", 1, "aesgcm")],
            [rules.PROMOTION],
            id="aesgcm twins change: a wrong key never passes",
        ),
    ],
)
def test_each_step_is_told_by_its_rule(old: list[str], new: list[str], expected: list[Rule]) -> None:
    before, after = secrets(*old), secrets(*new)
    assert ids(before, after) == [rule.id for rule in expected]
    assert compare(before, after).safe is not bool(set(expected) & set(rules.UNSAFE))


def test_a_condition_is_for_a_person_and_a_danger_is_a_failure() -> None:
    (promotion,) = compare(secrets(A, B), secrets(B, A)).findings(_NEW_YAML)
    assert promotion.status is Status.MANUAL
    assert promotion.severity is Severity.INFO
    assert (
        promotion.message
        == "aescbc/b becomes what writes secrets: every server must have loaded OLD before the first one gets NEW [R2]"
    )
    (unread,) = compare(secrets(A), secrets(B, A)).findings(_NEW_YAML)
    assert unread.status is Status.FAIL
    assert unread.message == "aescbc/b would write secrets, and a server that still has OLD does not read it [R2]"
    assert unread.location == _NEW_YAML
    assert unread.mappings == ("R2",)


def test_a_name_with_other_bytes_is_told_once_with_both_fingerprints_and_no_bytes() -> None:
    (found,) = messages(secrets(A, _ID), secrets(A2, _ID))
    assert found == f"aescbc/a (fingerprint {FP_A2}) is new for secrets and is elsewhere fingerprint {FP_A} [R5]"
    shown = repr(compare(secrets(A, _ID), secrets(A2, _ID)))
    assert not any(b64(fill) in shown or repr(bytes([fill]) * 4)[2:-1] in shown for fill in (1, 9))


def test_a_name_that_has_other_bytes_for_another_resource_is_refused() -> None:
    old = config_of(entry("secrets", A), entry("pods", _ID))
    assert ids(old, config_of(entry("secrets", A), entry("pods", _ID, A2))) == ["KC-CFG-307"]
    assert ids(old, config_of(entry("secrets", A), entry("pods", _ID, A))) == []


def test_a_shorter_name_before_a_longer_one_is_refused_where_it_can_take_its_values() -> None:
    long = static("'a:45678901234567x'", 2)
    assert ids(secrets(B, long), secrets(B, A, long)) == ["KC-CFG-308"]
    (found,) = messages(secrets(B, long), secrets(B, A, long))
    assert found.endswith(
        f"of secrets may open as garbage under aescbc/a (fingerprint {FP_A}), which NEW tries first [R5]"
    )
    assert ids(secrets(B, static("'a:b'", 2)), secrets(B, A, static("'a:b'", 2))) == []


def test_a_resource_that_is_covered_no_more_falls_to_plaintext() -> None:
    old = config_of(entry("secrets, pods", A, _ID))
    assert messages(old, secrets(A, _ID)) == [
        "nothing covers pods any more: new values would be plaintext, and those under aescbc/a unreadable [R3]",
        "new values would be plaintext: pods",
        "plaintext becomes what writes pods: every server must have loaded OLD before the first one gets NEW [R2]",
    ]
    assert compare(old, None).safe is False
    assert ids(config_of(entry("secrets", A), entry("pods", _ID)), secrets(A)) == []


def test_a_resource_that_moves_to_a_wildcard_is_judged_by_what_it_loses() -> None:
    old = config_of(entry("secrets", A, _ID), entry("'*.'", B, _ID))
    moved = config_of(entry("pods", A, _ID), entry("'*.'", B, _ID))
    found = compare(old, moved)
    assert {change.resource: change.safe for change in found.changes} == {
        "secrets": False,
        "*.": True,
        "pods": False,
        "*.*": True,
    }
    assert "aescbc/a is no longer read for secrets (covered by *. now), and servers that still have OLD go on" in (
        " ".join(messages(old, moved))
    )
    same = config_of(entry("secrets", B, _ID), entry("'*.'", B, _ID))
    assert ids(same, config_of(entry("'*.'", B, _ID))) == []


def test_turning_encryption_on_is_safe_as_a_reader_and_not_as_the_writer() -> None:
    assert ids(None, secrets(_ID, A)) == []
    assert ids(None, secrets(A, _ID)) == ["KC-CFG-301"]
    assert compare(None, None).same


def test_resources_with_the_same_problem_are_told_together() -> None:
    old = config_of(entry("secrets, pods", A, B), entry("'*.*'", A, B))
    new = config_of(entry("secrets, pods", A), entry("'*.*'", A))
    assert messages(old, new) == [
        "aescbc/b is no longer read for secrets, pods, everything else (*.*): a value under it would be unreadable [R3]"
    ]


def test_what_changes_is_told_by_resource() -> None:
    (found, _) = compare(secrets(A, B, static("c", 3), _ID), secrets(A, _ID, static("c", 3), static("d", 4))).changes
    assert [str(reader.ref) for reader in found.gained] == ["aescbc/d"]
    assert [str(reader.ref) for reader in found.lost] == ["aescbc/b"]
    assert found.reordered
    (promoted, _) = compare(secrets(A, B, _ID), secrets(B, A, _ID)).changes
    assert not promoted.reordered


@pytest.mark.parametrize(
    ("old", "new", "command"),
    [
        pytest.param([A, _ID], [B, _ID], "keyctl rotate --resources secrets", id="another key"),
        pytest.param(
            [A],
            [static("s", 3, "secretbox")],
            "keyctl rotate --provider secretbox --resources secrets",
            id="another provider",
        ),
        pytest.param([_ID], [static("s", 3, "secretbox")], "keyctl enable --resources secrets", id="first encryption"),
        pytest.param([A], [_ID], "keyctl disable --resources secrets", id="back to plaintext"),
    ],
)
def test_the_way_that_is_safe_is_a_command(old: list[str], new: list[str], command: str) -> None:
    fixes = [finding.fix or "" for finding in compare(secrets(*old), secrets(*new)).findings(_NEW_YAML)]
    assert any(fix.endswith(command) for fix in fixes)
    assert [problem for fix in fixes for problem in wrong_commands(fix)] == []


def test_the_command_is_for_the_resources_concerned_as_the_old_file_names_them() -> None:
    old = config_of(entry("pods", A), entry("configmaps", A), entry("'*.*'", A))
    found = compare(old, config_of(entry("pods", A), entry("'*.*'", B))).findings(_NEW_YAML)
    assert [(finding.fix or "").partition("keyctl rotate")[2] for finding in found] == [
        " --resources configmaps --resources '*.*'",
        " --resources configmaps",
        " --resources '*.*'",
    ]


def test_for_a_plugin_no_command_is_promised() -> None:
    fixes = [finding.fix or "" for finding in compare(secrets(A), secrets(kms(), A)).findings(_NEW_YAML)]
    assert fixes == [rules.UNREAD_WRITER.fix]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(kms(), kms(), [], id="nothing"),
        pytest.param(kms(), kms(socket="b"), ["the socket of kms/plugin changes [R16]"], id="socket"),
        pytest.param(
            kms(),
            kms(more=", timeout: 5s", socket="b"),
            ["the socket of kms/plugin changes [R16]", "the timeout of kms/plugin changes [R16]"],
            id="two settings",
        ),
        pytest.param(kms(), kms(more=", timeout: 3s"), [], id="the default said aloud"),
        pytest.param(kms(version="v1"), kms(version="v1", more=", cachesize: 1000"), [], id="the default of v1"),
        pytest.param(
            kms(version="v1"),
            kms(version="v1", more=", cachesize: 9"),
            ["the cache size of kms/plugin changes [R16]"],
            id="cache size",
        ),
        pytest.param(kms(), kms("other", socket="b"), [], id="another plugin"),
    ],
)
def test_another_socket_of_a_plugin_is_unsafe_and_other_settings_are_a_condition(
    old: str, new: str, expected: list[str]
) -> None:
    server = Server(kms_v1_gate=True)
    before, after = (decode(file(entry("secrets", one)), name="enc.yaml", server=server).raw for one in (old, new))
    found = plugin_settings(before, after, _NEW_YAML)
    assert [finding.message for finding in found] == expected
    assert [finding.status is Status.FAIL for finding in found] == ["socket" in text for text in expected]


def test_every_rule_is_listed_once_in_the_order_of_ids() -> None:
    listed = [rule.id for rule in rules.RULES]
    assert listed == sorted(set(listed))
    assert all(rule.why.endswith(".") and rule.fix and rule.source for rule in rules.RULES)
    assert [problem for rule in rules.RULES for problem in wrong_commands(rule.fix)] == []


# From here on: the definition itself, by brute force.

_LONG = "a:" + "x" * 15
_CANDIDATES: tuple[Reader, ...] = (
    IdentityReader(),
    StaticReader(key("a", 1)),
    StaticReader(key("a", 2)),
    StaticReader(key("b", 3)),
    StaticReader(key(_LONG, 4)),
    StaticReader(key("a", 1, Provider.AESGCM)),
    StaticReader(key("a", 2, Provider.AESGCM)),
    KmsReader("p", "v1"),
    KmsReader("p", "v2"),
)
_NAMED = ("secrets", "*.", "*.*", "jobs.batch", "*.batch", "")
_ASKED = ("secrets", "pods", "jobs.batch", "cronjobs.batch", "deployments.apps", "things.example.org")

_elements = st.lists(st.sampled_from(_CANDIDATES), min_size=1, max_size=3).map(
    lambda readers: tuple(ProviderElement(reader.ref.provider, (reader,)) for reader in readers)
)
_entries = st.builds(
    ResourceEntry, st.lists(st.sampled_from(_NAMED), min_size=1, max_size=2, unique=True).map(tuple), _elements
)
_configs = st.one_of(
    st.none(), st.lists(_entries, min_size=1, max_size=3).map(lambda entries: EncryptionConfig(tuple(entries)))
)


def starts(reader: Reader) -> bytes:
    """What a value under `reader` starts with."""
    match reader:
        case IdentityReader():
            return b"k8s\0"
        case KmsReader():
            return f"k8s:enc:kms:{reader.version}:{reader.name}:".encode()
        case StaticReader():
            return f"k8s:enc:{reader.ref.provider}:v1:{reader.ref.name}:".encode()


def false_friends(reader: Reader) -> list[Reader]:
    """Other aescbc keys that may, or may not, open one given value under `reader` as garbage."""
    if reader.ref.provider is not Provider.AESCBC:
        return []
    return [
        other
        for other in _CANDIDATES
        if other != reader
        and other.ref.provider is Provider.AESCBC
        and starts(reader).startswith(starts(other))
        and (len(starts(reader)) - len(starts(other))) % 16 == 0
    ]


def worlds(reader: Reader) -> Iterator[tuple[Reader, ...]]:
    """Every set of other keys that may happen to open one value under `reader`."""
    friends = false_friends(reader)
    return chain.from_iterable(combinations(friends, size) for size in range(len(friends) + 1))


def reads(readers: Sequence[Reader], written_under: Reader, opens_too: Sequence[Reader]) -> bool:
    """Whether a server gets the right bytes: the first key that opens the value ends its search."""
    for reader in readers:
        if reader == written_under:
            return True
        if reader in opens_too:
            return False
    return False


def safe_for(old: tuple[Reader, ...], new: tuple[Reader, ...]) -> bool:
    """Servers with OLD and with NEW side by side: what is stored already, and what either writes."""
    stored = all(
        reads(new, written_under, opens_too)
        for written_under in old
        for opens_too in worlds(written_under)
        if reads(old, written_under, opens_too)
    )
    written = all(
        reads(server, writing[0], opens_too)
        for writing in (old, new)
        for server in (old, new)
        for opens_too in worlds(writing[0])
    )
    return stored and written


def one_to_one(old: EncryptionConfig | None, new: EncryptionConfig | None, gained: set[Reader]) -> bool:
    """R5: no resource gets a key whose name has other bytes anywhere."""
    everywhere = {
        reader
        for config in (old, new)
        if config is not None
        for one in config.entries
        for element in one.providers
        for reader in element.readers
    }
    return not any(
        isinstance(one, StaticReader) and one.ref == other.ref and one != other
        for one in gained
        for other in everywhere
    )


def safe_by_definition(old: EncryptionConfig | None, new: EncryptionConfig | None) -> bool:
    for resource in _ASKED:
        before, after = view(old, resource).readers, view(new, resource).readers
        if before == after:
            continue
        if not safe_for(before, after) or not one_to_one(old, new, set(after) - set(before)):
            return False
        if isinstance(after[0], IdentityReader) and not isinstance(before[0], IdentityReader):
            return False
    return True


@given(_configs, _configs)
def test_the_verdict_is_that_of_the_definition(old: EncryptionConfig | None, new: EncryptionConfig | None) -> None:
    assert compare(old, new).safe is safe_by_definition(old, new)


def only_secrets(readers: list[Reader]) -> EncryptionConfig:
    elements = tuple(ProviderElement(reader.ref.provider, (reader,)) for reader in readers)
    return EncryptionConfig((ResourceEntry(("secrets",), elements),))


# Few enough that twins, and names that go on from others, meet often.
_few = st.sampled_from((_CANDIDATES[0], _CANDIDATES[1], _CANDIDATES[2], _CANDIDATES[4]))


def _rearranged(before: list[Reader]) -> st.SearchStrategy[tuple[list[Reader], list[Reader]]]:
    after = st.lists(_few, max_size=2).flatmap(lambda more: st.permutations([*before, *more]))
    return st.tuples(st.just(before), after)


@settings(max_examples=300)
@given(st.lists(_few, min_size=1, max_size=3).flatmap(_rearranged))
def test_the_verdict_on_new_readers_and_another_order_is_that_of_the_definition(
    step: tuple[list[Reader], list[Reader]],
) -> None:
    old, new = map(only_secrets, step)
    assert compare(old, new).safe is safe_by_definition(old, new)


@given(_configs)
def test_a_configuration_may_always_take_its_own_place(config: EncryptionConfig | None) -> None:
    found = compare(config, config)
    assert found.same
    assert found.safe
    assert found.findings(_NEW_YAML) == ()


@given(_configs, _configs)
def test_the_resources_looked_at_say_all_that_two_configurations_do(
    old: EncryptionConfig | None, new: EncryptionConfig | None
) -> None:
    looked_at = {(view(old, one).readers, view(new, one).readers) for one in probes(old, new)}
    assert {(view(old, one).readers, view(new, one).readers) for one in _ASKED} <= looked_at
