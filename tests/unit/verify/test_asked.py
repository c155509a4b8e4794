"""What the user names must be there: a mistyped resource is no pass."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from keyctl.errors import ExitCode
from keyctl.keys.key import Provider
from keyctl.verify.values import verify
from tests.support import seal
from tests.support.memory_source import MemorySource

KEY = seal.key("key1", Provider.AESCBC)
AT = b"/registry/secrets/default/one"


@pytest.mark.parametrize(
    ("known", "outcomes"),
    [
        pytest.param(None, (ExitCode.EMPTY,), id="the API was not asked"),
        pytest.param({"deployments": 0}, (), id="the API knows of none"),
    ],
)
def test_a_resource_that_was_asked_for_and_is_not_there_is_no_pass(
    known: Mapping[str, int] | None, outcomes: tuple[ExitCode, ...]
) -> None:
    source = MemorySource({AT: seal.seal(KEY, AT, seal.secret("one"))})
    result = verify(
        source, prefix="/registry", config=seal.config(KEY), required=("deployments",), expected_counts=known
    )
    assert result.outcomes == outcomes
