"""A rotation by processes that kill themselves with SIGKILL after an effect, each effect once.

`python -m tests.support.killed_keyctl DONE_FILE JOURNAL` runs `keyctl rotate` with
its real parts, each effect watched, and runs it again, resuming what the journal
says was begun, until it ends by itself. `DONE_FILE` holds the points that have had
their kill; a process dies at the first one that is not in it, after writing it
there. Each is forked from this one, which has loaded all modules and opened nothing.

Each effect has its intent in the journal right before it, an effect of its own, so
"before" is the "after" of that one. Settling is cut short: it is waiting, and every
process that comes back to it would wait anew.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from keyctl.cli import main, wiring
from keyctl.rotation import leaving, pacing, patching
from keyctl.rotation.journal import Journal

Label = Callable[..., str]

# Small, so that there are several.
_BATCH = 50

# What a rotation loads on its way.
_MODULES = (
    "keyctl.cli.commands.rotate",
    "keyctl.etcd.client",
    "keyctl.etcd_files.source",
    "keyctl.hosts.local",
    "keyctl.keys.file_store",
    "keyctl.kube.credentials",
    "keyctl.kube.lease",
    "keyctl.kube.servers",
    "keyctl.pki.probe",
    "kubernetes.config",
)


class Killer:
    """Dies at the first point that has not had its kill."""

    def __init__(self, done: Path) -> None:
        self._path = done
        self._done = set(done.read_text().splitlines()) if done.exists() else set()

    def reach(self, point: str) -> None:
        if point in self._done:
            return
        with self._path.open("a") as stream:
            stream.write(point + "\n")
        os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """Any part, with the methods in `effects` watched: each maps to a label made of its arguments."""

    def __init__(self, real: object, killer: Killer, effects: Mapping[str, Label]) -> None:
        self._real, self._killer, self._effects = real, killer, effects

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        label = self._effects.get(name)
        if label is None:
            return method

        def watched(*args: Any, **kwargs: Any) -> Any:
            effect = label(*args, **kwargs)
            result = method(*args, **kwargs)
            self._killer.reach(f"after {effect}")
            return result

        return watched


def _watch(parts: wiring.RotationParts, killer: Killer) -> wiring.RotationParts:
    def host(name: str) -> dict[str, Label]:
        return {
            "write": lambda path, *_, expected, **__: f"write {Path(path).name} of {name} over {expected}",
            "restart": lambda: f"restart {name} at {_file_hash(name)}",
        }

    def _file_hash(name: str) -> str:
        server = world.server(name)
        file = server.host.read(server.config_path)
        return "nothing" if file is None else file.sha256

    world, batches = parts.world, itertools.count(1)
    api: dict[str, Label] = {
        "patch_empty": lambda refs, **_: (
            "patch the canary" if len(refs) == 1 else f"patch a batch, the {next(batches)}."
        ),
        "create_canary": lambda *_: "create a canary",
        "delete_canary": lambda *_: "delete a canary",
    }
    store: dict[str, Label] = {
        "put": lambda _, origin: f"put a key {origin}",
        "note_state": lambda *_: "note a state",
        "note_backup": lambda backup: f"note a {backup.kind}, {'-after-' in backup.location}",
    }
    etcd: dict[str, Label] = {
        "save_snapshot": lambda path, **_: f"save the {'second' if '-after-' in path.name else 'first'} snapshot",
        "compact": lambda _: "compact",
    }
    servers: Any = tuple(
        replace(server, host=Watched(server.host, killer, host(server.name)), api=Watched(server.api, killer, api))
        for server in world.servers
    )
    etcds: Any = tuple(replace(place, etcd=Watched(place.etcd, killer, etcd)) for place in world.etcds)
    watched_store: Any = Watched(world.store, killer, store)
    return replace(parts, world=replace(world, servers=servers, etcds=etcds, store=watched_store))


def _record(kind: str, _at: object, fields: Mapping[str, object]) -> str:
    what = [str(fields[name]) for name in ("step", "state", "of", "times", "server", "stage") if name in fields]
    return " ".join(("journal", kind, *what))


def run(done: Path, arguments: list[str]) -> int:
    """Run keyctl with `arguments`, watched."""
    killer = Killer(done)
    build, append = wiring.rotation_parts, Journal.append

    def watched_append(self: Journal, kind: str, at: Any, fields: Mapping[str, object]) -> None:
        point = _record(kind, at, fields)
        append(self, kind, at, fields)
        killer.reach(f"after {point}")

    pacing.SMALLEST_BATCH = pacing.LARGEST_BATCH = _BATCH
    vars(patching)["Pace"] = functools.partial(pacing.Pace, size=_BATCH)
    leaving.Leaving._wait_out = lambda self, since: None  # type: ignore[method-assign]  # see the module
    wiring.rotation_parts = lambda settings: _watch(build(settings), killer)
    Journal.append = watched_append  # type: ignore[method-assign]  # this process exists to be killed in there
    return main.run(arguments)


def run_until_it_ends(done: Path, journal: Path) -> int:
    """Fork one process after the other; the exit code of the one that was not killed."""
    for module in _MODULES:
        importlib.import_module(module)
    while True:
        begun = '"kind": "begin"' in (journal.read_text() if journal.exists() else "").rpartition('"kind": "end"')[2]
        child = os.fork()
        if child == 0:
            os._exit(run(done, ["rotate", "--resume"] if begun else ["rotate", "--yes"]))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            return code


if __name__ == "__main__":
    sys.exit(run_until_it_ends(Path(sys.argv[1]), Path(sys.argv[2])))
