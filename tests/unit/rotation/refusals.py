"""A rotation that is refused before anything is touched, and what must be true then."""

from __future__ import annotations

import pytest

from keyctl.errors import KeyctlError
from keyctl.rotation.preflight import Wish
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE


def refused(cluster: SimCluster, wish: Wish = ROTATE) -> KeyctlError:
    """Why the rotation does not begin; nothing was asked of the user, and nothing has changed."""
    before = {server.name: dict(server.host.files) for server in cluster.servers}
    stored = cluster.etcds["https://10.0.0.9:2379"].revision
    with pytest.raises(KeyctlError) as caught:
        cluster.session().start(wish, confirm=lambda _: pytest.fail("the user was asked"))
    assert cluster.switch.labels == []
    assert {server.name: dict(server.host.files) for server in cluster.servers} == before
    assert cluster.etcds["https://10.0.0.9:2379"].revision == stored
    assert cluster.store_keys.records() == ()
    assert cluster.lease_record.place is None
    assert caught.value.hints
    return caught.value
