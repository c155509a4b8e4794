"""Files and directories → facts. Reads what is named and what lies below it; changes nothing, judges nothing.

Follows no link to a directory, looks at each file once, and says what it could not read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from keyctl.audit.checks import files
from keyctl.audit.facts import About, Configuration, Fact, Facts, FileFact, Git, Program, Unread
from keyctl.audit.sources import pem
from keyctl.audit.sources.fragments import Unit, Variables
from keyctl.audit.sources.git_index import is_tracked
from keyctl.audit.sources.link import link
from keyctl.audit.sources.read import hints, read
from keyctl.audit.sources.text import Text
from keyctl.errors import UnusableInputError
from keyctl.findings import Location
from keyctl.stored.display import display

# Larger files are no configuration; in those the words that tell are looked for in so much.
_LIMIT = 1024 * 1024
_SUFFIXES = frozenset(
    {"", ".cert", ".cfg", ".conf", ".config", ".crt", ".db", ".env", ".j2", ".json", ".key", ".pem", ".service"}
) | {".tftpl", ".tmpl", ".tpl", ".yaml", ".yml"}
_SKIPPED = frozenset({".git", ".terraform", ".tox", ".venv", "__pycache__", "node_modules"})
_STATIC_PODS = frozenset({"manifests", "pod-manifests"})
_DATABASE = (16, b"\xed\xda\x0c\xed")
_ANYTHING = frozenset({About.API_SERVER, About.ETCD, About.CONFIGURATION, About.AUDIT_POLICY})


def collect(paths: Sequence[Path], *, today: date) -> Facts:
    """Everything that `paths` tell. Raises `UnusableInputError` for one that is not there."""
    gits: dict[Path, _WorkTree | None] = {}
    seen: set[tuple[int, int]] = set()
    found: list[Fact | Unit | Variables] = []
    refused: list[OSError] = []
    looked = 0
    for path in (one for given in paths for one in _files(given, refused)):
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            found += _look(path, gits)
            looked += 1
        except OSError as error:
            found += _unreadable(path, error)
    found += [one for error in refused for one in _unreadable(Path(str(error.filename)), error)]
    return Facts(today, link(found), looked)


def _look(path: Path, gits: dict[Path, _WorkTree | None]) -> Iterator[Fact | Unit | Variables]:
    """What the file says, and what it is itself."""
    content = _head(path)
    facts = tuple(_facts(path, content))
    yield from facts
    role = _role(path, content, facts)
    if role:
        yield _file(path, role, gits)


class _WorkTree:
    """A Git work tree, with its index read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            self._index: bytes | None = (root / ".git" / "index").read_bytes()
        except NotADirectoryError:
            # A linked work tree or a submodule has its index elsewhere.
            self._index = None
        except FileNotFoundError:
            self._index = b"DIRC\0\0\0\2\0\0\0\0"
        except OSError:
            self._index = None

    def says(self, path: Path) -> Git:
        tracked = is_tracked(self._index or b"", os.fsencode(path.relative_to(self._root).as_posix()))
        return Git.UNTOLD if tracked is None else Git.TRACKED if tracked else Git.UNTRACKED


def _files(given: Path, refused: list[OSError]) -> Iterator[Path]:
    """The file itself, or the files below a directory in a fixed order; `refused` gets what cannot be listed."""
    if not given.exists():
        raise UnusableInputError(f"there is no {display(str(given))}", hint="name files or directories that are there")
    if given.is_file():
        yield given
        return
    if not given.is_dir():
        raise UnusableInputError(f"{display(str(given))} is neither a file nor a directory", hint="name one that is")
    for directory, below, names in os.walk(given, onerror=refused.append):
        below[:] = sorted(set(below) - _SKIPPED)
        yield from (Path(directory) / name for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT + 1)


def _facts(path: Path, content: bytes) -> Iterator[Fact | Unit | Variables]:
    name = display(str(path))
    if pem.has_certificate(content) and content.lstrip().startswith(b"-----"):
        yield from pem.read(name, content)
    elif _is_database(content):
        return
    elif len(content) > _LIMIT:
        about = hints(content)
        if about:
            yield Unread(f"it has more than {_LIMIT} bytes", about, Location(name))
    else:
        yield from read(Text(name, content))


def _unreadable(path: Path, error: OSError) -> Iterator[Fact]:
    name = display(str(path))
    yield Unread((error.strerror or "it cannot be read").lower(), _ANYTHING, Location(name))


def _role(path: Path, content: bytes, facts: Sequence[Fact | Unit | Variables]) -> str:
    """What the file is, for its mode; "" where that does not matter."""
    if any(isinstance(one, Configuration) for one in facts):
        return files.ENCRYPTION_CONFIG
    if any(isinstance(one, Program) for one in facts) and path.parent.name in _STATIC_PODS:
        return files.MANIFEST
    if content.lstrip().startswith(b"-----") and pem.has_private_key(content):
        return files.PRIVATE_KEY
    if content.lstrip().startswith(b"-----") and pem.has_certificate(content):
        return files.CERTIFICATE
    if _is_database(content):
        return files.DATA_DIRECTORY if path.parts[-3:] == ("member", "snap", "db") else files.SNAPSHOT
    return ""


def _is_database(content: bytes) -> bool:
    at, magic = _DATABASE
    return content[at : at + len(magic)] == magic


def _file(path: Path, role: str, gits: dict[Path, _WorkTree | None]) -> FileFact:
    shown = path.parents[2] if role == files.DATA_DIRECTORY else path
    status = shown.stat()
    # As it is spelled: a link is tracked under its own name.
    spelled = Path(os.path.abspath(path))  # noqa: PTH100 — Path.absolute leaves .. in it
    tree = _work_tree(spelled.parent, gits)
    git = tree.says(spelled) if tree else Git.OUTSIDE
    name = display(str(shown))
    return FileFact(name, role, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, Location(name), git)


def _work_tree(directory: Path, gits: dict[Path, _WorkTree | None]) -> _WorkTree | None:
    if directory not in gits:
        if (directory / ".git").exists():
            gits[directory] = _WorkTree(directory)
        else:
            gits[directory] = _work_tree(directory.parent, gits) if directory != directory.parent else None
    return gits[directory]
