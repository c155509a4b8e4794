"""An etcd that is close to its quota, or at it: nothing is written beyond it, and the way on leads out of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator

import pytest

from keyctl.lab import flags
from keyctl.lab.layout import Layout
from keyctl.lab.plane import Lab
from keyctl.lab.topology import Member, Topology
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.scene import RESUME, ROTATE, WAY_ON, done, names, settled, told
from tests.museum.site import Site, site
from tests.support import by_hand
from tests.support.binaries import binary
from tests.support.server_flags import set_flags

pytestmark = pytest.mark.live

QUOTA = 192_000_000
PIECE = b"x" * 1_000_000
BALLAST = "/ballast"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Members with a small quota, API servers that compact every other minute. Each test leaves a finished rotation."""
    usual = flags.etcd_command

    def with_quota(member: Member, topology: Topology, layout: Layout) -> tuple[str, ...]:
        return (*usual(member, topology, layout), f"--quota-backend-bytes={QUOTA}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "etcd_command", with_quota)
        with site(tmp_path_factory.mktemp("room")) as made:
            for name in made.apiservers:
                set_flags(made.seeded.lab, name, etcd_compaction_interval="2m")
            done(made.seeded.keyctl("enable", "--yes"))
            yield made


def statuses(lab: Lab) -> list[dict[str, object]]:
    """What etcdctl says of every member."""
    etcd = lab.etcd
    command = [str(binary("etcdctl")), "endpoint", "status", "-w", "json", f"--endpoints={','.join(etcd.endpoints)}"]
    command += [f"--cacert={etcd.cacert}", f"--cert={etcd.cert}", f"--key={etcd.key}"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return [member["Status"] for member in answer]


def largest(lab: Lab, what: str) -> int:
    """The largest value that a member tells of `dbSize` or `dbSizeInUse`, in bytes."""
    return max(int(str(status[what])) for status in statuses(lab))


def fill(lab: Lab, share: float) -> None:
    """Overwrite a value, again and again, until its history takes so much of the quota."""
    while largest(lab, "dbSize") < share * QUOTA:
        by_hand.put(lab.etcd, BALLAST, PIECE)


def fill_nearly(lab: Lab) -> None:
    """The same, until there is not much left but no need to defragment: the last pieces fit into freed pages."""
    fill(lab, 0.975)
    while largest(lab, "dbSizeInUse") < 0.963 * QUOTA:
        by_hand.put(lab.etcd, BALLAST, PIECE[:50_000])


def fill_up(lab: Lab) -> None:
    """The same until etcd takes no more and has raised its alarm."""
    with contextlib.suppress(subprocess.CalledProcessError):
        while True:
            by_hand.put(lab.etcd, BALLAST, PIECE)
    assert any("NOSPACE" in str(status.get("errors")) for status in statuses(lab))


def empty(place: Site) -> None:
    """What the hints say: compact, defragment, and take the alarm back.

    Exit 11: part of a rotation is yet to come. 15: changes go on, so pages are freed whose contents nothing explains.
    """
    sanitized = place.seeded.keyctl("sanitize", "--yes")
    assert sanitized.code in {0, 11, 15}, sanitized.stdout + sanitized.stderr
    assert "3 members defragmented" in sanitized.stdout
    assert not any(status.get("errors") for status in statuses(place.seeded.lab))


def test_rewriting_waits_for_a_compaction_while_etcd_is_nearly_full_and_then_goes_on(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        paused = place.seeded.keyctl(*ROTATE, "--pause-after", "switched")
        assert paused.code == 6, paused.stderr
        fill_nearly(lab)
        resumed = place.seeded.keyctl(*RESUME)
        done(resumed)
        assert "etcd is nearly full, waiting for its next compaction" in resumed.stderr
    place.nothing_lost(load)
    settled(place, was)
    empty(place)


def test_a_rotation_is_refused_at_the_quota_and_begins_once_there_is_room(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        fill_up(lab)
        refused = place.seeded.keyctl(*ROTATE)
        told(refused, 5, "preflight", "etcd has no room left", "NOSPACE", "keyctl sanitize")
        empty(place)
        done(place.seeded.keyctl(*ROTATE))
    place.nothing_lost(load)
    settled(place, was)
    empty(place)


def test_an_alarm_half_way_stops_the_rewriting_and_once_there_is_room_the_rotation_ends(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        paused = place.seeded.keyctl(*ROTATE, "--pause-after", "switched")
        assert paused.code == 6, paused.stderr
        fill_up(lab)
        told(place.seeded.keyctl(*RESUME), 6, "R15", "NOSPACE", "keyctl sanitize", WAY_ON)
        assert was in names(lab, "cp1")
        empty(place)
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was)
    empty(place)


def test_an_alarm_while_servers_are_restarted_stops_it_and_once_there_is_room_the_rotation_ends(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        fill(lab, 0.8)
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.ADDING)
        fill_up(lab)
        stopped = rotating.wait()
        assert stopped.code in {5, 6}, stopped.stderr
        told(stopped, stopped.code, "R15", "NOSPACE", "keyctl sanitize", WAY_ON)
        assert was in names(lab, "cp1")
        empty(place)
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was)
    empty(place)
