"""A throw-away control plane on loopback, restored from a backup by the parts of the lab; gone once it has answered."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from keyctl.backup.restore_test import Plane, Served, Trial, Trialled
from keyctl.backup.scratch import scratch_directory
from keyctl.cli import wiring
from keyctl.cluster_file.read import load
from keyctl.errors import RefusedError
from keyctl.kube.interface import ApiServer
from keyctl.lab import build
from keyctl.lab.bring_up import Origin
from keyctl.lab.plane import running_lab
from keyctl.lab.topology import Settings
from keyctl.lab.versions import SERVERS

Progress = Callable[[str], None]
# NOTE: definitions that were restored are served a moment after the server is ready.
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 1.0
# NOTE: etcd allocates its WAL ahead, 64 MB a file, and an API server writes a little of its own.
_SPARE = 300_000_000


def plane(progress: Progress, *, scratch: Path | None, may_build: bool) -> Plane | None:
    """What restores into a directory of its own below `scratch`; None when the programs are not there.

    With `may_build` they are built where they are missing, which takes minutes the first time.
    """
    programs = build.binaries(SERVERS, progress=progress) if may_build else build.at_hand(SERVERS)
    if programs is None:
        return None

    def tried(trial: Trial) -> Trialled:
        return _tried(trial, programs, progress, scratch)

    return tried


def _tried(trial: Trial, programs: dict[str, Path], progress: Progress, scratch: Path | None) -> Trialled:
    settings = Settings(
        name=f"restore-{secrets.token_hex(4)}", members=1, apiservers=1, reload=True, prefix=trial.prefix
    )
    origin = Origin(trial.snapshot, trial.config, trial.digest)
    parent = Path(scratch or tempfile.gettempdir())
    _check_room(trial.snapshot, parent)
    # NOTE: a run that is killed leaves keys and an open snapshot in it; in a scratch directory the next one finds them.
    with scratch_directory(parent) as kept, tempfile.TemporaryDirectory(prefix="restore-test-", dir=kept) as folder:
        place = Path(folder) / "plane"
        with running_lab(settings, directory=place, programs=programs, progress=progress, origin=origin) as lab:
            known = load(lab.cluster_file)
            server = wiring.api_server(known, known.api_servers[0])
            progress(f"asking kube-apiserver for {', '.join(trial.resources)}")
            return Trialled(server.probe().version, _served(server, trial.resources))


def _check_room(snapshot: Path, folder: Path) -> None:
    """Raise `RefusedError` where the copy, and what an etcd writes beside it, would fill the disk."""
    needed, free = 2 * snapshot.stat().st_size, shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise RefusedError(
            f"there is no room in {folder} to restore {snapshot}",
            cause=f"{free / 1e6:.0f} MB are free, and {(needed + _SPARE) / 1e6:.0f} MB are needed",
            hint="name another directory with --scratch, or leave the servers out with --offline",
        )


def _served(server: ApiServer, wanted: Mapping[str, int]) -> tuple[Served, ...]:
    """What the server lists of each resource; what it does not is asked for again for a while."""
    clock = wiring.SystemClock()
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while True:
        listed = (server.list_metadata(name) for name in wanted)
        found = tuple(Served(one.resource, wanted[one.resource], one.count, one.problem) for one in listed)
        if all(one.good for one in found) or clock.monotonic() > deadline:
            return found
        clock.sleep(_POLL_SECONDS)
