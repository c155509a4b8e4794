"""Secrets that kube-apiserver refuses, replaced as the user says: by bytes that are supplied, or by one reading.

Nothing is guessed: without a word of the user's a secret stays as it is and its fault is told. A secret that the
server accepts is never changed. Takes a configuration whose fields are all in their places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote

from keyctl.documents import Document, Scalar, splice
from keyctl.documents import Mapping as Fields
from keyctl.encryption_config import refusals
from keyctl.encryption_config.editing.notation import scalar
from keyctl.encryption_config.fields import RawConfig, RawKey
from keyctl.encryption_config.repair.field_repairs import Done, empty_value
from keyctl.encryption_config.secret_text import decode_secret, encoded, readings
from keyctl.errors import RefusedError, UnusableInputError, WrongUsageError
from keyctl.findings import Rule
from keyctl.keys.key import STATIC_PROVIDERS, Provider
from keyctl.keys.shown import shortened

RULES = (refusals.NO_SECRET, refusals.NOT_BASE64, refusals.KEY_LENGTH)

_BLOCK_COMMENT = re.compile(r"[|>][^\n#]*[ \t](#[^\r\n]*)")


class KeyInUseError(RefusedError):
    """The server accepts the secret that was to be replaced. `asked` is how the user called the key."""

    def __init__(self, message: str, asked: str, *, cause: str, hint: str) -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.asked = asked


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants done about secrets, by key: NAME, or PROVIDER:NAME for that of one provider only.

    `supply` has the bytes to put in, `fresh` new bytes for each provider that has a key of the name; `reencode` are
    keys whose secret is to be read in the one way there is.
    """

    supply: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    fresh: Mapping[str, Mapping[Provider, bytes]] = field(default_factory=dict, repr=False)
    reencode: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Each key as the user called it, as often as something is asked for it."""
        return (*self.supply, *self.fresh, *self.reencode)


@dataclass(frozen=True, slots=True)
class RefusedSecret:
    """A secret that the server refuses. `line` and `column` are those of the refusal; `readings` counts the ways."""

    name: str
    provider: Provider
    line: int
    column: int
    readings: int


@dataclass(frozen=True, slots=True)
class _Key:
    raw: RawKey
    provider: Provider

    @property
    def lengths(self) -> tuple[int, ...]:
        return STATIC_PROVIDERS[self.provider]

    @property
    def accepted(self) -> bytes | None:
        """The bytes, when the server accepts the secret."""
        material = decode_secret(self.raw.secret.text)
        return material if material is not None and len(material) in self.lengths else None


@dataclass(frozen=True, slots=True)
class _Replacement:
    key: _Key
    material: bytes = field(repr=False)
    sentence: str


def shown_name(name: str) -> str | None:
    """`name` where messages and commands may repeat it; None where it may be a key, or is no single plain word."""
    plain = shortened(name) == name == quote(name) and "=" not in name
    return name if plain else None


def refused_secrets(config: RawConfig) -> tuple[RefusedSecret, ...]:
    """Every refused secret of `config`, in the order of the file."""
    return tuple(
        RefusedSecret(
            key.raw.name.text,
            key.provider,
            key.raw.secret.span.line,
            key.raw.secret.span.column,
            len(readings(key.raw.secret.text, key.lengths)),
        )
        for key in _keys(config)
        if key.accepted is None
    )


def replace_secrets(
    document: Document, config: RawConfig, asked: Asked
) -> tuple[str, tuple[Done, ...], tuple[str, ...]]:
    """The text of `document` with refused secrets replaced as `asked`, what was done, and for which keys it was not.

    `config` are its fields. A secret that is to be read, but in no way or in several, stays.

    Raises `WrongUsageError` for a name that no key has or a key for which two things are asked, `KeyInUseError`
    when the server accepts the secret, `RefusedError` when the name has other bytes elsewhere,
    `UnusableInputError` for bytes of a wrong length.
    """
    keys = tuple(_keys(config))
    told: dict[int, str] = {}
    for name in asked.keys:
        for index in _meant(document.name, name, keys):
            if index in told:
                raise WrongUsageError(
                    f"two things are asked for the key {_shown(name)}",
                    hint="give one of --supply, --generate and --reencode for a key",
                )
            told[index] = name
    found = {index: _replacement(keys[index], told[index], asked) for index in sorted(told)}
    unused = {told[index] for index, one in found.items() if one is None}
    replacements = [one for one in found.values() if one is not None]
    for one in replacements:
        _check_bytes(document.name, one, keys)
    text = splice(document.text, [_edit(document, one) for one in replacements])
    done = tuple(
        Done(_rule(one.key).id, one.key.raw.secret.span.line, f"the secret of {_label(one.key)} is {one.sentence}")
        for one in replacements
    )
    return text, done, tuple(name for name in asked.keys if name in unused)


def _keys(config: RawConfig) -> Iterator[_Key]:
    for entry in config.entries:
        for provider in entry.providers:
            for chosen in provider.chosen:
                if chosen in STATIC_PROVIDERS:
                    yield from (_Key(key, chosen) for key in provider.keys)


def _rule(key: _Key) -> Rule:
    if not key.raw.secret.text:
        return refusals.NO_SECRET
    return refusals.NOT_BASE64 if decode_secret(key.raw.secret.text) is None else refusals.KEY_LENGTH


def _label(key: _Key) -> str:
    return shown_name(key.raw.name.text) or "a key"


def _shown(asked: str) -> str:
    """How a message calls the key that the user called `asked`."""
    provider, colon, name = asked.partition(":")
    if colon and provider in STATIC_PROVIDERS and shown_name(name):
        return asked
    return shown_name(asked) or "with that name"


def _meant(file: str, asked: str, keys: tuple[_Key, ...]) -> list[int]:
    """Which of `keys` are those that the user calls `asked`, less those with an accepted secret."""
    named = [index for index, key in enumerate(keys) if key.raw.name.text == asked]
    named = named or [index for index, key in enumerate(keys) if f"{key.provider}:{key.raw.name.text}" == asked]
    if not named:
        names = (shown_name(key.raw.name.text) for key in keys)
        known = ", ".join(dict.fromkeys(name for name in names if name))
        raise WrongUsageError(
            f"{file} has no key {_shown(asked)}",
            cause=f"it has {known}" if known else None,
            hint="give the name of one of its keys",
        )
    if all(keys[index].accepted is not None for index in named):
        raise KeyInUseError(
            f"{file}:{keys[named[0]].raw.secret.span.line}: kube-apiserver accepts the secret of the key"
            f" {_shown(asked)}",
            asked,
            cause="values may be stored under it, so it is not replaced",
            hint="to change a key that is in use: keyctl rotate",
        )
    return [index for index in named if keys[index].accepted is None]


def _replacement(key: _Key, name: str, asked: Asked) -> _Replacement | None:
    if name in asked.supply:
        return _Replacement(key, asked.supply[name], "the one that was supplied")
    if name in asked.fresh:
        material = asked.fresh[name][key.provider]
        return _Replacement(key, material, f"the base64 of {len(material)} new bytes")
    found = readings(key.raw.secret.text, key.lengths)
    if len(found) != 1:
        return None
    return _Replacement(key, found[0].material, f"the base64 of the key in it ({found[0].meaning})")


def _check_bytes(file: str, one: _Replacement, keys: tuple[_Key, ...]) -> None:
    if len(one.material) not in one.key.lengths:
        takes = " or ".join(str(length) for length in sorted(one.key.lengths))
        raise UnusableInputError(
            f"the supplied key has {len(one.material)} bytes; {one.key.provider} takes {takes}",
            hint="supply the base64 of the key's bytes in a file, and nothing else",
        )
    for other in keys:
        same = (other.provider, other.raw.name.text) == (one.key.provider, one.key.raw.name.text)
        if same and other.accepted not in (None, one.material):
            raise RefusedError(
                f"the key of {file}:{one.key.raw.secret.span.line} has other bytes elsewhere in the file",
                cause=f"line {other.raw.secret.span.line} has the same provider and name",
                hint="supply those bytes, or give the key a name of its own",
                rule="R5",
            )


def _edit(document: Document, one: _Replacement) -> tuple[int, int, str]:
    node = one.key.raw.node
    if not isinstance(node, Fields) or not node.items:
        raise RuntimeError("a key without fields has a name")
    text = encoded(one.material)
    found = next(((key, value) for key, value in node.items if key.text == "secret"), None)
    if found is None:
        return _inserted(document, node, text)
    name, value = found
    if not isinstance(value, Scalar):
        raise RuntimeError("a secret that is no text was read")
    if not value.quoted and not value.text:
        start, end, before = empty_value(document, name, value)
        return start, end, before + _written(document, text)
    start = value.span.start
    old = document.text[start : value.span.end].rstrip()
    comment = _BLOCK_COMMENT.match(old)
    after = f"  {comment[1]}" if comment else ""
    quoted = old[0] in "\"'"
    return start, start + len(old), (f"{old[0]}{text}{old[0]}" if quoted else _written(document, text)) + after


def _inserted(document: Document, node: Fields, text: str) -> tuple[int, int, str]:
    """A field `secret` behind the last one of the key `node`."""
    name, value = node.items[-1]
    end = value.span.start + len(document.text[value.span.start : value.span.end].rstrip())
    written = _written(document, text)
    if node.flow:
        quote = '"' if name.quoted else ""
        return end, end, f", {quote}secret{quote}: {written}"
    line_end = document.text.find("\n", end)
    line_end = len(document.text) if line_end < 0 else line_end
    if document.text[line_end - 1] == "\r":
        line_end -= 1
    line_break = "\r\n" if "\r\n" in document.text else "\n"
    return line_end, line_end, f"{line_break}{' ' * (node.span.column - 1)}secret: {written}"


def _written(document: Document, text: str) -> str:
    return f'"{text}"' if document.json else scalar(text)
