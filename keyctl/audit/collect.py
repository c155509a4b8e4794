"""Files and directories → facts. Reads what is named and what lies below it; changes nothing, judges nothing.

Follows no link to a directory, looks at each file once, and says what it could not read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
# Names of snapshots have dates in them, and dots in these.
_SNAPSHOT = re.compile(r"snap|backup|\.db\b", re.IGNORECASE)
_DATABASE = (16, b"\xed\xda\x0c\xed")
_ANYTHING = frozenset({About.API_SERVER, About.ETCD, About.CONFIGURATION, About.AUDIT_POLICY})


def collect(paths: Sequence[Path], *, today: date) -> Facts:
    """Everything that `paths` tell. Raises `UnusableInputError` for one that is not there."""
    gits: dict[Path, _WorkTree | None] = {}
    names: dict[tuple[int, int], list[FileFact]] = {}
    found: list[Fact | Unit | Variables] = []
    refused: list[OSError] = []
    looked = 0
    for path in (one for given in paths for one in _files(given, refused)):
        try:
            if path.is_symlink() and not path.exists():
                # A link to nothing says nothing; a flag that names it is told to name what was not given.
                continue
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            file = (status.st_dev, status.st_ino)
            if file in names:
                names[file] += [_file(path, one.role, gits) for one in names[file][:1]]
                continue
            names[file] = []
            for one in _look(path, gits):
                if isinstance(one, FileFact):
                    names[file].append(one)
                else:
                    found.append(one)
            looked += 1
        except OSError as error:
            found += _unreadable(path, error)
    found += [one for same in names.values() for one in _as_the_worst(same)]
    found += [one for error in refused for one in _unreadable(Path(str(error.filename)), error)]
    return Facts(today, link(found), looked)


def _as_the_worst(names: list[FileFact]) -> Iterator[FileFact]:
    """The names of one file, each with what Git has to do with any of them."""
    gits = {one.git for one in names}
    worst = next((git for git in (Git.TRACKED, Git.UNTOLD, Git.UNTRACKED) if git in gits), Git.OUTSIDE)
    yield from (replace(one, git=worst) for one in names)


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
        found = (Path(directory) / name for name in sorted(names))
        yield from (one for one in found if _is_looked_at(one))


def _is_looked_at(path: Path) -> bool:
    """Whether its name lets it be one of ours; the kubelet reads what it finds, whatever its name."""
    if path.suffix.lower() in _SUFFIXES or _SNAPSHOT.search(path.name):
        return True
    return _directory(path).name in _STATIC_PODS and not path.name.startswith(".")


def _directory(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent  # noqa: PTH100 — a link stands where it is written


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT + 1)


def _facts(path: Path, content: bytes) -> Iterator[Fact | Unit | Variables]:
    name = display(str(path))
    if pem.has_certificate(content):
        yield from pem.read(name, content)
    if content.lstrip().startswith(b"-----BEGIN") or _is_database(content):
        return
    if len(content) > _LIMIT:
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
    if any(isinstance(one, Program) for one in facts) and _directory(path).name in _STATIC_PODS:
        return files.MANIFEST
    if content.lstrip().startswith(b"-----") and pem.has_private_key(content):
        return files.PRIVATE_KEY
    if pem.has_certificate(content):
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
