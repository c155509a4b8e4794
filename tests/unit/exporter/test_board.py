"""The last truth and its age: what fails takes nothing away and makes nothing younger; and how long to rest."""

from __future__ import annotations

import pytest

from keyctl.exporter import catalogue
from keyctl.exporter.board import Board, Look, Sample
from keyctl.exporter.catalogue import Source
from keyctl.exporter.schedule import rest


def board() -> Board:
    return Board((Source.VALUES, Source.KEYS), cluster="prod", version="1")


def looked(began: float, *values: float, took: float = 2.0) -> Look:
    return Look(began, began + took, took, 30.0, tuple(Sample(catalogue.READ, (), value) for value in values))


def failed(began: float) -> Look:
    return Look(began, began + 5, 5.0, 30.0, None)


def told(on: Board) -> dict[tuple[str, ...], float]:
    return {(sample.family.name, *sample.labels): sample.value for sample in on.samples()}


def test_before_the_first_look_nothing_is_up_and_nothing_has_an_age() -> None:
    unseen: dict[tuple[str, ...], float] = {(name, source): 0 for source in ("values", "keys") for name in UNSEEN}
    assert told(board()) == {("keyctl_exporter_info", "prod", "1"): 1} | unseen
    assert not board().is_up(Source.VALUES)


UNSEEN = ("keyctl_source_up", "keyctl_source_looks_total", "keyctl_source_failures_total")


def test_a_look_is_of_when_it_began_and_one_source_says_nothing_of_another() -> None:
    on = board()
    on.note(Source.VALUES, looked(100, 7))
    seen = told(on)
    assert seen[("keyctl_stored_values_read",)] == 7
    assert seen[("keyctl_source_up", "values")] == 1
    assert seen[("keyctl_source_up", "keys")] == 0
    assert seen[("keyctl_source_last_success_timestamp_seconds", "values")] == 100
    assert seen[("keyctl_source_last_attempt_timestamp_seconds", "values")] == 102
    assert seen[("keyctl_source_duration_seconds", "values")] == 2
    assert seen[("keyctl_source_period_seconds", "values")] == 30
    assert on.is_up(Source.VALUES)


def test_a_look_that_fails_keeps_the_last_truth_and_its_age_and_says_that_it_is_old() -> None:
    on = board()
    on.note(Source.VALUES, looked(100, 7))
    for began in (200, 300):
        on.note(Source.VALUES, failed(began))
    seen = told(on)
    assert seen[("keyctl_stored_values_read",)] == 7
    assert seen[("keyctl_source_up", "values")] == 0
    assert seen[("keyctl_source_last_success_timestamp_seconds", "values")] == 100
    assert seen[("keyctl_source_last_attempt_timestamp_seconds", "values")] == 305
    assert seen[("keyctl_source_failures_total", "values")] == 2
    assert seen[("keyctl_source_looks_total", "values")] == 3
    assert not on.is_up(Source.VALUES)


def test_a_new_truth_takes_the_whole_place_of_the_old_one() -> None:
    on = board()
    on.note(Source.VALUES, Look(1, 2, 1, 30, (Sample(catalogue.STALE, ("secrets",), 3),)))
    on.note(Source.VALUES, looked(100, 7))
    assert ("keyctl_stored_stale_values", "secrets") not in told(on)


def test_a_sample_has_the_labels_of_its_family() -> None:
    with pytest.raises(ValueError, match="keyctl_stored_stale_values"):
        Sample(catalogue.STALE, (), 1)


@pytest.mark.parametrize(
    ("took", "succeeded", "pause"),
    [
        pytest.param(0.5, True, 29.5, id="looks begin an interval apart"),
        pytest.param(3.0, True, 27.0, id="just within the budget of a tenth"),
        pytest.param(30.0, True, 270.0, id="a long scan is a tenth of all time and no more"),
        pytest.param(50.0, False, 50.0, id="one that failed rests as long as it took"),
        pytest.param(5.0, False, 25.0, id="and no less than the interval wants"),
    ],
)
def test_how_long_to_rest(took: float, succeeded: bool, pause: float) -> None:
    assert rest(took, 30.0, 0.1, succeeded=succeeded) == pytest.approx(pause)


def test_there_is_a_pause_even_at_the_full_load() -> None:
    assert rest(5.0, 1.0, 1.0, succeeded=True) == 1.0
