"""What an address says of who can reach it."""

from __future__ import annotations

import ipaddress

# Carrier-grade NAT: not routed on the internet, and not private by the letter.
_SHARED = ipaddress.ip_network("100.64.0.0/10")


def is_loopback(host: str) -> bool:
    """Whether only the host itself reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_inside(host: str) -> bool | None:
    """Whether the address is one of private networks; None for a name or an address that is put in later."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_unspecified:
        return False
    return address.is_private or (address.version == 4 and address in _SHARED)
