"""A key as the command line names it: PROVIDER:NAME, or PROVIDER/NAME as messages do."""

from __future__ import annotations

import re

from keyctl.errors import WrongUsageError
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef, Provider


def parse_key(text: str) -> KeyRef:
    """The static key that `text` names. Raises `WrongUsageError`."""
    found = re.fullmatch(r"([^:/]*)[:/](.*)", text)
    provider, name = found.groups() if found else (text, "")
    static = [one.value for one in STATIC_PROVIDERS]
    if provider not in static or not name:
        raise WrongUsageError(f"a key is named PROVIDER:NAME, not {text!r}", hint=f"providers: {', '.join(static)}")
    return KeyRef(Provider(provider), name)
