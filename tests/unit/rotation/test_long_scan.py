"""R8: reading everything may take longer than the Lease lasts; who has lost it meanwhile changes nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sim_parts import LEASE_SECONDS
from tests.support.sim_server import CONFIG_PATH
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, assert_done, before, skip_slow_parts, stops


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def taken_while_it_reads(cluster: SimCluster) -> Callable[[], None]:
    """From now on the next scan takes so long that the Lease runs out, and somebody else takes it."""
    etcd = cluster.etcds["https://10.0.0.9:2379"]
    between = etcd.between_pages

    def slowly() -> None:
        etcd.between_pages = between
        cluster.clock.advance(LEASE_SECONDS + 1)
        cluster.lease_record.place, cluster.lease_record.renewed = "elsewhere", cluster.clock.monotonic()

    return lambda: setattr(etcd, "between_pages", slowly)


@pytest.mark.parametrize(
    ("specs", "intent", "effect"),
    [
        (THREE_RELOADING, "journal intent write-file", f"cp1: write {CONFIG_PATH}"),
        (THREE_RESTARTED, "journal intent restart", "cp1: restart"),
    ],
    ids=["file", "restart"],
)
def test_r8_what_was_about_to_be_done_when_the_lease_was_lost_is_not_done(
    specs: tuple[object, ...], intent: str, effect: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)  # type: ignore[arg-type]  # one table for both
    before(cluster, intent, taken_while_it_reads(cluster))
    error = stops(cluster)
    assert "the Lease was taken" in str(error)
    assert error.rule == "R8"
    assert effect not in cluster.switch.labels
    cluster.lease_record.place = None
    cluster.session().resume()
    assert_done(cluster, SCENES[3] if specs is THREE_RELOADING else SCENES[2])


def test_a_lease_that_nobody_took_meanwhile_is_renewed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds["https://10.0.0.9:2379"]
    between = etcd.between_pages

    def slowly() -> None:
        etcd.between_pages = between
        cluster.clock.advance(LEASE_SECONDS + 1)

    before(cluster, "journal intent write-file", lambda: setattr(etcd, "between_pages", slowly))
    cluster.session().start(ROTATE, confirm=lambda _: True)
    assert_done(cluster, SCENES[2])
