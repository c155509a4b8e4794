"""What is wanted is published whole or not at all, whoever else writes, and whatever answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.distribution import Rendition, Report, ReportedFile, Wanted
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.transport import UnansweredError
from tests.support.hints import wrong_commands
from tests.support.memory_values import MemoryValues
from tests.support.pulled import PLACE

_ONE, _TWO = Wanted("one", None), Wanted("two", "sha256:0", ("id",), in_place=True)


class Meddled(MemoryValues):
    """Somebody does something around the next write of what is wanted."""

    before: Callable[[], None] | None = None
    deaf = False

    def write(self, path: str, fields: Mapping[str, object], *, cas: int | None) -> int:
        if path == PLACE.current and self.before is not None:
            act, self.before = self.before, None
            act()
        version = super().write(path, fields, cas=cas)
        if self.deaf:
            raise UnansweredError("no answer")
        return version


def shared(values: MemoryValues, servers: tuple[str, ...] = ("cp1", "cp2")) -> VaultDistribution:
    return VaultDistribution(values, PLACE, cluster="prod", servers=servers)


def test_each_publication_has_a_number_of_its_own_and_the_same_once_more_has_none() -> None:
    values = MemoryValues()
    assert [shared(values).want(*pair) for pair in (("cp1", _ONE), ("cp1", _ONE), ("cp2", _TWO), ("cp1", None))] == [
        1, 1, 2, 3,
    ]  # fmt: skip
    assert shared(values).current() == Rendition(3, {"cp2": _TWO})
    assert shared(values).want("cp1", None) == 3


def test_of_two_who_publish_at_once_one_is_refused_and_nothing_of_it_is_there() -> None:
    values = Meddled()

    def overtake() -> None:
        shared(values).want("cp2", _TWO)

    values.before = overtake
    with pytest.raises(RefusedError, match="somebody else keeps changing"):
        shared(values).want("cp1", _ONE)
    assert shared(values).current() == Rendition(1, {"cp2": _TWO})


def test_a_publication_whose_answer_was_lost_is_looked_for() -> None:
    values = Meddled()
    values.deaf = True
    assert shared(values).want("cp1", _ONE) == 1


def test_one_that_did_not_arrive_is_not_taken_for_published() -> None:
    values = Meddled()

    def lose() -> None:
        raise UnansweredError("no answer")

    values.before = lose
    with pytest.raises(UnansweredError):
        shared(values).want("cp1", _ONE)
    assert shared(values).current() is None


def test_a_file_of_a_server_that_has_no_agent_any_more_is_left_out() -> None:
    values = MemoryValues()
    shared(values).want("cp1", _ONE)
    shared(values).want("cp2", _TWO)
    assert shared(values, ("cp2",)).want("cp2", _TWO) == 3
    assert shared(values).current() == Rendition(3, {"cp2": _TWO})
    (held,) = values.held(PLACE.current)
    assert "one" not in str(held)


def report(seen: int = 0, *, content: bytes = b"AAEC", at: str = "2026-11-21T10:00:05+00:00") -> Report:
    return Report("cp2", 3, (ReportedFile("/enc.yaml", content, 0o600),), "refused" if seen else "", at, seen=seen)


@pytest.mark.parametrize("seen", [1, 9])
def test_nothing_is_published_while_any_node_has_seen_more_than_stands_there(seen: int) -> None:
    values = MemoryValues()
    shared(values).want("cp1", _ONE)
    shared(values).report(report(seen))
    with pytest.raises(RefusedError, match=f"the node of cp2 has seen {seen}") as caught:
        shared(values).want("cp1", _TWO)
    assert caught.value.rule == "R8"
    assert [problem for hint in caught.value.hints for problem in wrong_commands(hint)] == []
    assert shared(values).current() == Rendition(1, {"cp1": _ONE})
    shared(values).report(report())
    assert shared(values).want("cp1", _TWO) == 2


def test_of_reports_that_were_written_before_any_publication_the_last_one_alone_is_kept() -> None:
    values = MemoryValues()
    for content in (b"first", b"second"):
        shared(values, ()).report(report(content=content))
    (_held,) = values.held(PLACE.applied("cp2"))
    assert shared(values).reported("cp2") == report(content=b"second")


@pytest.mark.parametrize("at", ["", "yesterday", "2026-11-21T10:00:05"])
def test_a_report_of_no_known_time_is_damaged(at: str) -> None:
    values = MemoryValues()
    shared(values).report(report(at=at))
    with pytest.raises(UnusableInputError, match="the report of the agent of cp2 is damaged"):
        shared(values).reported("cp2")


def test_no_text_shows_in_a_repr() -> None:
    values = MemoryValues()
    shared(values).want("cp1", Wanted("secret: AAEC", None))
    assert "AAEC" not in repr(shared(values).current())
