"""keyctl's rewriting of stale Secrets beside kubectl's and the in-tree migration's, on a lab with three API servers."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keyctl.keys.key import Key
from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.plane import Lab, running_lab
from keyctl.lab.seed import differences, plant, secrets_in
from keyctl.lab.topology import Settings
from tests.benchmarks.measure import (
    BenchError,
    Command,
    Cost,
    in_turns,
    keyctl,
    peak,
    python,
    ratios,
    run,
    without_start,
)
from tests.benchmarks.stored_values import write_config
from tests.benchmarks.table import Row, say, show
from tests.support import seal
from tests.support.binaries import binary, servers

_KEYS = (seal.key("key1", fill=1), seal.key("key2", fill=2))
_NAMESPACES = tuple(f"team-{number}" for number in range(10))
_STALE, _CLEAN = 11, 0


class _WriteKey:
    """The lab's write key, changed to and fro. After each change every Secret is stale."""

    def __init__(self, lab: Lab, environment: dict[str, str]) -> None:
        self._lab, self._environment = lab, environment
        self._rings = itertools.cycle((_KEYS, _KEYS[::-1]))
        self._now = self._load()

    def change(self) -> None:
        """See that the last run has left nothing stale, change the key, see that everything is stale."""
        self.require(_CLEAN)
        self._now = self._load()
        self.require(_STALE)

    def require(self, exit_code: int) -> None:
        """Ask keyctl whether all Secrets are under the write key. Raises `BenchError` for another answer."""
        words = keyctl("verify-secrets", "--require", f"{self._now.provider}:{self._now.name}")
        run(Command(words, self._environment, exit_code))

    def _load(self) -> Key:
        """Write the next ring to each server's file and restart all servers at once."""
        ring, names = next(self._rings), [server.name for server in self._lab.topology.servers]
        for name in names:
            path = self._lab.layout.server(name).encryption_config
            write_config(path.with_suffix(".new"), *ring).replace(path)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._lab.restart, names))
        return ring[0]


def rewriting(folder: Path, count: int, pairs: int) -> None:
    """Each rewrites all Secrets `pairs` times, in turns."""
    kubectl, programs = str(binary("kubectl")), servers()
    settings = Settings(name=f"bench-{os.getpid()}", apiservers=3, reload=True)
    with running_lab(settings, directory=folder / "lab", programs=programs, progress=say) as lab:
        environment = {
            "KUBECONFIG": str(lab.layout.kubeconfig),
            "KEYCTL_CLUSTER": str(lab.cluster_file),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        key = _WriteKey(lab, environment)
        say(f"creating {count} Secrets")
        secrets, context = secrets_in(_NAMESPACES, count), admin_credentials(lab.layout).context()
        plant(lab.topology.servers[0].url, context, secrets)
        costs = in_turns(_commands(lab, kubectl, environment), pairs, before=key.change)
        key.require(_CLEAN)
        if changed := differences(lab.topology.servers[0].url, context, secrets):
            raise BenchError(f"{len(changed)} Secrets came out changed, the first is {changed[0]}")
    ours, kubectls, migrations = costs["keyctl"], costs["kubectl"], costs["migration"]
    bare = without_start(ours)
    rows = [
        _row("keyctl", ours, "kubectl get | kubectl replace", kubectls, 1.6),
        _row("the same without its start", bare, "kubectl get | kubectl replace", kubectls, 1.6),
        _row("neither's start", bare, "StorageVersionMigration", without_start(migrations), 2.0),
    ]
    show(f"rate of rewriting {count} stale Secrets, three API servers", rows)


def _row(what: str, mine: Sequence[Cost], whose: str, theirs: Sequence[Cost], limit: float) -> Row:
    return Row(what, whose, ratios(theirs, mine), limit, peak(mine), peak(theirs), 120.0, more_is_better=True)


def _commands(lab: Lab, kubectl: str, environment: dict[str, str]) -> dict[str, Command]:
    program = shlex.quote(kubectl)
    pipe = f"{program} get secrets -A -o json | {program} replace -f -"
    return {
        "kubectl": Command(("/bin/sh", "-c", pipe), environment),
        "migration": Command(
            python("tests.benchmarks.migrate_stale", str(lab.cluster_file), str(lab.layout.root)),
            environment,
            tells=True,
        ),
        "keyctl": Command(python("tests.benchmarks.rewrite_stale", str(lab.cluster_file)), environment, tells=True),
    }
