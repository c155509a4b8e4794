"""What others do in the middle of one run: proofs are lost, values and definitions appear (R3, R6, R7, R18)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.rotation.plan import State
from keyctl.rotation.readings import Readings
from tests.support.sim_objects import SERVED, SimResource
from tests.support.sim_texts import EVERYTHING
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    ENABLE,
    ROTATE,
    SCENES,
    Agree,
    Was,
    after,
    assert_back,
    assert_done,
    begin,
    have_old_key,
    head,
    plans,
    proofs_of,
    skip_slow_parts,
    stops,
)

ENABLE_BESIDE, BY_RESTART = SCENES[1], SCENES[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def test_r3_what_lands_after_the_proofs_were_lost_in_mid_retiring_brings_the_old_key_back_before_it_is_rewritten(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED)
    land = cluster.hold_until_told("cp3", "secrets", "default", "late")

    def restart_another() -> None:
        cluster.server("cp2").restart()
        cluster.clock.advance(10)
        after(cluster, "journal proof switched", land)

    # cp1 has let go of the old key; cp2, which has not, is restarted by somebody else.
    after(cluster, "journal proof server", restart_another, nth=7)
    error = stops(cluster)
    assert error.rule == "R3"
    assert proofs_of(cluster)[-1] == "late"
    assert have_old_key(cluster) == [True] * 3
    assert not cluster.still_excused()
    assert cluster.session().resume().state is State.RETIRED
    assert_done(cluster, BY_RESTART)


def test_r7_the_way_back_of_enable_counts_what_is_under_the_new_key_before_any_server_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ENABLE_BESIDE.cluster(tmp_path)
    was = Was.of(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.REWRITING), ENABLE)
    land = cluster.hold_until_told("cp3", "secrets", "default", "late")
    after(cluster, "journal outcome rewrite", lambda: cluster.clock.at(30.0, land))
    # The other count sees nothing; this one stands behind it.
    monkeypatch.setattr(Readings, "elsewhere", lambda self, found: 0)
    cluster.session().abort(confirm=Agree())
    assert Counter(proofs_of(cluster))["verified"] == 1, "not a proof while a value was under the new key"
    assert head(plans(cluster)[0].new) not in cluster.under("secrets")
    assert_back(cluster, was)


def test_r18_values_of_a_definition_that_was_made_during_the_run_are_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING, EVERYTHING)
    name = "gadgets.new.example"

    def define() -> None:
        monkeypatch.setitem(SERVED, name, SimResource(name, "new.example/gadgets", "new.example/v1", "Gadget"))
        cluster.create(name, "team-a", "fresh")

    after(cluster, "journal proof readable", define)
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert cluster.under(name) == {head(plans(cluster)[0].new)}


def test_r6_an_etcd_in_which_nothing_was_ever_written_has_no_history_to_compact(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, overrides=("events",))
    main, other = cluster.etcds.values()
    assert not other.all()
    other.revision = 1
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert main.compacted > 1
    assert other.compacted == 0
    assert_done(cluster, BY_RESTART)
