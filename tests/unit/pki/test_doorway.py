"""What the ports of members are tried with, where one of the CAs has ended; the rest is seen on real members."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.pki.authority import Terms, create
from keyctl.pki.doorway import Address, ports
from keyctl.pki.generation import Generation, Port
from keyctl.pki.parties import Member

DAY = timedelta(days=1)


@pytest.mark.parametrize("one_ca", [False, True])
def test_a_roll_over_goes_on_when_the_old_ca_has_ended_on_the_way(tmp_path: Path, one_ca: bool) -> None:
    now, members = datetime.now(UTC), [Member("m1", ("127.0.0.1",))]
    layouts = {
        generation: create(
            tmp_path / generation.value, members, [], Terms(now, DAY), ca_lifetime=days * DAY, one_ca=one_ca
        )
        for generation, days in ((Generation.OLD, 2), (Generation.NEW, 9))
    }
    # Nobody listens there.
    addresses = {("m1", port): Address("127.0.0.1", 1) for port in Port}
    with ports(layouts, addresses, now + 3 * DAY) as found:
        for port in Port:
            assert found.lets_in("m1", port, Generation.OLD) is False
            assert found.lets_in("m1", port, Generation.NEW) is None
            assert found.shown("m1", port) is None
        assert not found.ready("m1")
