"""keyctl's census of a snapshot as a process that times it: what it costs without the start.

`python -m tests.benchmarks.offline_census REPEAT PREFIX FIRST SECOND`: the file FIRST is counted once, so that
everything is loaded, then SECOND, REPEAT times. Standard output gets what SECOND holds, as `go_census` says it:
{"values", "heads"}; the mean of the REPEAT times is the last line of standard error.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from keyctl.etcd_files.snapshot_file import ALIGNMENT, SHA256_ABSENT, SHA256_OK
from keyctl.etcd_files.source import SnapshotSource
from keyctl.stored.census import Census, CensusResult


def run(repeat: int, prefix: bytes, first: Path, second: Path) -> None:
    """Count both, print the answer and the time. `RuntimeError` where a SHA-256 was there and not checked."""
    count(first, prefix)
    begun = time.perf_counter()
    for _ in range(repeat):
        result = count(second, prefix)
    elapsed = time.perf_counter() - begun
    heads = {f"k8s:enc:{group.provider}:{group.version}:{group.key}:": group.values for group in result.groups}
    sys.stdout.write(json.dumps({"values": result.values, "heads": heads}))
    sys.stderr.write(f"{elapsed / repeat}\n")


def count(path: Path, prefix: bytes) -> CensusResult:
    """All that lies under `prefix`, classified and counted; the SHA-256 is checked where there is one."""
    source, census = SnapshotSource(path), Census(prefix, None)
    for batch in source.batches(prefix):
        census.add(batch)
    info, result = source.info(), census.result()
    wanted = SHA256_OK if path.stat().st_size % ALIGNMENT else SHA256_ABSENT
    if info.integrity != wanted or info.count != result.values:
        raise RuntimeError(f"{path} was not counted whole")
    return result


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2].encode(), Path(sys.argv[3]), Path(sys.argv[4]))
