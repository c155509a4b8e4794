"""Which backups a policy keeps: by rule for any backups, and by example for the ones that people think of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.backup.keep import Candidate, Every, Policy, judge, parse
from keyctl.errors import WrongUsageError
from tests.support.hints import wrong_hints

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

policies = st.dictionaries(st.sampled_from(Every), st.integers(1, 20), min_size=1).map(
    lambda counts: Policy(tuple((every, counts[every]) for every in Every if every in counts))
)
moments = st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes))


@st.composite
def shelves(draw: st.DrawFn) -> list[Candidate]:
    times = draw(st.lists(moments, min_size=1, max_size=40))
    return [Candidate(f"b{number}", at) for number, at in enumerate(times)]


def daily(days: int) -> list[Candidate]:
    return [Candidate(f"d{number}", NOW - timedelta(days=number)) for number in range(days)]


def kept(policy: str, candidates: list[Candidate], fresh: str = "d0") -> list[str]:
    return [one.candidate.name for one in judge(parse(policy), candidates, fresh) if one.stays]


@given(policies, shelves(), st.data())
def test_each_is_judged_once_and_what_goes_in_comes_out(
    policy: Policy, candidates: list[Candidate], data: st.DataObject
) -> None:
    fresh = data.draw(st.sampled_from(candidates)).name
    judged = judge(policy, candidates, fresh)
    assert sorted(one.candidate.name for one in judged) == sorted(one.name for one in candidates)
    assert len([one for one in judged if one.stays]) + len([one for one in judged if not one.stays]) == len(candidates)


@given(policies, shelves(), st.data())
def test_the_one_that_was_just_saved_and_the_newest_are_never_deleted(
    policy: Policy, candidates: list[Candidate], data: st.DataObject
) -> None:
    fresh = data.draw(st.sampled_from(candidates)).name
    stays = {one.candidate.name: one.candidate.at for one in judge(policy, candidates, fresh) if one.stays}
    assert fresh in stays
    assert max(one.at for one in candidates) in stays.values()


@given(policies, shelves())
def test_no_more_are_kept_than_the_policy_says_and_the_two_that_always_stay(
    policy: Policy, candidates: list[Candidate]
) -> None:
    stays = [one for one in judge(policy, candidates, candidates[0].name) if one.stays]
    assert len(stays) <= sum(count for _, count in policy.counts) + 2


@given(policies, shelves())
def test_a_second_run_over_what_was_kept_deletes_nothing_more(policy: Policy, candidates: list[Candidate]) -> None:
    fresh = max(candidates, key=lambda one: (one.at, one.name)).name
    left = [one.candidate for one in judge(policy, candidates, fresh) if one.stays]
    assert all(one.stays for one in judge(policy, left, fresh))


@given(shelves(), st.sampled_from(Every), st.integers(1, 20))
def test_a_policy_that_keeps_more_never_deletes_what_one_that_keeps_less_kept(
    candidates: list[Candidate], every: Every, count: int
) -> None:
    fresh = candidates[0].name
    less = {one.candidate for one in judge(Policy(((every, count),)), candidates, fresh) if one.stays}
    more = {one.candidate for one in judge(Policy(((every, count + 1),)), candidates, fresh) if one.stays}
    assert less <= more


@given(policies, shelves(), st.randoms())
def test_the_order_in_which_a_directory_is_listed_decides_nothing(
    policy: Policy, candidates: list[Candidate], random: object
) -> None:
    turned = list(reversed(candidates))
    fresh = candidates[0].name
    assert judge(policy, candidates, fresh) == judge(policy, turned, fresh)


def test_a_year_of_daily_backups_leaves_days_weeks_and_months() -> None:
    names = kept("last=2,daily=3,weekly=3,monthly=3", daily(365))
    assert names == ["d0", "d1", "d2", "d7", "d14", "d22", "d53"]


def test_run_every_day_for_a_year_the_months_are_there_in_the_end() -> None:
    policy, held = parse("last=3,daily=7,monthly=12"), list[Candidate]()
    for day in range(365):
        fresh = Candidate(f"run{day}", NOW + timedelta(days=day))
        held = [one.candidate for one in judge(policy, [*held, fresh], fresh.name) if one.stays]
    assert {(one.at.year, one.at.month) for one in held} == {
        *((2026, month) for month in (12,)),
        *((2027, month) for month in range(1, 12)),
    }


def test_of_one_day_the_newest_stays() -> None:
    day = [Candidate(f"h{hour}", NOW.replace(hour=hour)) for hour in range(8)]
    assert kept("daily=5", day, "h7") == ["h7"]
    assert kept("hourly=3", day, "h7") == ["h7", "h6", "h5"]


def test_a_day_begins_in_utc_wherever_a_manifest_was_written() -> None:
    east = timezone(timedelta(hours=9))
    late = Candidate("late", datetime(2026, 11, 22, 8, 0, tzinfo=east))
    early = Candidate("early", datetime(2026, 11, 21, 1, 0, tzinfo=UTC))
    assert kept("daily=5", [late, early], "late") == ["late"]


def test_a_clock_that_went_back_does_not_delete_what_was_just_saved() -> None:
    back = Candidate("fresh", NOW - timedelta(days=400))
    assert kept("last=1", [*daily(3), back], "fresh") == ["d0", "fresh"]


@pytest.mark.parametrize("fresh", ["nobody", ""])
def test_nothing_is_judged_where_the_one_that_was_saved_is_not_there(fresh: str) -> None:
    with pytest.raises(ValueError, match="just saved"):
        judge(parse("last=1"), daily(2), fresh)


def test_nothing_is_judged_where_two_have_one_name() -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        judge(parse("last=1"), [*daily(1), *daily(1)], "d0")


def test_a_policy_reads_as_it_was_written() -> None:
    assert str(parse("monthly=12, last=7,daily=14")) == "last=7,daily=14,monthly=12"
    assert parse("last=3,daily=0").counts == ((Every.LAST, 3),)


@pytest.mark.parametrize(
    "text", ["", "last", "last=", "last=-1", "last=x", "daily=3,", "fortnightly=2", "last=1;daily=2", "last=999999"]
)
def test_what_is_no_policy_is_refused_with_what_is_known(text: str) -> None:
    with pytest.raises(WrongUsageError, match="does not know") as refused:
        parse(text)
    assert "yearly" in str(refused.value.cause)
    assert wrong_hints(list(refused.value.hints)) == []


@pytest.mark.parametrize(("text", "says"), [("last=0", "nothing"), ("last=1,last=1", "twice")])
def test_a_policy_that_says_too_little_or_too_much_is_refused(text: str, says: str) -> None:
    with pytest.raises(WrongUsageError, match=says):
        parse(text)
