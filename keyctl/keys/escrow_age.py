"""Sealing to age recipients and opening with age identities, by `pyrage`; `age_stream` does so for what is too large.

Bytes in, bytes out, in memory. No message repeats a recipient or an identity: whoever takes one for the other has
put a secret on the command line, and it must not come back on the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyrage

from keyctl.errors import UnusableInputError, WrongUsageError

_SECRET = "AGE-SECRET-KEY-"  # noqa: S105 — what one begins with
_SSH = "ssh-"
_ENCRYPTED = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_PEM = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def recipient_lines(text: str) -> tuple[str, ...]:
    """The recipients of a recipients file: one a line, with empty lines and comments as age has them."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def seal(content: bytes, recipients: Sequence[str]) -> bytes:
    """`content` for each of `recipients` alone: `age1…`, or an `ssh-ed25519`/`ssh-rsa` public key.

    Raises `WrongUsageError` for none, and for one that is no recipient; it is told by its number.
    """
    if not recipients:
        raise WrongUsageError("an escrow is encrypted to somebody", hint="name one with --recipient age1…")
    sealed: bytes = pyrage.encrypt(content, read_recipients(recipients))
    return sealed


def read_recipients(recipients: Sequence[str]) -> list[Any]:
    """What `pyrage` takes for `recipients`, each once. Raises `WrongUsageError`; a wrong one is told by its number."""
    return [_recipient(text, number) for number, text in enumerate(dict.fromkeys(recipients), start=1)]


def open_sealed(sealed: bytes, identities: bytes, *, name: str) -> bytes:
    """What stands in `sealed`, opened with one of `identities`: an age identity file, or an OpenSSH private key.

    `name` is that of the escrow. Raises `UnusableInputError`.
    """
    try:
        opened: bytes = pyrage.decrypt(sealed, read_identities(identities))
    except pyrage.DecryptError as error:
        foreign = "No matching keys" in str(error)
        raise UnusableInputError(
            f"the escrow {name} does not open",
            cause="it is encrypted to others than this identity" if foreign else "it is no whole age file",
            hint="give the identity of one of its recipients" if foreign else "use another copy of it",
        ) from None
    return opened


def read_identities(content: bytes) -> list[Any]:
    """What `pyrage` takes for an age identity file, or an OpenSSH private key. Raises `UnusableInputError`."""
    if content.startswith(_ENCRYPTED):
        raise UnusableInputError(
            "the identity file is itself encrypted",
            hint="decrypt it on the way in: --identity - takes what age -d identity.age prints",
        )
    try:
        if content.lstrip().startswith(_PEM):
            return [pyrage.ssh.Identity.from_buffer(content)]
        found = [pyrage.x25519.Identity.from_str(line) for line in _lines(content)]
    except (pyrage.IdentityError, UnicodeDecodeError):
        found = []
    if not found:
        raise UnusableInputError(
            "the identity file holds no identity",
            hint="give the file that age-keygen wrote, or an OpenSSH private key without a passphrase",
        ) from None
    return found


def _recipient(text: str, number: int) -> Any:
    if text.upper().startswith(_SECRET):
        raise WrongUsageError(
            f"recipient {number} is a secret key",
            cause="it begins like an identity; whoever sees it can open what is encrypted to it",
            hint="give its public side: age-keygen -y prints it; and make a new one if this one was seen",
        )
    try:
        if text.startswith(_SSH):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except (pyrage.RecipientError, UnicodeEncodeError):
        raise WrongUsageError(
            f"recipient {number} is neither an age recipient (age1…) nor an SSH public key",
            hint="age-keygen makes a pair, and age-keygen -y prints the recipient",
        ) from None


def _lines(content: bytes) -> Iterable[str]:
    return recipient_lines(content.decode())
