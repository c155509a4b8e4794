from __future__ import annotations

import pytest

from keyctl.encryption_config.openers import openers
from keyctl.errors import UnusableInputError
from tests.unit.encryption_config.configs import b64, entry, file, static

_KMS = "{kms: {apiVersion: v2, name: plugin, endpoint: 'unix:///run/kms.sock'}}"


def ids(*entries: str) -> set[str]:
    return set(openers(file(*entries), name="enc.yaml"))


def test_all_that_opens_values_has_an_id_and_a_name() -> None:
    found = openers(file(entry("secrets", static("key1"), _KMS, "{identity: {}}")), name="enc.yaml")
    assert sorted(found.values()) == ["aescbc/key1", "identity", "kms/plugin"]


def test_order_and_place_make_no_difference() -> None:
    one = ids(entry("secrets", static("a", 1), static("b", 2)), entry("configmaps", "{identity: {}}"))
    assert one == ids(entry("secrets, configmaps", "{identity: {}}", static("b", 2), static("a", 1)))


@pytest.mark.parametrize(
    "other", [static("key1", 2), static("key2", 1), static("key1", 1, provider="aesgcm"), "{identity: {}}"]
)
def test_other_bytes_another_name_or_provider_are_another_opener(other: str) -> None:
    assert ids(entry("secrets", static("key1", 1))).isdisjoint(ids(entry("secrets", other)))


def test_no_key_shows_in_an_id_or_a_name() -> None:
    found = openers(file(entry("secrets", static("key1", 7))), name="enc.yaml")
    assert b64(7) not in repr(found)
    assert (b"\7" * 4).hex() not in repr(found)


def test_a_name_that_reads_like_a_key_is_not_shown() -> None:
    text = file(entry("secrets", static("dGhpcyBpcyBhIHNlY3JldCBrZXkhISE0", 7)))
    assert "dGhpcyBpcyBhIHNlY3JldCBrZXkhISE0" not in repr(openers(text, name="enc.yaml"))


def test_a_file_that_kube_apiserver_refuses_opens_nothing() -> None:
    with pytest.raises(UnusableInputError, match=r"enc\.yaml"):
        openers(b"kind: EncryptionConfiguration\n", name="enc.yaml")
