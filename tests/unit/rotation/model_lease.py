"""The Lease of a modelled cluster, which knows what its holder has been shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyctl.errors import StoppedError
from tests.support.sim_parts import SimLease

if TYPE_CHECKING:
    from tests.unit.rotation.model_cluster import ModelCluster


class WatchedLease(SimLease):
    """A Lease whose cluster knows what its holder has seen."""

    cluster: ModelCluster

    def acquire(self) -> None:
        """See `RotationLease`."""
        super().acquire()
        self.cluster.lease_in_doubt = False

    def check(self) -> None:
        """See `RotationLease`."""
        try:
            super().check()
        except StoppedError:
            self.cluster.saw_thief = True
            raise
        self.cluster.lease_in_doubt = False
