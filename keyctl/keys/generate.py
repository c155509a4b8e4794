"""New keys: the only place where key bytes come into being, from the operating system's generator.

Nothing is stored here and no clock is read: the caller gives the time.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider


def generate(provider: Provider, *, now: datetime) -> Key:
    """A fresh key of the length `provider` prefers, named by the time and four random hex digits.

    The name is safe unquoted in YAML and in the header of a stored value (no colon).

    Raises `UnusableInputError` when `provider` takes no static key.
    """
    if now.tzinfo is None:
        raise ValueError("the time of a new key needs a time zone")
    stamp = now.astimezone(UTC).strftime("%Y%m%dt%H%M%Sz")
    lengths = STATIC_PROVIDERS.get(provider, (32,))
    return Key(provider, f"key-{stamp}-{secrets.token_hex(2)}", secrets.token_bytes(lengths[0]))
