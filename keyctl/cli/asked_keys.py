"""What the options of `config fix` ask for keys: bytes out of a file, new ones, or the present text encoded once.

Key bytes come from files and from the system's generator only; none reaches a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from keyctl.cli.files import STDIN, name_of, read_file
from keyctl.encryption_config.repair.secret_repairs import Asked
from keyctl.encryption_config.secret_text import decode_secret
from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS, Provider
from keyctl.stored.display import display

# In bytes; the base64 of the longest key has 44.
_KEY_LIMIT = 4096


def asked_keys(
    files: Sequence[str], *, supplied: Sequence[str], generated: Sequence[str], reencode: Sequence[str]
) -> Asked:
    """What the options ask; `files` are the others that are read, for stdin is read once.

    Raises `WrongUsageError` for options that cannot be, `UnusableInputError` for a file that holds no key.
    """
    others = [option.partition("=")[0] for option in supplied]
    if len({*generated, *others}) < len(generated) + len(others):
        raise WrongUsageError("a key is given twice", hint="give one of --supply and --generate for a key")
    fresh = {name: _new_bytes() for name in generated}
    return Asked(_supplied(files, supplied), fresh, tuple(reencode))


def warn_of_new_keys(names: Sequence[str]) -> None:
    """Say what new bytes do to values that are stored already, and to other copies of the file."""
    keys = ", ".join(display(name) for name in names)
    click.echo(
        f"new bytes for {keys}: values that were stored under this name before need the old ones; where there are "
        "any, put those in with --supply. Every server's copy of the file needs the same new ones: name the copies "
        "in one command, or copy the file",
        err=True,
    )


def _new_bytes() -> dict[Provider, bytes]:
    return {provider: generate(provider, now=datetime.now(UTC)).material for provider in STATIC_PROVIDERS}


def _supplied(files: Sequence[str], options: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    paths = list(files)
    for option in options:
        name, equals, path = option.partition("=")
        if not equals or not name or not path:
            raise WrongUsageError(
                "--supply takes NAME=KEYFILE", hint="the key's name, and a file with the base64 of its bytes"
            )
        if path == STDIN and path in paths:
            raise WrongUsageError("only one file can be stdin", hint="name files for the others")
        paths.append(path)
        found[name] = _key(path)
    return found


def _key(path: str) -> bytes:
    content = read_file(path, "the key", limit=_KEY_LIMIT)
    material = decode_secret(content.decode("utf-8", "replace").strip())
    if not material:
        raise UnusableInputError(
            f"{name_of(path)} holds no base64",
            cause=f"it has {len(content)} bytes",
            hint="write the base64 of the key's bytes there, in one line and without a name before it",
        )
    return material
