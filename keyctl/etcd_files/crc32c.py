"""CRC-32C, by which etcd guards its write-ahead log. Guards against damage, not against anybody."""

from __future__ import annotations

import google_crc32c


def extend(checksum: int, data: bytes) -> int:
    """The checksum of what had `checksum` (0 for nothing) and then `data`."""
    extended: int = google_crc32c.extend(checksum, data)
    return extended
