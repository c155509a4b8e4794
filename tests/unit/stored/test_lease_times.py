"""When a Lease was renewed is read from its bytes; whatever else stands there is no time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyctl.stored.lease_times import renewed_at
from tests.support import seal
from tests.support.bolt_writer import varint

AT = datetime(2026, 9, 30, 10, 0, 7, tzinfo=UTC)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def lease(seconds: int | None = int(AT.timestamp())) -> bytes:
    """A Lease as kube-apiserver stores it: holder, duration, times of acquiring and renewing."""
    renewed = b"" if seconds is None else field(4, b"\x08" + varint(seconds) + b"\x10" + varint(123_000))
    spec = field(1, b"holder") + b"\x10\x0f" + field(3, b"\x08\x01") + renewed
    return seal.stored("coordination.k8s.io/v1", "Lease", "a", "kube-system", rest=field(2, spec))


def test_the_time_of_renewal_is_read_to_the_second() -> None:
    assert renewed_at(lease()) == AT


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lease(None), id="never renewed"),
        pytest.param(lease(0), id="no time"),
        pytest.param(lease(1 << 62), id="no time that there is"),
        pytest.param(lease()[:-30], id="cut"),
        pytest.param(b"k8s:enc:aescbc:v1:key1:" + bytes(64), id="encrypted"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"k8s\0", id="a head alone"),
        pytest.param(b'{"kind":"Lease","apiVersion":"coordination.k8s.io/v1"}', id="JSON"),
        pytest.param(b"k8s\0" + b"\xff" * 40, id="no message"),
    ],
)
def test_what_is_no_renewed_lease_tells_no_time(value: bytes) -> None:
    assert renewed_at(value) is None
