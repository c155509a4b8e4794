"""Imported by every Python that has this folder in PYTHONPATH: notes keys, and keeps what is removed.

The run of tests sets RECORDED_KEYS to a private folder. The bytes of every key that
comes into being go there, and every tree of files that a process of the run removes
below the folders of the run is put there instead: it is searched with all else at the
end. Does nothing without that variable, and loads no module that the process would
not load.
"""

from __future__ import annotations

import os
import sys

# NOTE: typing costs every child of the tests a few milliseconds; its names are for those who check types.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDERS, REMOVED, UNSEARCHED = "folders.txt", "removed", "unsearched.txt"


class _Watching:
    """Finds modules as Python would, and has some of them changed once they are loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _CHANGES:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not _Watching)
        spec = next(filter(None, specs), None)
        if spec is not None:
            _change_once_loaded(spec.loader, _CHANGES[name])
        return spec


def _change_once_loaded(loader: Any, change: Any) -> None:
    load = loader.exec_module

    def exec_module(module):
        load(module)
        change(module)

    loader.exec_module = exec_module


def note_keys(module: Any) -> None:
    """Append the material of every new Key to a file of this process, each once."""
    kind, noted = module.Key, set()
    check = kind.__post_init__

    def __post_init__(self):  # noqa: N807
        check(self)
        if self.material not in noted:
            noted.add(self.material)
            _append(f"{os.getpid()}.keys", self.material.hex())

    kind.__post_init__ = __post_init__


def keep_removed(module: Any) -> None:
    """Move a tree below the folders of the run away instead of removing it."""
    remove = module.rmtree

    def rmtree(path, *arguments, **options):
        if not options.get("dir_fd") and _below_the_run(path):
            try:
                os.rename(path, os.path.join(os.environ["RECORDED_KEYS"], REMOVED, os.urandom(8).hex()))  # noqa: PTH104, PTH118
            except OSError as error:
                # On another file system, or gone already.
                if not isinstance(error, FileNotFoundError):
                    _append(UNSEARCHED, f"{os.fspath(path)}: removed meanwhile ({error.strerror})")
            else:
                return
        remove(path, *arguments, **options)

    rmtree.avoids_symlink_attacks = remove.avoids_symlink_attacks  # type: ignore[attr-defined]  # as the real one has it
    module.rmtree = rmtree


def _below_the_run(path: Any) -> bool:
    if isinstance(path, bytes) or os.path.islink(path):  # noqa: PTH114
        return False
    try:
        with open(os.path.join(os.environ["RECORDED_KEYS"], FOLDERS)) as file:  # noqa: PTH118, PTH123
            folders = file.read().splitlines()
    except (OSError, KeyError):
        return False
    whole = os.path.abspath(path)  # noqa: PTH100
    return any(whole.startswith(f"{folder}/") for folder in folders)


def _append(name: str, line: str) -> None:
    try:
        opened = os.open(f"{os.environ['RECORDED_KEYS']}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except (OSError, KeyError):
        # The run of tests is over and its folder gone; or this process may open no file now.
        return
    os.write(opened, line.encode() + b"\n")
    os.close(opened)


_CHANGES = {"keyctl.keys.key": note_keys, "shutil": keep_removed}


def watch() -> None:
    """Change what is loaded, and what will be."""
    if not any(finder.__name__ == _Watching.__name__ for finder in sys.meta_path if isinstance(finder, type)):
        for name, change in _CHANGES.items():
            if name in sys.modules:
                change(sys.modules[name])
        sys.meta_path.insert(0, _Watching)


if "RECORDED_KEYS" in os.environ:
    watch()
