from __future__ import annotations

import pytest

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.errors import RefusedError
from tests.unit.encryption_config.configs import config_of, entry, key, names, static

_ID = "{identity: {}}"
_LAYERED = (
    entry("secrets", static("exact", 1)),
    entry("deployments.apps", static("deploy", 2)),
    entry("'*.apps'", static("apps", 3)),
    entry("'*.'", static("core", 4)),
    entry("'*.*'", static("all", 5), _ID),
)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("secrets", ["exact"]),
        ("secrets.", ["exact"]),
        ("configmaps", ["core"]),
        ("deployments.apps", ["deploy"]),
        ("statefulsets.apps", ["apps"]),
        ("jobs.batch", ["all", "-"]),
        ("x.sub.apps", ["all", "-"]),
    ],
)
def test_lookup_goes_from_the_resource_to_its_group_to_everything(resource: str, expected: list[str]) -> None:
    config = config_of(*_LAYERED)
    assert names(effective.readers(config, resource)) == expected
    assert names((effective.writer(config, resource),)) == expected[:1]
    assert effective.is_covered(config, resource)


def test_what_nothing_covers_is_plaintext() -> None:
    config = config_of(entry("secrets", static()))
    assert effective.readers(config, "configmaps") == (IdentityReader(),)
    assert not effective.is_covered(config, "configmaps")


def test_no_configuration_is_plaintext() -> None:
    assert effective.readers(None, "secrets") == (IdentityReader(),)
    assert effective.writer(None, "secrets") == IdentityReader()


def test_entries_that_name_one_resource_are_joined_in_file_order() -> None:
    config = config_of(
        entry("secrets", static("a", 1)), entry("configmaps", static("b", 2)), entry("secrets.", static("c", 3), _ID)
    )
    assert names(effective.readers(config, "secrets")) == ["a", "c", "-"]
    assert effective.covering_entries(config, "secrets") == (0, 2)


def test_a_wildcard_adds_nothing_to_a_resource_with_its_own_entry() -> None:
    config = config_of(entry("secrets", static("a", 1)), entry("'*.'", static("b", 2)))
    assert names(effective.readers(config, "secrets")) == ["a"]


def test_named_resources_are_told_as_written_each_once() -> None:
    config = config_of(entry("secrets., configmaps", _ID), entry("configmaps, '*.apps'", _ID))
    assert effective.named_resources(config) == ("secrets.", "configmaps", "*.apps")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([entry("configmaps, secrets.", static())], ("configmaps", "secrets"), id="named and encrypted"),
        pytest.param([entry("configmaps", static())], ("configmaps", "secrets"), id="secrets always"),
        pytest.param([entry("configmaps", _ID, static())], ("secrets",), id="plaintext writes"),
        pytest.param([entry("'*.*'", static())], ("secrets",), id="wildcards are not named"),
        pytest.param([entry("null", static())], ("secrets",), id="an empty name is none"),
    ],
)
def test_required_resources(entries: list[str], expected: tuple[str, ...]) -> None:
    assert effective.required_resources(config_of(*entries)) == expected


def test_static_keys_are_distinct_and_in_order_of_appearance() -> None:
    config = config_of(
        entry("secrets", static("b", 2), static("a", 1), _ID),
        entry("configmaps", static("a", 1), static("a", 9, "secretbox")),
    )
    assert [str(one.ref) for one in effective.static_keys(config)] == ["aescbc/b", "aescbc/a", "secretbox/a"]
    assert effective.static_keys(config)[1] == key("a", 1)


def test_one_name_for_two_keys_is_refused() -> None:
    config = config_of(entry("secrets", static("a", 1)), entry("configmaps", static("a", 2)))
    with pytest.raises(RefusedError, match="aescbc/a stands for two different keys") as caught:
        effective.static_keys(config)
    assert caught.value.rule == "R5"


_VIEW = [entry("secrets", static("a", 1), _ID), entry("'*.apps'", static("b", 2))]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(_VIEW, True, id="equal"),
        pytest.param(_VIEW[::-1], True, id="order of unrelated entries"),
        pytest.param([entry("secrets", static("a", 1)), entry("secrets", _ID), _VIEW[1]], True, id="split entry"),
        pytest.param([entry("secrets", _ID, static("a", 1)), _VIEW[1]], False, id="order of readers"),
        pytest.param([entry("secrets", static("a", 9), _ID), _VIEW[1]], False, id="other bytes under the same name"),
        pytest.param([entry("secrets", static("a", 1, "aesgcm"), _ID), _VIEW[1]], False, id="other provider"),
        pytest.param([_VIEW[0]], False, id="a wildcard less"),
        pytest.param([*_VIEW, entry("'*.*'", _ID)], True, id="plaintext said aloud"),
        pytest.param([*_VIEW, entry("'*.*'", static("a", 1))], False, id="a wildcard more"),
    ],
)
def test_two_files_have_the_same_view_or_not(other: list[str], same: bool) -> None:
    a, b = config_of(*_VIEW), config_of(*other)
    assert effective.same_view(a, b) is same
    assert effective.same_view(b, a) is same


def test_an_empty_view_equals_only_plaintext() -> None:
    assert not effective.same_view(EncryptionConfig(()), config_of(*_VIEW))
    assert effective.same_view(EncryptionConfig(()), config_of(entry("secrets", _ID)))
