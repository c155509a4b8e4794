"""A keyctl of another version goes on with a rotation: what it finds in the journal, and what it must not guess."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, StoppedError, UnusableInputError
from keyctl.rotation.background import background_of
from keyctl.rotation.joining import plan_of
from keyctl.rotation.journal import Journal, Record
from keyctl.rotation.plan import State
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, Agree, Was, assert_back, assert_done, begin, skip_slow_parts

BY_RESTART = SCENES[2]
GOLDEN = Path(__file__).parent / "journals" / "0.1.0.jsonl"
# Fields of a plan that the first journals did not have.
LATER = ("engine", "secondPass", "compromised", "plugin")
STATES = (State.GENERATED, State.READABLE, State.SWITCHED, State.VERIFIED, State.RESECURED)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def stopped(tmp_path: Path, state: State) -> SimCluster:
    cluster = BY_RESTART.cluster(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=state), ROTATE)
    return cluster


def rewrite(cluster: SimCluster, change: Callable[[Record], None]) -> None:
    """The journal as another version would have written it."""
    path = cluster.journal().path
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def plan_in(record: Record) -> dict[str, object]:
    plan = record.get("plan")
    return plan if isinstance(plan, dict) else {}


def as_the_first_wrote_it(record: Record) -> None:
    for name in LATER:
        plan_in(record).pop(name, None)


@pytest.mark.parametrize("state", STATES)
def test_a_newer_keyctl_ends_what_the_first_one_began(state: State, tmp_path: Path) -> None:
    cluster = stopped(tmp_path, state)
    rewrite(cluster, as_the_first_wrote_it)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


@pytest.mark.parametrize("state", STATES[:3])
def test_a_newer_keyctl_goes_back_from_what_the_first_one_began(state: State, tmp_path: Path) -> None:
    was = Was.of(BY_RESTART.cluster(tmp_path / "before"))
    cluster = stopped(tmp_path, state)
    rewrite(cluster, as_the_first_wrote_it)
    cluster.session().abort(confirm=Agree())
    assert_back(cluster, was)


def test_the_journal_of_every_released_version_is_read_with_nothing_lost(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / "journal.jsonl")
    records = Journal(tmp_path).unfinished()
    (written,) = filter(None, map(plan_in, records))
    plan = plan_of(records)
    assert plan.to_record() == written
    whole = Journal(tmp_path).of(plan.rotation)
    background = background_of(whole)
    assert (background.ever_promoted, len(background.first_snapshots)) == (True, 1)
    assert len(whole) == len(GOLDEN.read_text().splitlines()) > 30


def test_what_a_newer_version_adds_beside_is_passed_over(tmp_path: Path) -> None:
    cluster = stopped(tmp_path, State.SWITCHED)

    def add(record: Record) -> None:
        record["somethingNew"] = {"of": "later"}
        if plan := plan_in(record):
            plan["somethingNew"] = True

    rewrite(cluster, add)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


@pytest.mark.parametrize(
    ("field", "value"), [("goal", "reseal"), ("engine", "sql"), ("history", "burn"), ("servers", [{"name": "cp1"}])]
)
@pytest.mark.parametrize("act", ["resume", "abort"])
def test_a_plan_that_an_older_version_does_not_understand_is_refused_and_nothing_is_touched(
    act: str, field: str, value: object, tmp_path: Path
) -> None:
    cluster = stopped(tmp_path, State.SWITCHED)

    def change(record: Record) -> None:
        if plan := plan_in(record):
            plan[field] = value

    rewrite(cluster, change)
    journal, effects = cluster.journal().path.read_bytes(), len(cluster.switch.labels)
    session = cluster.session()
    with pytest.raises(UnusableInputError, match="a plan that cannot be read") as caught:
        _ = session.resume() if act == "resume" else session.abort(confirm=Agree())
    assert caught.value.exit_code is ExitCode.UNUSABLE
    assert (cluster.journal().path.read_bytes(), len(cluster.switch.labels)) == (journal, effects)
