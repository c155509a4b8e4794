"""A dry run of every patch, before anything is touched: who would refuse is named, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import RefusedError
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.rotation import rehearsal
from keyctl.rotation.preflight import Wish
from keyctl.rotation.rehearsal import Rehearsal
from tests.support.sim_objects import key_of
from tests.support.sim_texts import EVERYTHING
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ENABLE, REMOVE_IDENTITY, ROTATE

REF = ObjectRef("secrets", "default", "db-1", "u")


def rehearsed(cluster: SimCluster, wish: Wish = ROTATE) -> str:
    return "\n".join(cluster.session().agree(wish, rehearsed=True).lines)


def versions(cluster: SimCluster) -> dict[str, object]:
    return {name: dict(etcd.all()) for name, etcd in cluster.etcds.items()}


@pytest.mark.parametrize(("wish", "config"), [(ROTATE, True), (ENABLE, False), (REMOVE_IDENTITY, True)])
def test_what_every_server_takes_is_said_with_its_number_and_nothing_is_written(
    wish: Wish, config: bool, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path) if config else SimCluster(tmp_path, config=None)
    before = versions(cluster)
    assert "Rehearsed: 6 objects sent as a dry run, 6 accepted" in rehearsed(cluster, wish)
    assert versions(cluster) == before
    assert set(cluster.switch.labels) == {"patch dry"}


def test_without_being_asked_nothing_is_rehearsed(tmp_path: Path) -> None:
    assert "Rehearsed" not in "\n".join(SimCluster(tmp_path).session().agree(ROTATE).lines)


def test_every_resource_that_a_wildcard_covers_is_rehearsed(tmp_path: Path) -> None:
    assert "Rehearsed: 11 objects" in rehearsed(SimCluster(tmp_path, config=EVERYTHING))


def test_r15_a_webhook_that_would_refuse_is_named_before_anything_is_touched(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.webhook_refuses |= {key_of("secrets", "default", "db-1"), key_of("secrets", "default", "db-3")}
    with pytest.raises(RefusedError, match="2 of 6 objects could not be rewritten") as caught:
        rehearsed(cluster)
    assert caught.value.rule == "R15"
    assert "default/db-1, default/db-3" in (caught.value.cause or "")
    assert any("webhook" in hint for hint in caught.value.hints)
    assert set(cluster.switch.labels) == {"patch dry"}


@pytest.mark.parametrize(
    "patched",
    [
        Patched(
            REF, Outcome.REFUSED, message='admission webhook "a.b" does not support dry run', refusal=Refusal.OTHER
        ),
        Patched(REF, Outcome.SLOWER, message="429 Too Many Requests", refusal=Refusal.BUSY),
    ],
    ids=["no dry run", "busy"],
)
def test_what_could_not_be_tried_is_neither_accepted_nor_refused(patched: Patched) -> None:
    told = Rehearsal()
    rehearsal._note(told, patched)
    assert told.refusals.groups() == ()
    assert told.in_words() == (
        "Rehearsed: 1 object sent as a dry run, 0 accepted",
        f"  ! not tried: 1 object: {patched.message}",
    )
