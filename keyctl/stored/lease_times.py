"""When Leases were renewed: the one clock that goes on ticking inside of stored values. Pure.

Every kubelet, controller manager, scheduler and API server renews one every few seconds, so that the newest of a
snapshot tells when it was taken, whatever the file is dated. Message layouts: k8s.io/api coordination/v1 (Lease,
LeaseSpec) and apimachinery pkg/apis/meta/v1 (MicroTime).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keyctl.stored.kube_object import PROTOBUF_MAGIC
from keyctl.stored.protobuf import DamagedError, chunks, fields, varint

_RAW, _SPEC, _RENEWED, _SECONDS = 2, 2, 4, 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Year 9999: what stands behind it is no time.
_LAST = 253_402_300_799


def renewed_at(value: bytes) -> datetime | None:
    """When the Lease in `value` was last renewed; None for what is none in plaintext, or never was."""
    if not value.startswith(PROTOBUF_MAGIC):
        return None
    try:
        at: tuple[int, int] = (len(PROTOBUF_MAGIC), len(value))
        for number in (_RAW, _SPEC, _RENEWED):
            found = chunks(value, *at).get(number)
            if found is None:
                return None
            at = found
        seconds = [varint(value, start, end)[0] for number, _, start, end in fields(value, *at) if number == _SECONDS]
    except DamagedError:
        return None
    return _EPOCH + timedelta(seconds=seconds[-1]) if seconds and 0 < seconds[-1] <= _LAST else None
