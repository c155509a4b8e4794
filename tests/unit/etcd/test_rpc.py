from __future__ import annotations

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import pytest

from keyctl.etcd import rpc
from keyctl.etcd.rpc import CallError, Session
from keyctl.etcd.tls import MutualTls


class Blocking:
    """Items of a stream that waits for ever after the first ones; `cancel` ends the wait as gRPC does."""

    def __init__(self, *ready: str) -> None:
        self.ready = list(ready)
        self.cancelled = threading.Event()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.ready:
            return self.ready.pop(0)
        self.cancelled.wait(10)
        raise CallError("CANCELLED", "Locally cancelled by application!")


def test_etcd3_runs_on_messages_built_from_the_checked_in_api() -> None:
    # Field numbers of etcd's rpc.proto: key 1, limit 3, revision 4, serializable 7, count_only 9.
    program = (
        "from keyctl.etcd import rpc; import etcd3; "
        "request = etcd3.etcdrpc.RangeRequest(key=b'k', limit=5, revision=7, serializable=True, count_only=True); "
        "print(request.SerializeToString().hex())"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0a016b" + "1805" + "2007" + "3801" + "4801"
    assert done.stderr == ""


def test_a_stream_that_falls_silent_is_cancelled_after_the_idle_time() -> None:
    items = Blocking("one", "two")
    stream = rpc._limit_waits(items, 0.2, items.cancelled.set)
    assert [next(stream), next(stream)] == ["one", "two"]
    started = time.monotonic()
    with pytest.raises(CallError, match=r"DEADLINE_EXCEEDED: nothing arrived for 0\.2 s"):
        next(stream)
    assert time.monotonic() - started < 5


def test_the_time_that_the_consumer_takes_is_not_idle_time() -> None:
    items = Blocking("one", "two")
    stream = rpc._limit_waits(items, 0.1, items.cancelled.set)
    next(stream)
    time.sleep(0.4)
    assert next(stream) == "two"
    assert not items.cancelled.is_set()


def test_an_item_does_not_stay_while_the_next_one_is_waited_for() -> None:
    class Item:
        pass

    item = Item()
    seen = weakref.ref(item)
    kept: list[Item | None] = []

    def items() -> Generator[Item]:
        yield kept_back.pop()
        kept.append(seen())
        yield Item()

    kept_back = [item]
    del item
    stream = rpc._limit_waits(items(), 5.0, lambda: None)
    next(stream)
    next(stream)
    assert kept == [None]


def test_a_stream_that_is_dropped_half_way_is_cancelled() -> None:
    items = Blocking("one", "two")
    stream = rpc._limit_waits(items, 5.0, items.cancelled.set)
    next(stream)
    stream.close()
    assert items.cancelled.is_set()


def test_a_plaintext_channel_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        uses_secure_channel = False

    monkeypatch.setattr("keyctl.etcd.rpc.etcd3.client", lambda **_: Plain())
    with pytest.raises(RuntimeError, match="plaintext"):
        Session("127.0.0.1", 2379, MutualTls(Path("ca"), Path("crt"), Path("key")), timeout=1.0)


class Compaction(Protocol):
    revision: int
    physical: bool


def test_compaction_does_not_wait_for_the_disk_and_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bool, float]] = []

    def compact(request: Compaction, *, timeout: float, metadata: object) -> None:
        asked.append((request.revision, request.physical, timeout))

    client = SimpleNamespace(uses_secure_channel=True, kvstub=SimpleNamespace(Compact=compact), metadata=None)
    monkeypatch.setattr("keyctl.etcd.rpc.etcd3.client", lambda **_: client)
    Session("127.0.0.1", 2379, MutualTls(Path("ca"), Path("crt"), Path("key")), timeout=1.5).compact(70)
    assert asked == [(70, False, 1.5)]
