"""The in-tree migration of Secrets as a process: create it, keep its cache awake, wait until it says that it is done.

`python -m tests.benchmarks.migrate_stale CLUSTER_FILE LAB_DIRECTORY`. It starts a
controller manager of its own first, for one that has lost its servers connects
again when it likes. Without a change now and then a migration idles for a minute
before it begins, which says nothing about its rate; so a Secret of ours comes and
goes meanwhile. The last line of standard error is how many seconds it took
without the start of either process.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

from keyctl.cli import wiring
from keyctl.kube.interface import MigrationState
from keyctl.lab.plane import find
from keyctl.rotation.world import CANARY_NAMESPACE
from tests.support.controller_manager import controller_manager

_POLL = 0.05
_AWAKE_EVERY = 10
_SECONDS = 300.0
# Once it leads, its caches fill.
_CACHES = 10.0


def migrate(cluster: Path, directory: Path) -> None:
    """Run one migration of Secrets to its end. Raises `RuntimeError` when it fails or takes too long."""
    with (
        tempfile.TemporaryDirectory() as folder,
        controller_manager(find("", directory), Path(folder)),
        wiring.rotation(cluster) as parts,
    ):
        api = parts.world.servers[0].api
        time.sleep(_CACHES)
        begun = time.perf_counter()
        migration = api.migrations.create("keyctl-bench-secrets", "secrets")
        for turn in itertools.count():
            found = api.migrations.find(migration.name)
            if found is not None and found.state is MigrationState.SUCCEEDED:
                break
            if found is None or found.state is MigrationState.FAILED or time.perf_counter() - begun > _SECONDS:
                raise RuntimeError(f"the migration did not succeed: {found}")
            if turn % _AWAKE_EVERY == 0:
                api.delete_canary(api.create_canary(CANARY_NAMESPACE, f"keyctl-canary-bench-{turn}"))
            time.sleep(_POLL)
        took = time.perf_counter() - begun
        api.migrations.delete(migration)
    sys.stderr.write(f"{took}\n")


if __name__ == "__main__":
    migrate(Path(sys.argv[1]), Path(sys.argv[2]))
