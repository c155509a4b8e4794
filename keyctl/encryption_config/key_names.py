"""Names that are keys: the text of a secret, or the bytes of a key, where a name stands that keyctl would print.

Judges what the fields say, whether or not the server takes them; repeats neither name nor secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyctl.encryption_config import unread
from keyctl.encryption_config.fields import RawConfig, RawProvider, RawText
from keyctl.encryption_config.secret_text import decode_secret, encoded
from keyctl.encryption_config.violation import Violation, violation_at
from keyctl.keys.key import STATIC_PROVIDERS

# What is shorter may be a part of a name by chance.
_SHORTEST = 16
_URL_SIGNS = str.maketrans("-_", "+/")
# What may join a key to another word of the name; base64 has some of these signs in it, too.
_PARTS = (re.compile(r"[^A-Za-z0-9+/_-]+"), re.compile(r"[^A-Za-z0-9+/]+"), re.compile(r"[^A-Za-z0-9]+"))
_HEX_SIGNS = re.compile(r"0x|[:\s,-]")


def names_no_key(config: RawConfig) -> Iterator[Violation]:
    """Every name of a key, a plugin or a resource that is a secret of the file, or a part of which is one."""
    secrets = [key.secret.text for entry in config.entries for one in entry.providers for key in one.keys]
    whole = {_packed(text) for text in secrets} - {""}
    anywhere = {spelling for text in secrets for spelling in _spellings(text) if len(spelling) >= _SHORTEST}
    for path, name in _names(config):
        if _packed(name.text) in whole or _has_key(name.text, anywhere):
            yield violation_at(unread.NAME_IS_KEY, name.span, path, "the name is a key of this file")


def _has_key(name: str, spellings: set[str]) -> bool:
    return len(name) >= _SHORTEST and not spellings.isdisjoint(_readings(name))


def _names(config: RawConfig) -> Iterator[tuple[str, RawText]]:
    for i, entry in enumerate(config.entries):
        for j, resource in enumerate(entry.resources):
            yield f"resources[{i}].resources[{j}]", resource
        for j, provider in enumerate(entry.providers):
            path = f"resources[{i}].providers[{j}]"
            if provider.kms is not None:
                yield f"{path}.kms.name", provider.kms.name
            for k, key in enumerate(provider.keys):
                yield f"{path}.{_static(provider)}.keys[{k}].name", key.name


def _static(provider: RawProvider) -> str:
    """The provider whose keys are told; where several are set, which is refused, the last of them."""
    return next(one for one in reversed(provider.chosen) if one in STATIC_PROVIDERS)


def _spellings(text: str) -> Iterator[str]:
    """A secret in the forms that `_readings` brings a name to: as it stands, base64 without padding, hex, text."""
    yield _packed(text)
    material = decode_secret(text)
    if material is not None:
        yield encoded(material).rstrip("=")
        yield material.hex()
        yield _packed(material.decode("utf-8", "replace"))


def _readings(name: str) -> Iterator[str]:
    packed = _packed(name)
    yield packed
    yield _HEX_SIGNS.sub("", packed.lower())
    for pattern in _PARTS:
        for part in pattern.split(name):
            yield part
            yield part.translate(_URL_SIGNS)
            yield part.lower()


def _packed(text: str) -> str:
    return "".join(text.split())
