"""What `keyctl verify-secrets` holds in memory while it reads a real etcd: bounded, whatever lies there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import trustme

from tests.benchmarks.measure import Command, keyctl, python, run
from tests.benchmarks.stored_values import write_config
from tests.support import seal
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter

pytestmark = pytest.mark.live

KEY = seal.key("key1")
# Streams held 75 MB, as many as there were and however slow their reader, and pages 95 MB.
STREAM_MEGABYTES, PAGES_MEGABYTES = 85, 115
# Where values become a hundred times as large all at once the answer on the way is as large as one may be.
GROWN_MEGABYTES = 140


def secrets(prefix: str, start: int, count: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(start, start + count):
        name = f"login-{number:06d}"
        etcd_key = f"{prefix}/secrets/team/{name}".encode()
        yield etcd_key, seal.seal(KEY, etcd_key, seal.secret(name, "team", size=size))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), trustme.CA()) as running:
        with EtcdWriter(running) as writer:
            writer.put(secrets("/alike", 0, 30_000, 880))
            writer.put(secrets("/grown", 0, 15_000, 300))
            for start in range(15_000, 15_900, 10):
                writer.put(secrets("/grown", start, 10, 60_000))
        yield running


def peak(etcd: RunningEtcd, folder: Path, prefix: str, *program: str) -> float:
    """The most megabytes that the whole process held; it must have opened every value."""
    config = write_config(folder / "enc.yaml", KEY)
    tls = etcd.tls
    flags = ("--endpoints", etcd.url, "--cacert", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key))
    words = ("verify-secrets", *flags, "--etcd-prefix", prefix, "--encryption-config", str(config))
    command = python("tests.support.hindered_keyctl", *program, *words) if program else keyctl(*words)
    return run(Command(command)).megabytes


def test_a_stream_is_read_in_little_memory(etcd: RunningEtcd, tmp_path: Path) -> None:
    assert peak(etcd, tmp_path, "/alike") < STREAM_MEGABYTES


def test_a_slow_reader_lets_nothing_pile_up(etcd: RunningEtcd, tmp_path: Path) -> None:
    assert peak(etcd, tmp_path, "/alike", "slow") < STREAM_MEGABYTES


def test_pages_are_read_in_little_memory(etcd: RunningEtcd, tmp_path: Path) -> None:
    assert peak(etcd, tmp_path, "/alike", "pages") < PAGES_MEGABYTES


def test_values_that_grow_all_at_once_do_not_fill_the_memory_from_a_stream(etcd: RunningEtcd, tmp_path: Path) -> None:
    assert peak(etcd, tmp_path, "/grown") < GROWN_MEGABYTES


def test_values_that_grow_all_at_once_do_not_fill_the_memory_in_pages(etcd: RunningEtcd, tmp_path: Path) -> None:
    assert peak(etcd, tmp_path, "/grown", "pages") < GROWN_MEGABYTES
