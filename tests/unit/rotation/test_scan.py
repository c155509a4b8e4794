"""Nothing that was not delivered counts as looked at."""

from __future__ import annotations

import pytest

from keyctl.errors import UnreachableError
from keyctl.rotation.scan import Scan, scan
from tests.support.memory_source import MemorySource
from tests.support.seal import config_map

VALUES = {f"/registry/configmaps/default/a{n}".encode(): config_map(f"a{n}") for n in range(3)}


def test_a_source_that_delivers_fewer_values_than_it_holds_is_refused() -> None:
    with pytest.raises(UnreachableError, match="delivered 3 of 4 values"):
        scan(MemorySource(VALUES, claimed=4), prefix="/registry", config=None)


def test_a_server_without_a_configuration_reads_plaintext_and_nothing_else() -> None:
    sealed = {b"/registry/secrets/default/s": b"k8s:enc:aescbc:v1:key1:" + bytes(48)}
    assert found(VALUES).unreadable == 0
    assert found(VALUES | sealed).unreadable == 1


def found(values: dict[bytes, bytes]) -> Scan:
    return scan(MemorySource(values), prefix="/registry", config=None)
