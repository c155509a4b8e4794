"""The order of a roll-over, on a model: at every instant everybody who runs, and who starts anew, trusts everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from keyctl.errors import RefusedError
from keyctl.pki.generation import Generation, Trust
from keyctl.renewing.plan import (
    Census,
    Gate,
    GiveLeaves,
    GiveTrust,
    Handing,
    Kind,
    Party,
    Settle,
    Step,
    forward,
    renewal,
    way_back,
)

OTHER = "backup"
SIZES = [(1, 0, 0), (1, 1, 1), (3, 2, 0), (3, 2, 1), (5, 3, 1)]


@dataclass
class Model:
    """Who trusts whom and shows what. `written` is on the disk, `loaded` was on it when the process started."""

    written: dict[str, Trust]
    loaded: dict[str, Trust]
    leaves: dict[str, frozenset[Generation]]
    members: tuple[str, ...]
    outside: tuple[str, ...] = ()
    dropped: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, members: Sequence[str], api_servers: Sequence[str], others: Sequence[str]) -> Model:
        names = (*members, *api_servers, *others)
        trust = dict.fromkeys(names, Trust.OLD)
        leaves = {name: frozenset({Generation.OLD}) for name in names}
        return cls(dict(trust), dict(trust), leaves, tuple(members), tuple(others))

    def instants(self, step: Step) -> Iterator[None]:
        """Let `step` happen, and stop at each instant of it at which somebody may look, or keyctl may be killed."""
        match step:
            case GiveTrust(party, trust):
                self.written[party.name] = trust
                yield
                self.loaded[party.name] = trust
            case GiveLeaves(party, generation, _):
                # It may show either until everything that it opened before has ended.
                self.leaves[party.name] |= {generation}
                yield
                self.leaves[party.name] = frozenset({generation})
            case Gate(clients, handing):
                yield
                self._hand(clients, handing)
        yield

    def _hand(self, clients: Sequence[str], handing: Handing) -> None:
        for client in clients:
            if handing is Handing.TRUST:
                self.written[client] = self.loaded[client] = Trust.BOTH
            else:
                generation = Generation.NEW if handing is Handing.LEAVES else Generation.OLD
                self.leaves[client] = frozenset({generation})

    def refused(self) -> list[str]:
        """Who would not trust whom; each pair has a member in it, and no client serves."""
        found = []
        for one, other in permutations(self.leaves, 2):
            if other not in self.members:
                continue
            for trusting, shown in ((one, other), (other, one)):
                found += [
                    f"{trusting} trusts {trust}, {shown} shows {sorted(self.leaves[shown])}"
                    for trust in (self.written[trusting], self.loaded[trusting])
                    if not self.leaves[shown] <= trust.generations
                ]
        return found


def names(size: tuple[int, int, int]) -> tuple[list[str], list[str], list[str]]:
    members, servers, others = size
    return [f"m{n}" for n in range(members)], [f"cp{n}" for n in range(servers)], [OTHER] * others


@pytest.mark.parametrize("size", SIZES)
def test_at_every_instant_everybody_trusts_everybody(size: tuple[int, int, int]) -> None:
    who = names(size)
    model, instants = Model.of(*who), 0
    assert not model.refused()
    for step in forward(*who):
        for _ in model.instants(step):
            instants += 1
            assert model.refused() == [], step
    assert instants > len(who[0]) * 6
    assert {*model.loaded.values()} - {Trust.BOTH} == {Trust.NEW}
    assert {*model.leaves.values()} == {frozenset({Generation.NEW})}


@pytest.mark.parametrize("size", SIZES)
def test_from_every_instant_before_the_last_stage_there_is_a_way_back_on_which_everybody_trusts_everybody(
    size: tuple[int, int, int],
) -> None:
    who = names(size)
    steps = forward(*who)
    first = next(n for n, one in enumerate(steps) if isinstance(one, GiveTrust) and one.trust is Trust.NEW)
    for stop in range(first + 1):
        # The step that it was stopped in may have had no effect yet, half of it, or the whole.
        for effects in range(3):
            model = Model.of(*who)
            for step in steps[: stop - 1] if stop else ():
                all(True for _ in model.instants(step))
            begun = steps[:stop]
            if begun:
                for _, _ in zip(range(effects), model.instants(begun[-1]), strict=False):
                    pass
            for back in way_back(begun):
                for _ in model.instants(back):
                    assert model.refused() == [], (begun[-1:], back)
            assert {*model.leaves.values()} == {frozenset({Generation.OLD})}
            parties = (*who[0], *who[1])
            assert {model.loaded[name] for name in parties} == {model.written[name] for name in parties} == {Trust.OLD}


def test_once_somebody_trusts_the_new_ca_alone_there_is_no_way_back() -> None:
    steps = forward(["m1"], [], [])
    (last,) = [n for n, one in enumerate(steps) if isinstance(one, GiveTrust) and one.trust is Trust.NEW]
    assert way_back(steps[:last])
    with pytest.raises(RefusedError, match="no way back"):
        way_back(steps[: last + 1])


def test_a_plan_without_any_one_of_its_steps_would_lock_somebody_out() -> None:
    """What would be wrong with another order: the model is no model if it lets everything pass."""
    who = names((3, 1, 1))
    steps = forward(*who)
    needed = [
        one
        for one in steps
        if isinstance(one, GiveLeaves | Gate) or (isinstance(one, GiveTrust) and one.trust is Trust.BOTH)
    ]
    for left_out in needed:
        model, refused = Model.of(*who), []
        for step in steps:
            if step is not left_out:
                for _ in model.instants(step):
                    refused += model.refused()
        assert refused, left_out
    assert len(needed) == 4 + 4 + 2


def test_nobody_trusts_the_new_ca_alone_before_a_census_and_nothing_is_settled_without_one() -> None:
    steps = forward(["m1", "m2"], ["cp1"], [])
    kinds = [type(one) if not isinstance(one, GiveTrust) else one.trust for one in steps]
    assert kinds[kinds.index(Trust.NEW) - 1] is Census
    assert kinds[-2:] == [Census, Settle]
    back = way_back(steps[:4])
    assert [type(one) for one in back] == [GiveLeaves, Census, GiveTrust, GiveTrust, GiveTrust, Settle]


def test_other_clients_are_waited_for_before_leaves_and_before_the_old_ca_leaves() -> None:
    steps = forward(["m1"], [], [OTHER])
    gates = [(n, one.handing) for n, one in enumerate(steps) if isinstance(one, Gate)]
    assert [handing for _, handing in gates] == [Handing.TRUST, Handing.LEAVES]
    assert isinstance(steps[gates[0][0] + 1], GiveLeaves)
    assert steps[gates[1][0] + 1] == GiveTrust(Party(Kind.MEMBER, "m1"), Trust.NEW)
    assert Gate((OTHER,), Handing.BACK) in way_back(steps[: gates[1][0] + 1])
    assert not [one for one in way_back(steps[: gates[1][0]]) if isinstance(one, Gate)]


def test_a_renewal_gives_leaves_of_the_ca_that_is_there_and_touches_no_trust() -> None:
    steps = renewal(["m1", "m2"], ["cp1"])
    assert [str(one.party) for one in steps if isinstance(one, GiveLeaves)] == [
        "member m1",
        "member m2",
        "API server cp1",
    ]
    assert {one.generation for one in steps if isinstance(one, GiveLeaves)} == {Generation.OLD}
    assert str(steps[0]) == "member m1: renewed keys and certificates, and see them"
    assert str(steps[-1]) == "API server cp1: renewed keys and certificates, restart, and see them"
    assert len(steps) == 3
