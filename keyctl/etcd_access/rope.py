"""The password of the way back in a private file: kept from before it is of use until nothing needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.keys import private_files


class RopeFile:
    """The `Rope` at `path`; `new` makes a password nobody can guess."""

    def __init__(self, path: Path, new: Callable[[], str]) -> None:
        self._path, self._new = path, new

    @property
    def place(self) -> str:
        """See `Rope.place`."""
        return str(self._path)

    def renew(self) -> str:
        """See `Rope.renew`."""
        password = self._new()
        private_files.place(self._path, password.encode())
        return password

    def kept(self) -> str | None:
        """See `Rope.kept`. Raises `UnusableInputError` where others could have read it, or we cannot."""
        if private_files.is_gone(self._path):
            return None
        try:
            return private_files.read(self._path).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableInputError(f"{self._path} cannot be read", cause=str(error)) from error

    def forget(self) -> None:
        """See `Rope.forget`."""
        if not private_files.is_gone(self._path):
            private_files.erase(self._path)
