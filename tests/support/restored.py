"""What a snapshot holds, told by etcd's own programs: restored by etcdutl, served by a real etcd, read by etcdctl.

Shares no code with keyctl's reading of files.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.support.binaries import binary
from tests.support.etcd_process import RunningEtcd, running_etcd

_PEER = "http://127.0.0.1:1"


class Record(NamedTuple):
    """One value that was written, at the revision of that."""

    key: bytes
    revision: int
    value: bytes


@contextlib.contextmanager
def restored(snapshot: Path, folder: Path) -> Generator[RunningEtcd]:
    """A real etcd on what etcdutl restores from `snapshot`, with its files in the new `folder`."""
    folder.mkdir()
    command: list[str | Path] = [binary("etcdutl"), "snapshot", "restore", snapshot, "--data-dir", folder / "data"]
    command += ["--name", "one", "--initial-cluster", f"one={_PEER}", "--initial-advertise-peer-urls", _PEER]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with running_etcd(folder, trustme.CA()) as etcd:
        yield etcd


def head(etcd: RunningEtcd) -> int:
    """The newest revision."""
    revision: int = json.loads(etcd.etcdctl("get", "nothing", "-w", "json").stdout)["header"]["revision"]
    return revision


def live(etcd: RunningEtcd, prefix: str, revision: int) -> set[Record]:
    """What is there under `prefix` at `revision`."""
    answer = etcd.etcdctl("get", "--prefix", prefix, f"--rev={revision}", "-w", "json").stdout
    return {_record(pair) for pair in json.loads(answer).get("kvs", [])}


def written(etcd: RunningEtcd, prefix: str, first: int, last: int) -> set[Record]:
    """Every value that was written under `prefix` from revision `first` to `last`, at which one was: by a watch."""
    command = [str(binary("etcdctl")), *etcd.flags(), "watch", "--prefix", prefix, f"--rev={first}", "-w", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            return set(_puts(process, last)) if first <= last else set()
        finally:
            process.terminate()


def _puts(process: subprocess.Popen[bytes], last: int) -> Iterator[Record]:
    assert process.stdout is not None
    for line in process.stdout:
        for event in json.loads(line)["Events"]:
            if not event.get("type"):
                yield _record(event["kv"])
            if event["kv"]["mod_revision"] == last:
                return
    raise AssertionError("the watch ended early")


def _record(pair: dict[str, str]) -> Record:
    return Record(base64.b64decode(pair["key"]), int(pair["mod_revision"]), base64.b64decode(pair.get("value", "")))
