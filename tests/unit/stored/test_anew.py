from __future__ import annotations

import pytest

from keyctl.errors import RevisionLostError, StoppedError
from keyctl.stored.anew import anew


class Reading:
    """Fails with each of `failures` in turn, and then counts what it is given."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.runs = 0

    def read(self, values: list[int], *, twice: bool = False) -> int:
        self.runs += 1
        if self.failures:
            raise self.failures.pop(0)
        return sum(values) * (2 if twice else 1)


def lost() -> RevisionLostError:
    return RevisionLostError("it was compacted away")


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_reading_whose_revision_was_lost_is_begun_again(times: int) -> None:
    reading = Reading(*(lost() for _ in range(times)))
    assert anew(reading.read)([1, 2], twice=True) == 6
    assert reading.runs == times + 1


def test_the_third_loss_is_the_last() -> None:
    reading = Reading(*(lost() for _ in range(10)))
    with pytest.raises(RevisionLostError):
        anew(reading.read)([1])
    assert reading.runs == 3


def test_no_other_failure_begins_a_reading_again() -> None:
    reading = Reading(StoppedError("the disk is full"))
    with pytest.raises(StoppedError):
        anew(reading.read)([1])
    assert reading.runs == 1
