"""The kube-apiservers and etcds that run on this machine, by their command lines, and etcd's by its own variables.

Reads /proc and nothing else, of those two programs only. Of an environment nothing is kept but what begins with ETCD_.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyctl.audit.facts import About, Program, Setting, Unread
from keyctl.audit.sources.flags import ETCD_PREFIX, environment_settings, flag_settings
from keyctl.findings import Evidence, Location
from keyctl.stored.display import display

PROC = Path("/proc")
_PROGRAMS = {"kube-apiserver": About.API_SERVER, "etcd": About.ETCD}
_BOTH = frozenset(_PROGRAMS.values())
# What tells processes of one program apart, and stays what it is when they are started again.
_TELLS = {About.API_SERVER: "secure-port", About.ETCD: "name"}
_CONFIG_FILE = "config-file"


def running(proc: Path = PROC) -> Iterator[Program | Unread]:
    """Every process of the two programs, in the order of their numbers; what could not be read is unread."""
    if not (proc / "1" / "comm").exists():
        yield Unread("the processes of others are not shown here", _BOTH, Location(str(proc)), Evidence.E2)
    for number in sorted(int(one.name) for one in proc.iterdir() if one.name.isdecimal()):
        process = proc / str(number)
        name = _name(process)
        if name in _PROGRAMS:
            yield from _process(process, name)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        # It ended meanwhile, or is hidden, which its neighbour 1 tells.
        return ""


def _process(process: Path, name: str) -> Iterator[Program | Unread]:
    about = _PROGRAMS[name]
    try:
        line = (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return
    except OSError as error:
        yield Unread(_because(error), frozenset({about}), Location(endpoint=f"process {name}"), Evidence.E2)
        return
    if not line:
        # One that has ended and was not waited for has no command line any more.
        return
    texts = [word.decode(errors="replace") for word in line.removesuffix(b"\0").split(b"\0")[1:]]
    place = _place(name, about, texts)
    flags = flag_settings(((text, place) for text in texts), etcds=about is About.ETCD, evidence=Evidence.E2)
    settings, hidden = tuple(flags), ""
    if about is About.ETCD:
        try:
            settings = (*_variables(process, place), *settings)
        except OSError as error:
            hidden = f"its environment is not read: {_because(error)}"
    yield _program(about, name, place, settings, hidden)


def _program(about: About, name: str, place: Location, settings: tuple[Setting, ...], hidden: str) -> Program:
    file = next((one for one in reversed(settings) if one.name == _CONFIG_FILE and one.value), None)
    if about is About.ETCD and file is not None:
        hidden, settings = f"it reads {file.value} and looks at nothing else", ()
    return Program(about, name, place, settings, Evidence.E2, hidden)


def _variables(process: Path, place: Location) -> Iterator[Setting]:
    prefix = ETCD_PREFIX.encode()
    own = [one for one in (process / "environ").read_bytes().split(b"\0") if one.startswith(prefix)]
    pairs = (one.decode(errors="replace").partition("=") for one in own)
    return environment_settings(((name, value, place) for name, _, value in pairs), evidence=Evidence.E2)


def _place(name: str, about: About, texts: list[str]) -> Location:
    words = ((text, Location()) for text in texts)
    told = {one.name: one.value for one in flag_settings(words, etcds=about is About.ETCD)}
    which = told.get(_TELLS[about], "")
    return Location(endpoint=display(f"process {name} {which}".rstrip()))


def _because(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()
