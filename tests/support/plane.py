"""Control planes for tests: API servers of their own on a fresh prefix of the run's one etcd."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from keyctl.lab.plane import Lab, running_lab
from keyctl.lab.topology import EtcdAccess, Settings
from keyctl.lab.versions import DEFAULT_KUBERNETES
from tests.support.binaries import servers

_numbers = itertools.count(1)


class ControlPlanes(Protocol):
    """Starts a control plane that lives until the test ends."""

    def __call__(self, apiservers: int = 3, *, reload: bool = False, kubernetes: str = DEFAULT_KUBERNETES) -> Lab:
        """`apiservers` of the version `kubernetes`; with `reload` they follow changes of their encryption config."""
        ...


@contextmanager
def etcd_alone(directory: Path) -> Iterator[Lab]:
    """A lab of one etcd and nothing else."""
    settings = Settings(name=_name("etcd"), apiservers=0)
    with running_lab(settings, directory=directory / "etcd", programs=servers(), progress=_silent) as lab:
        yield lab


@contextmanager
def control_planes(etcd: EtcdAccess, directory: Path) -> Iterator[ControlPlanes]:
    """A starter of control planes on `etcd`, each under a prefix of its own and with its files below `directory`."""
    with ExitStack() as running:

        def start(apiservers: int = 3, *, reload: bool = False, kubernetes: str = DEFAULT_KUBERNETES) -> Lab:
            name = _name("plane")
            settings = Settings(
                name=name, apiservers=apiservers, reload=reload, kubernetes=kubernetes, prefix=f"/{name}", etcd=etcd
            )
            lab = running_lab(settings, directory=directory / name, programs=servers(kubernetes), progress=_silent)
            return running.enter_context(lab)

        yield start


def _name(kind: str) -> str:
    return f"test-{kind}-{os.getpid()}-{next(_numbers)}"


def _silent(line: str) -> None:
    """Nobody watches a test."""
