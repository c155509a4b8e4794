"""Files and directories → facts. Reads what is named and what lies below it; changes nothing, judges nothing.

Looks at each file once, and says what it could not read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from keyctl.audit.checks import files
from keyctl.audit.facts import About, Configuration, Fact, Facts, FileFact, Program, Unread
from keyctl.audit.inputs import InputFile
from keyctl.audit.names import base_of, known_as
from keyctl.audit.sources import crl, pem
from keyctl.audit.sources.fragments import Fragment
from keyctl.audit.sources.link import link
from keyctl.audit.sources.read import hints, read
from keyctl.audit.sources.text import Text
from keyctl.audit.walk import files as files_of
from keyctl.audit.walk import holds_static_pods
from keyctl.audit.work_trees import WorkTrees, worst
from keyctl.findings import Location
from keyctl.stored.display import display

# Larger files are no configuration; in those the words that tell are looked for in so much.
_LIMIT = 1024 * 1024
_DATABASE = (16, b"\xed\xda\x0c\xed")
_ANYTHING = frozenset(
    {About.API_SERVER, About.ETCD, About.CONFIGURATION, About.AUDIT_POLICY, About.CERTIFICATE, About.FILE}
)


def collect(paths: Sequence[Path], *, today: date) -> Facts:
    """Everything that `paths` tell. Raises `UnusableInputError` for one that is not there."""
    trees = WorkTrees()
    names: dict[tuple[int, int], list[FileFact]] = {}
    found: list[Fact | Fragment] = []
    inputs: list[InputFile] = []
    refused: list[OSError] = []
    told: set[str] = set()
    looked = 0
    for path in (one for given in paths for one in files_of(given, refused)):
        told.add(display(str(path)))
        try:
            if path.is_symlink() and not path.exists():
                # A link to nothing says nothing; a flag that names it is told to name what was not given.
                continue
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            file = (status.st_dev, status.st_ino)
            if file in names:
                names[file] += [_file(path, one.role, trees) for one in names[file][:1]]
                continue
            names[file] = []
            for one in _look(path, trees):
                if isinstance(one, FileFact):
                    names[file].append(one)
                elif isinstance(one, InputFile):
                    inputs.append(one)
                else:
                    found.append(one)
            looked += 1
        except OSError as error:
            found += _unreadable(path, error)
    found += [one for same in names.values() for one in _as_the_worst(same)]
    found += [one for error in refused for one in _unreadable(Path(str(error.filename)), error)]
    facts = link(found)
    told |= {one.location.file for one in facts if one.location.file}
    return Facts(today, (*facts, *inputs), looked, known_as(told, base_of(paths, trees)))


def _as_the_worst(names: list[FileFact]) -> Iterator[FileFact]:
    """The names of one file, each with what Git has to do with any of them."""
    yield from (replace(one, git=worst(other.git for other in names)) for one in names)


def _look(path: Path, trees: WorkTrees) -> Iterator[Fact | Fragment | InputFile]:
    """What the file says, and what it is itself."""
    content = _head(path)
    whole = len(content) <= _LIMIT
    yield InputFile(Location(display(str(path))), hashlib.sha256(content).hexdigest(), len(content), whole)
    facts = tuple(_facts(path, content))
    yield from facts
    role = _role(path, content, facts)
    if role:
        yield _file(path, role, trees)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT + 1)


def _facts(path: Path, content: bytes) -> Iterator[Fact | Fragment]:
    name = display(str(path))
    yield from crl.read(name, content)
    if pem.has_certificate(content):
        yield from pem.read(name, content)
    yield from pem.private_keys(name, content)
    if len(content) > _LIMIT and (pem.has_certificate(content) or pem.has_private_key(content)):
        yield Unread(f"it has more than {_LIMIT} bytes", frozenset({About.CERTIFICATE}), Location(name))
    if content.lstrip().startswith(b"-----BEGIN") or _is_database(content) or _is_audit_log(content):
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


def _role(path: Path, content: bytes, facts: Sequence[Fact | Fragment]) -> str:
    """What the file is, for its mode; "" where that does not matter."""
    if any(isinstance(one, Configuration) for one in facts):
        return files.ENCRYPTION_CONFIG
    if any(isinstance(one, Program) for one in facts) and holds_static_pods(path):
        return files.MANIFEST
    if pem.has_private_key(content):
        return files.PRIVATE_KEY
    if pem.has_certificate(content):
        return files.CERTIFICATE
    if _is_audit_log(content):
        return files.AUDIT_LOG
    if _is_database(content):
        return files.DATA_DIRECTORY if path.parts[-3:] == ("member", "snap", "db") else files.SNAPSHOT
    return ""


def _is_audit_log(content: bytes) -> bool:
    """Whether it begins as kube-apiserver writes its audit log: a line for each event, in JSON."""
    return content.startswith(b'{"kind":"Event","apiVersion":"audit.k8s.io/')


def _is_database(content: bytes) -> bool:
    at, magic = _DATABASE
    return content[at : at + len(magic)] == magic


def _file(path: Path, role: str, trees: WorkTrees) -> FileFact:
    shown = path.parents[2] if role == files.DATA_DIRECTORY else path
    status = shown.stat()
    name = display(str(shown))
    return FileFact(
        name,
        role,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        Location(name),
        trees.says(path),
        above=tuple(_above(shown)),
        checkout=trees.has_checked_out(path),
    )


def _above(path: Path) -> Iterator[tuple[str, int, int]]:
    """The directories that the file really lies in, and those that the links to it lie in."""
    # Path.absolute leaves .. in it.
    spelled = Path(os.path.abspath(path))  # noqa: PTH100
    for one in dict.fromkeys((*path.resolve().parents, *spelled.parents)):
        status = one.stat()
        yield display(str(one)), stat.S_IMODE(status.st_mode), status.st_gid
