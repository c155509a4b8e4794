"""What live tests share: one real etcd a run, and control planes of their own on it."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from keyctl.lab.topology import EtcdAccess
from tests.support import leak_watch
from tests.support.openbao import RunningBao, running_bao
from tests.support.plane import ControlPlanes, control_planes, etcd_alone

# NOTE: a shell starts its background jobs with SIGINT ignored, and every child inherits that; Ctrl-C is tested here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Machines are shared and noisy: how long an example takes says nothing.
settings.register_profile("keyctl", deadline=None)
settings.load_profile("keyctl")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole run for key bytes."""
    leak_watch.configure(config)


@pytest.fixture(autouse=True, scope="session")
def _watched_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    leak_watch.folder_of_the_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdAccess]:
    """One real etcd with mutual TLS for the whole run: give every test a prefix of its own."""
    with etcd_alone(tmp_path_factory.mktemp("etcd")) as lab:
        yield lab.etcd


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBao]:
    """One real OpenBao over TLS for the whole run: give every test a mount of its own, and leave it unsealed."""
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def mount(bao: RunningBao) -> str:
    """A KV engine of version 2 that nobody else uses."""
    return bao.engine(f"keyctl-{secrets.token_hex(4)}")


@pytest.fixture
def control_plane(etcd_server: EtcdAccess, tmp_path: Path) -> Iterator[ControlPlanes]:
    """Start API servers: `control_plane(3, reload=True)`. They are gone when the test ends."""
    with control_planes(etcd_server, tmp_path) as start:
        yield start
