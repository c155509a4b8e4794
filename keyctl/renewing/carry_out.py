"""Carry out steps one after the other: intent on the disk, act, see that it is so, then the next.

Each step is done again as a whole where it was cut off: files that are as they should be are not written, a process
is restarted once more. Nobody is taken away unless all the others are well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from keyctl.errors import StoppedError
from keyctl.pki.generation import Generation, Trust
from keyctl.renewing import files
from keyctl.renewing.interface import Journal, Place, Site
from keyctl.renewing.plan import Census, Gate, GiveLeaves, GiveTrust, Settle, Step, named
from keyctl.renewing.proof import Proof

INTENT, DONE = "intent", "done"
# Members that had a restart forced on them by the cluster's own doing come back within this.
_WELL_SECONDS = 60.0


class Worker:
    """Works on `site`; `say` gets a line about each step."""

    def __init__(self, site: Site, journal: Journal | None, say: Callable[[str], None]) -> None:
        self._site, self._journal, self._say = site, journal, say
        self._proof = Proof(site)

    def run(self, steps: Iterable[Step], *, begun: frozenset[str], done: frozenset[str], handed: bool = False) -> None:
        """Carry out those `steps` that are not `done`, by their texts; `begun` were begun before.

        `handed` says that the clients of the gate that was reached before have what they need: it opens that one.
        Raises `StoppedError` where something is not as it must be; everything is then in a state to stay in.
        """
        try:
            for number, step in enumerate(steps):
                name = named(number, step)
                if name in done:
                    continue
                if isinstance(step, Gate) and not (handed and name in begun):
                    self._note(INTENT, name)
                    raise closed(step, self._site.directory.told(step.handing))
                self._note(INTENT, name)
                self._say(str(step))
                if number == 0 and begun and name not in begun:
                    self._turn(step)
                self._carry_out(step, again=name in begun)
                self._note(DONE, name)
        except KeyboardInterrupt as error:
            raise StoppedError("interrupted part-way") from error

    def _note(self, kind: str, name: str) -> None:
        if self._journal is not None:
            self._journal.append(kind, self._site.clock.now(), {"step": name})

    def _turn(self, step: Step) -> None:
        """Before the first step of a way back, which is about whom the way forward was cut off at."""
        if isinstance(step, GiveTrust | GiveLeaves):
            self._let_come(self._site.places[step.party], lambda: False)

    def _carry_out(self, step: Step, *, again: bool) -> None:
        match step:
            case GiveTrust(party, trust):
                self._give_trust(self._site.places[party], trust, again=again)
            case GiveLeaves(party, generation, _):
                self._give_leaves(self._site.places[party], generation, again=again)
            case Census(generation):
                said = self._proof.census(generation)
                if said:
                    raise StoppedError(
                        "the census found one that is not as it must be",
                        cause=said,
                        hint="see who changed it, and put it back",
                    )
            case Settle(generation):
                self._site.directory.settle(generation)

    def _give_trust(self, place: Place, trust: Trust, *, again: bool) -> None:
        self._require_others_well(place)
        files.sweep(place)
        files.write_trust(place, trust)
        if again:
            self._let_come(place, lambda: self._proof.trusts(place, trust))
        # A member that does by now was restarted in the run that was cut off: CAs are read at the start alone.
        if not (again and self._proof.trusts(place, trust)):
            self._restart(place)
        self._proof.await_trust(place, trust)
        self._proof.await_all_well(place.wait)

    def _give_leaves(self, place: Place, generation: Generation, *, again: bool) -> None:
        self._require_others_well(place)
        files.sweep(place)
        for pair in files.pairs(place.files[generation]):
            files.write_pair(place, pair)
        if place.api is not None:
            if again:
                self._let_come(place, lambda: False)
            # It would take them for its next connection; whether it can is seen now, of one, and not later of all.
            self._restart(place)
        self._proof.await_shown(place, generation)
        self._proof.await_all_well(place.wait)

    def _require_others_well(self, place: Place) -> None:
        """One at a time: nobody is taken away while another one is. Who is away already may be what others wait for."""
        if not self._proof.is_away(place):
            self._proof.await_all_well(_WELL_SECONDS, but=place.party)

    def _let_come(self, place: Place, done: Callable[[], bool]) -> None:
        """Wait for the restart that the run which was cut off asked for, as long as it may take to come.

        It must not come while it is another one's turn. One that does not lag is over.
        """
        if place.lags:
            before = self._proof.started(place)
            self._proof.let_come(lambda: done() or self._proof.is_another(place, before), place.wait)

    def _restart(self, place: Place) -> None:
        before, asked = self._proof.started(place), self._site.clock.monotonic()
        place.host.restart()
        self._proof.await_restarted(place, before, asked)


class GateClosedError(StoppedError):
    """It stopped as planned: somebody has to say that other clients have what they need."""


def closed(gate: Gate, where: str) -> GateClosedError:
    """Why nothing goes on at a gate; `where` is what has to be given to its clients."""
    return GateClosedError(
        f"stopped as planned: other clients need {gate.handing} first",
        cause=f"clients of the directory that are on no host of the cluster file: {', '.join(gate.clients)}",
        hint=where,
    )
