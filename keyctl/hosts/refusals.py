"""What every kind of host refuses about a file, in the same words. Opens nothing."""

from __future__ import annotations

import hashlib

from keyctl.errors import RefusedError, UnusableInputError

# No encryption configuration and no manifest comes near it; what is larger is another file, or no end of one.
MAX_BYTES = 1024 * 1024


def sha256(content: bytes) -> str:
    """The hash by which files are known."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def changed(host: str, path: str, cause: str) -> RefusedError:
    """Somebody else wrote the file (R8)."""
    return RefusedError(
        f"host {host}: somebody else changed {path}",
        cause=cause,
        hint="find out who writes this file, then: keyctl rotate --resume",
        rule="R8",
    )


def other_than(expected: str | None, found: str | None) -> str:
    """What was expected and what was found, as the cause of `changed`."""
    return f"expected {expected or 'no file'}, found {found or 'none'}"


def wrong_kind(host: str, path: str, kind: str) -> RefusedError:
    """The path is `kind`, and no regular file (R13)."""
    return RefusedError(
        f"host {host}: {path} is {kind}", hint="name the regular file itself in the cluster file", rule="R13"
    )


def check_size(host: str, path: str, size: int) -> None:
    """Raise `UnusableInputError` for a file of `size` bytes that can be neither a configuration nor a manifest."""
    if size > MAX_BYTES:
        raise UnusableInputError(
            f"host {host}: {path} is larger than 1 MiB",
            cause="neither an encryption configuration nor a manifest is",
            hint="correct the path in the cluster file",
        )
