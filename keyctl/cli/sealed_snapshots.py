"""Encrypted snapshots on the command line: to whom, by which identity, and where they may lie open meanwhile.

An identity comes from a file or from stdin, never from an argument; no recipient and no identity is repeated in a
message.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from keyctl.backup.check import Checked

F = TypeVar("F", bound=Callable[..., object])
_IDENTITY = "the identity file"


def identity_options(command: F) -> F:
    """`--identity` and `--scratch`."""
    command = click.option(
        "--scratch",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where FILE may lie open meanwhile, for its owner alone. Default: the temporary directory.",
    )(command)
    return click.option(
        "-i",
        "--identity",
        metavar="IDENTITY",
        help="For an encrypted FILE: the secret side of one of its recipients, as age-keygen writes it; - is stdin.",
    )(command)


def recipient_options(command: F) -> F:
    """`--encrypt-to` and `--recipients-file`."""
    command = click.option(
        "-R",
        "--recipients-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file of recipients, one a line, as age takes it.",
    )(command)
    return click.option(
        "-r",
        "--encrypt-to",
        "recipients",
        multiple=True,
        metavar="AGE1...",
        help="Encrypt the snapshot, so that only this one can open it. age or SSH; repeatable.",
    )(command)


def read_identity(identity: str | None) -> bytes | None:
    """The identities in that file, None where none is named. Raises `UnusableInputError` for what holds none."""
    from keyctl.cli.files import STDIN, read_file
    from keyctl.keys.escrow_age import read_identities
    from keyctl.keys.private_files import require_private

    if identity is None:
        return None
    # A pipe has no real place to look at; reading it is refused with what to do instead.
    if identity != STDIN and Path(identity).exists() and not Path(identity).is_fifo():
        require_private(Path(identity).resolve())
    content = read_file(identity, _IDENTITY)
    read_identities(content)
    return content


def read_recipients(recipients: tuple[str, ...], file: Path | None) -> tuple[str, ...]:
    """Those that are named and those in `file`, each once. Raises `WrongUsageError` for one that is none."""
    from keyctl.cli.files import read_regular
    from keyctl.errors import WrongUsageError
    from keyctl.keys import escrow_age

    of_file: tuple[str, ...] = ()
    if file is not None:
        text = read_regular(file, "the file of recipients").decode(errors="replace")
        of_file = escrow_age.recipient_lines(text)
        if not of_file:
            raise WrongUsageError(f"no recipient is in {file}", hint="put one on a line: age-keygen -y prints it")
    found = tuple(dict.fromkeys((*recipients, *of_file)))
    escrow_age.read_recipients(found)
    return found


def place(scratch: Path | None) -> Path:
    """Where a snapshot may lie open: `scratch`, or the temporary directory."""
    return scratch or Path(tempfile.gettempdir())


def opened(
    file: Path, identities: bytes | None, scratch: Path | None, reading: Callable[[str], None]
) -> AbstractContextManager[Path]:
    """The snapshot `file` in the clear, as `keyctl.backup.sealing.opened` has it."""
    from keyctl.backup import sealing
    from keyctl.backup.told import told_as

    return sealing.opened(file, identities, place(scratch), told_as("decrypting", reading))


def checked(file: Path, identities: bytes | None, scratch: Path | None, reading: Callable[[str], None]) -> Checked:
    """Everything of `file` that can be looked at, with the identities at hand; damage is a finding."""
    from keyctl.backup.check import check_closed, check_snapshot, not_opened
    from keyctl.backup.sealing import is_sealed
    from keyctl.errors import UnusableInputError
    from keyctl.etcd_files.source import SnapshotSource

    if not is_sealed(file):
        return check_snapshot(file, SnapshotSource, reading)
    if identities is None:
        return check_closed(file, reading)
    try:
        with opened(file, identities, scratch, reading) as content:
            return check_snapshot(file, SnapshotSource, reading, content=content)
    except UnusableInputError as error:
        return not_opened(file, error)
