"""The password of the way back in a private file: kept from before it is of use until nothing needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.keys import private_files


class RopeFile:
    """The `Rope` at `path` of the etcd behind `endpoints`; `new` makes a password nobody can guess."""

    def __init__(self, path: Path, new: Callable[[], str], endpoints: tuple[str, ...] = ()) -> None:
        self._path, self._new, self._endpoints = path, new, endpoints

    @property
    def place(self) -> str:
        """See `Rope.place`."""
        return str(self._path)

    def renew(self) -> str:
        """See `Rope.renew`."""
        password = self._new()
        private_files.place(self._path, "\n".join((password, *self._endpoints)).encode())
        return password

    def kept(self) -> str | None:
        """See `Rope.kept`. Raises `UnusableInputError` where others could have read it, or we cannot."""
        if private_files.is_gone(self._path):
            return None
        return _lines(self._path)[0]

    def forget(self) -> None:
        """See `Rope.forget`."""
        if not private_files.is_gone(self._path):
            private_files.erase(self._path)


def left_for(endpoints: Iterable[str], paths: Iterable[Path]) -> Path | None:
    """Which of `paths` is of an etcd behind one of `endpoints`: an etcd that refuses us does not tell its id.

    Raises `UnusableInputError` where others could have read one of them.
    """
    wanted = set(endpoints)
    return next((path for path in paths if wanted & set(_lines(path)[1:])), None)


def _lines(path: Path) -> list[str]:
    """The password, and the endpoints of its etcd."""
    try:
        return private_files.read(path).decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(f"{path} cannot be read", cause=str(error)) from error
