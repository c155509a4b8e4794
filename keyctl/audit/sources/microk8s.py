"""MicroK8s keeps the flags of a program in a file of its name, one a line, under a directory called args."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

from keyctl.audit.facts import About, Absent, Program, Setting
from keyctl.audit.sources.flags import flag_settings
from keyctl.audit.sources.text import Found, Text
from keyctl.findings import Location

_PROGRAMS = {"kube-apiserver": About.API_SERVER, "etcd": About.ETCD}
_SOCKET = "unix://"


def is_one(text: Text) -> bool:
    """Whether the file stands where MicroK8s has its flags."""
    directory, name = posixpath.split(text.name)
    return posixpath.basename(directory) == "args" and name in _PROGRAMS


def read(text: Text) -> Iterator[Found]:
    """The program; an API server that stores in dqlite, behind a socket, has no etcd."""
    name = posixpath.basename(text.name)
    settings = tuple(flag_settings(_words(text), etcds=name == "etcd"))
    yield Program(_PROGRAMS[name], name, text.at(1), settings)
    store = _store(settings)
    if name == "kube-apiserver" and store is not None:
        yield Absent(About.ETCD, "kine", "the datastore is dqlite, no etcd", store.location)


def _store(settings: tuple[Setting, ...]) -> Setting | None:
    return next((one for one in settings if one.name == "etcd-servers" and one.value.startswith(_SOCKET)), None)


def _words(text: Text) -> Iterator[tuple[str, Location]]:
    for number, line in enumerate(text.content.decode("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                parts = shlex.split(line)
            except ValueError:
                parts = line.split()
            yield from ((part, text.at(number)) for part in parts)
