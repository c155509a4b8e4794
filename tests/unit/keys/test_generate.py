from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from keyctl.errors import UnusableInputError
from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS, Provider

_NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("provider", STATIC_PROVIDERS)
def test_a_new_key_has_32_bytes_and_a_name_that_needs_no_quoting(provider: Provider) -> None:
    key = generate(provider, now=_NOW)
    assert key.provider is provider
    assert len(key.material) == 32
    assert re.fullmatch(r"key-20261121t100000z-[0-9a-f]{4}", key.name)


def test_two_keys_never_have_the_same_bytes() -> None:
    keys = [generate(Provider.AESCBC, now=_NOW) for _ in range(50)]
    assert len({key.material for key in keys}) == 50
    assert len({key.name for key in keys}) > 1


def test_the_name_gives_the_time_in_utc() -> None:
    local = _NOW.astimezone(timezone(timedelta(hours=5)))
    assert generate(Provider.AESCBC, now=local).name.startswith("key-20261121t100000z-")


def test_a_time_without_a_zone_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="time zone"):
        generate(Provider.AESCBC, now=datetime(2026, 11, 21))  # noqa: DTZ001 — the case under test


@pytest.mark.parametrize("provider", [Provider.KMS, Provider.IDENTITY])
def test_a_provider_without_static_keys_gets_none(provider: Provider) -> None:
    with pytest.raises(UnusableInputError, match="takes no static key"):
        generate(provider, now=_NOW)
