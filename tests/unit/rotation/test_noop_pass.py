"""The second pass: what it proves when nothing moves, and that it does not prove it when something does."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import StoppedError, UnreachableError
from keyctl.kube.interface import ObjectRef
from keyctl.rotation.noop_pass import second_pass
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish
from keyctl.rotation.sending import Site
from tests.support.fake_kube import FakeApiServer, FakeCluster, key_of
from tests.support.sim_clock import SimClock
from tests.support.sim_parts import Watcher
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import SCENES, assert_done, begin

BY_RESTART = SCENES[2]
WISH = Wish(Goal.ROTATE, second_pass=True)


class Place:
    """Three servers of a fake cluster, and what was journaled."""

    def __init__(self, objects: int = 30) -> None:
        self.cluster, self.journal = FakeCluster(), list[dict[str, object]]()
        self.refs = [self.cluster.add("secrets", "shop", f"db-{number}") for number in range(objects)]
        self.servers = tuple(FakeApiServer(f"cp{number}", self.cluster) for number in (1, 2, 3))
        self.site = Site(
            servers=self.servers,
            served={"secrets": "v1"},
            etcds=(),
            count=lambda: pytest.fail("the pass does not look into etcd"),
            write=lambda kind, fields: self.journal.append({"kind": kind, **fields}),
            breathe=lambda: None,
            clock=SimClock(),
            reporter=Watcher(),
            tag="r1",
        )

    def written(self) -> int:
        """The revision of one more write."""
        self.cluster.revision += 1
        return self.cluster.revision

    def go(self) -> None:
        second_pass(self.site, ("secrets",))


def test_nothing_moves_and_that_is_the_proof() -> None:
    place = Place()
    place.go()
    assert place.journal == [
        {
            "kind": "proof",
            "of": "second-pass",
            "resources": ["secrets"],
            "servers": [{"server": name, "objects": 30, "moved": 0} for name in ("cp1", "cp2", "cp3")],
        }
    ]
    for server in place.servers:
        assert server.requests.count(("patch", "secrets")) == 30


def test_what_is_stale_once_moves_once_and_is_proven_after() -> None:
    place = Place()
    place.cluster.objects[key_of(place.refs[3])].stale = True
    place.go()
    assert place.journal[0]["servers"] == [
        {"server": "cp1", "objects": 30, "moved": 1},
        {"server": "cp2", "objects": 30, "moved": 0},
        {"server": "cp3", "objects": 30, "moved": 0},
    ]


def test_an_object_that_somebody_changes_meanwhile_is_asked_about_again() -> None:
    place = Place()
    changes = iter(range(3))

    def change(verb: str, resource: str) -> None:
        if verb == "patch" and next(changes, None) is not None:
            place.cluster.revision += 1
            place.cluster.objects[key_of(place.refs[0])].resource_version = place.cluster.revision

    place.servers[1].before = change
    place.go()
    assert place.journal[0]["of"] == "second-pass"


def test_servers_that_write_with_different_keys_move_each_others_objects_and_nothing_is_proven() -> None:
    place = Place(objects=5)
    last: dict[tuple[str, str | None, str], str] = {}

    def write(server: FakeApiServer, ref: ObjectRef) -> int | None:
        key = "new" if server.name != "cp3" else "old"
        if last.get(key_of(ref), "new") == key:
            return None
        last[key_of(ref)] = key
        place.cluster.revision += 1
        return place.cluster.revision

    place.cluster.write = write
    with pytest.raises(StoppedError) as caught:
        place.go()
    assert "5 objects move" in str(caught.value)
    assert "shop/db-0" in (caught.value.cause or "")
    assert place.journal == []


def test_only_the_last_server_is_odd_and_it_is_still_seen() -> None:
    place = Place(objects=1)
    place.cluster.write = lambda server, _: place.written() if server.name == "cp3" else None
    with pytest.raises(StoppedError, match="1 objects move"):
        place.go()


def test_more_movers_than_can_be_coincidence_stop_it_without_being_kept() -> None:
    place = Place(objects=1_200)
    place.cluster.make_stale()
    place.cluster.write = lambda *_: place.written()
    with pytest.raises(StoppedError, match="1000 objects move"):
        place.go()


def test_an_object_that_is_refused_is_not_proven() -> None:
    place = Place()
    place.servers[2].answers[key_of(place.refs[7])] = (403, 'admission webhook "w.test" denied the request: no')
    with pytest.raises(StoppedError) as caught:
        place.go()
    assert "shop/db-7" in (caught.value.cause or "")
    assert any("webhook w.test" in hint for hint in caught.value.hints)
    assert place.journal == []


def test_an_object_that_is_gone_meanwhile_proves_nothing_and_harms_nothing() -> None:
    place = Place()

    def forget(verb: str, resource: str) -> None:
        place.cluster.objects.pop(key_of(place.refs[29]), None)

    place.servers[0].before = lambda verb, resource: forget(verb, resource) if verb == "patch" else None
    place.go()
    assert place.journal[0]["of"] == "second-pass"


def test_an_object_whose_patch_meets_a_conflict_is_asked_about_again_and_not_taken_for_proven() -> None:
    place = Place()
    key = key_of(place.refs[7])
    place.servers[1].answers[key] = (409, "the object has been modified")
    asked = [0]

    def let_it_through(verb: str, resource: str) -> None:
        asked[0] += verb == "patch"
        if asked[0] > 30:
            place.servers[1].answers.pop(key, None)

    place.servers[1].before = let_it_through
    place.go()
    assert place.servers[1].requests.count(("patch", "secrets")) > 30
    assert place.journal[0]["servers"] == [
        {"server": "cp1", "objects": 30, "moved": 0},
        {"server": "cp2", "objects": 30, "moved": 1},
        {"server": "cp3", "objects": 30, "moved": 0},
    ]


def test_one_that_meets_nothing_but_conflicts_leaves_no_proof() -> None:
    place = Place()
    place.servers[1].answers[key_of(place.refs[7])] = (409, "the object has been modified")
    with pytest.raises(StoppedError, match="1 objects move") as caught:
        place.go()
    assert "shop/db-7" in (caught.value.cause or "")
    assert place.journal == []


def test_an_object_that_was_replaced_is_none_of_those_that_it_is_about() -> None:
    place = Place()

    def replace_one(verb: str, resource: str) -> None:
        if verb == "patch" and place.refs[7].uid == place.cluster.objects[key_of(place.refs[7])].uid:
            place.cluster.add("secrets", "shop", "db-7")

    place.cluster.objects[key_of(place.refs[7])].stale = True
    place.servers[1].before = replace_one
    place.go()
    assert place.journal[0]["of"] == "second-pass"


def test_a_server_that_is_down_leaves_no_proof() -> None:
    place = Place()
    place.servers[1].down = True
    with pytest.raises(UnreachableError):
        place.go()
    assert place.journal == []


def test_a_rotation_records_it_before_the_raw_proof(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), WISH)
    labels = cluster.switch.labels
    assert labels.index("journal outcome rewrite") < labels.index("journal proof second-pass")
    assert labels.index("journal proof second-pass") < labels.index("journal proof verified")
    (proof,) = [record for record in cluster.journal().records() if record.get("of") == "second-pass"]
    assert proof["resources"] == ["secrets"]
    assert_done(cluster, BY_RESTART)


def test_without_being_asked_no_rotation_does_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), Wish(Goal.ROTATE))
    assert "journal proof second-pass" not in cluster.switch.labels
