"""keyctl's census of a snapshot file beside a Go program over bbolt on one thread. No etcd runs meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from keyctl.etcd_files.snapshot_file import DIGEST_BYTES
from keyctl.keys.key import Provider
from tests.benchmarks.go_peer import go_census
from tests.benchmarks.made_snapshot import made_snapshot
from tests.benchmarks.measure import (
    ROOT,
    BenchError,
    Command,
    Cost,
    family_peak,
    in_turns,
    keyctl,
    python,
    ratios,
    without_start,
)
from tests.benchmarks.stored_values import put, sealed_secrets
from tests.benchmarks.table import Row, say, show
from tests.support import seal
from tests.support.binaries import binary
from tests.support.plane import etcd_alone

_PREFIX = "/aescbc"
_KEY = seal.key("key1", Provider.AESCBC)
MEMORY_RUNS = 3
FAMILY_PEAKS = "peaks are those of a process and its children together"
_BARE, _CHECKED = "go_census", "go_census -sha256"
_CENSUS, _CENSUS_BARE = "census, SHA-256 checked", "census, no SHA-256 in the file"
_WHOLE = "verify-secrets --snapshot, whole process"


def offline(folder: Path, values: int, pairs: int) -> None:
    """A snapshot that etcd itself made, counted by both."""
    folder.mkdir()
    peer, snapshot = str(go_census()), _snapshot(folder, values)
    bare = _without_digest(snapshot, folder / "bare.db")
    first = made_snapshot(folder / "one.db", 1)
    commands = {
        _CENSUS: census_of(snapshot, f"{_PREFIX}/", first),
        _CENSUS_BARE: census_of(bare, f"{_PREFIX}/", first),
        _BARE: Command((peer, str(snapshot)), tells=True),
        _CHECKED: Command((peer, "-sha256", str(snapshot)), tells=True),
        _WHOLE: Command(keyctl("verify-secrets", "--snapshot", str(snapshot), "--etcd-prefix", _PREFIX)),
    }
    for name in (_CENSUS, _CENSUS_BARE, _BARE, _CHECKED):
        require_counted(commands[name], values)
    costs = in_turns(commands, pairs)
    peaks = {name: family_peak(command, MEMORY_RUNS) for name, command in commands.items()}
    say(f"the snapshot has {snapshot.stat().st_size / 1_000_000:.0f} MB")
    show(
        f"offline census of {values} values of 1.1 KB, without their start; {FAMILY_PEAKS}",
        _rows(costs, peaks),
    )


def census_of(snapshot: Path, prefix: str, first: Path, *, repeat: int = 1) -> Command:
    """keyctl's census of `snapshot` without its start, which it spends on `first`."""
    words = python("tests.benchmarks.offline_census", str(repeat), prefix, str(first), str(snapshot))
    return Command(words, tells=True)


def _rows(costs: Mapping[str, tuple[Cost, ...]], peaks: Mapping[str, float]) -> list[Row]:
    # Like with like has a limit; a census that checks the digest beside a count that does not is for the reader.
    pairs = ((_CENSUS, _CHECKED, 1.0), (_CENSUS_BARE, _BARE, 1.0), (_CENSUS, _BARE, None))
    rows = [
        Row(
            ours,
            peer,
            ratios(without_start(costs[ours]), without_start(costs[peer])),
            limit,
            peaks[ours],
            peaks[peer],
        )
        for ours, peer, limit in pairs
    ]
    whole = ratios(costs[_WHOLE], costs[_CHECKED])
    return [*rows, Row(f"{_WHOLE}, leftovers too", f"{_CHECKED}, whole", whole, None, peaks[_WHOLE], peaks[_CHECKED])]


def _without_digest(snapshot: Path, path: Path) -> Path:
    """The database alone, as a copy of a member's file has it."""
    shutil.copyfile(snapshot, path)
    os.truncate(path, path.stat().st_size - DIGEST_BYTES)
    return path


def _snapshot(folder: Path, values: int) -> Path:
    """What `etcdctl snapshot save` makes of an etcd with so many Secrets."""
    path = folder / "snapshot.db"
    with etcd_alone(folder) as lab:
        say(f"writing {values} values for a snapshot")
        put(lab.etcd, sealed_secrets(_PREFIX, _KEY, values))
        access = lab.etcd
        reach = [f"--endpoints={access.endpoints[0]}", f"--cacert={access.cacert}"]
        reach += [f"--cert={access.cert}", f"--key={access.key}"]
        subprocess.run([binary("etcdctl"), *reach, "snapshot", "save", path], check=True, capture_output=True)
    return path


def require_counted(command: Command, values: int) -> None:
    """Whoever counts nothing is quick: `command` must find every value, all of them under one key."""
    wanted = {"values": values, "heads": {f"k8s:enc:{_KEY.provider}:v1:{_KEY.name}:": values}}
    done = subprocess.run(command.words, cwd=ROOT, capture_output=True, check=False)
    if done.returncode or json.loads(done.stdout) != wanted:
        said = (done.stdout + done.stderr).decode()[-2000:]
        raise BenchError(f"{' '.join(command.words)} did not count {values} values under one key: {said}")
