"""Files that `keyctl doctor` writes because it was asked to: private from their creation on, never over another one."""

from __future__ import annotations

import os
from pathlib import Path

from keyctl.errors import RefusedError, UnusableInputError


def write_new(path: Path, content: bytes, what: str) -> None:
    """Put `content` into the new file `path`, mode 0600, on the disk before this returns.

    Raises `RefusedError` when something is there already, `UnusableInputError` when it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise RefusedError(
            f"{path} exists already", hint=f"give {what} a new name, or move the old one away"
        ) from error
    except OSError as error:
        raise UnusableInputError(f"cannot write {what} to {path}", cause=error.strerror) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnusableInputError(f"cannot write {what} to {path}", cause=error.strerror) from error
