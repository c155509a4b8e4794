"""A simulated cluster and what its cluster file says of policy, for commands to work on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cluster_file.settings import WindowSettings
from keyctl.cluster_file.window import WEEKDAYS
from keyctl.keys.key import Provider
from keyctl.rotation.plan import History
from tests.support.sim_texts import KEY_1
from tests.support.simulator import SimCluster

MAX_AGE = timedelta(days=2)
DAY = 86_400.0
# The simulated time begins on Saturday 2026-11-21 at 10:00 UTC; two days and more later it is Monday.
OPEN = WindowSettings(WEEKDAYS, 10 * 60, 12 * 60, "UTC")
SHUT = WindowSettings(("Sat", "Sun"), 2 * 60, 5 * 60, "Europe/Berlin")


@dataclass
class Site:
    """A cluster, and what its cluster file says."""

    cluster: SimCluster
    window: WindowSettings | None = None

    def parts(self) -> wiring.RotationParts:
        return wiring.RotationParts(
            world=self.cluster.world(),
            state_directory=self.cluster.directory / "state" / "here",
            policy_provider=Provider.AESCBC,
            policy_resources=("secrets",),
            policy_history=History.COMPACT,
            key_max_age=MAX_AGE,
            policy_window=self.window,
        )

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on every command works on this."""

        @contextlib.contextmanager
        def rotation(_: Path | None) -> Iterator[wiring.RotationParts]:
            yield self.parts()

        monkeypatch.setattr(wiring, "rotation", rotation)


def site_of(cluster: SimCluster, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site that every command works on; its key was first seen now."""
    made = Site(cluster)
    made.cluster.store_keys.put(KEY_1, origin="imported")
    made.use(monkeypatch)
    return made


def if_due(*flags: str) -> int:
    """The exit code of `keyctl rotate --if-due`."""
    return main.run(["rotate", "--if-due", *flags])


def age(site: Site, days: float) -> None:
    """Let days pass."""
    site.cluster.clock.advance(days * DAY)
