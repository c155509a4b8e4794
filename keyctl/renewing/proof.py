"""What is seen of a party after a step: of its ports, its process, its files. Waits, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from keyctl.errors import StoppedError, UnreachableError
from keyctl.pki.generation import Generation, Port, Trust
from keyctl.renewing.files import holds, pairs, serial_on, trusts
from keyctl.renewing.interface import Place, Site
from keyctl.renewing.plan import Party

_LOOK_EVERY = 0.5
# A server tells its time in whole seconds.
_WHOLE_SECONDS = 2.0
# Which port shows which pair of a member's folder.
_SHOWN_AT = {"server": Port.CLIENT, "peer": Port.PEER}


class Proof:
    """Looks at `site`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def all_well(self, but: Party | None = None) -> str:
        """What is wrong with anybody `but` one now, "" where members are healthy and API servers ready."""
        for party, place in self._site.places.items():
            if party == but:
                continue
            if place.api is None and not self._site.ports.ready(party.name):
                return f"{party} is not healthy"
            if place.api is not None and not place.api.probe().ready:
                return f"{party} is not ready"
        return ""

    def await_all_well(self, seconds: float, but: Party | None = None) -> None:
        """Wait until everybody is well, `but` one. Raises `StoppedError`: nobody more is taken away from those."""
        self._await(lambda: self.all_well(but), seconds, "not everybody is well")

    def is_away(self, place: Place) -> bool:
        """Whether nobody connects to it now: it does not run, or its key is not that of its certificate."""
        if place.api is not None:
            return not place.api.probe().start_time
        return self._site.ports.shown(place.party.name, Port.CLIENT) is None

    def holds(self, party: Party, generation: Generation) -> bool:
        """Whether the host of a party has every pair that the directory has for it."""
        place = self._site.places[party]
        return all(holds(place, pair) for pair in pairs(place.files[generation]))

    def started(self, place: Place) -> float:
        """When an API server's process started, by its own word; 0.0 for a member, and where it does not answer."""
        return place.api.probe().start_time if place.api is not None else 0.0

    def is_another(self, place: Place, before: float) -> bool:
        """Whether an API server is another process than the one that started at `before`; of a member not known."""
        return self.started(place) not in (0.0, before)

    def trusts(self, place: Place, trust: Trust) -> bool:
        """Whether a member is seen to trust so now; of an API server that is never seen."""
        return place.api is None and not self._untrusting(place, trust)

    def let_come(self, seen: Callable[[], bool], seconds: float) -> None:
        """Wait until it is `seen`, or for `seconds`."""
        clock = self._site.clock
        deadline = clock.monotonic() + seconds
        while not seen() and clock.monotonic() < deadline:
            clock.sleep(_LOOK_EVERY)

    def await_restarted(self, place: Place, before: float, asked: float) -> None:
        """Wait until an API server is another process than the one that started at `before`, and ready.

        One that did not answer before is another one when it began after it was `asked` to, in monotonic seconds.
        """

        def missing() -> str:
            if place.api is None:
                return ""
            probe = place.api.probe()
            if not probe.ready:
                return f"{place.party} is not ready{f': {probe.problem}' if probe.problem else ''}"
            if not probe.start_time:
                return f"{place.party} does not say when it started: let this user read /metrics there"
            if before:
                return "" if probe.start_time != before else f"{place.party} is still the process of before"
            # NOTE: it may have been silent for a moment only: that it answers again makes it no other process.
            began = probe.begun is not None and probe.begun >= asked - _WHOLE_SECONDS
            return "" if began else f"{place.party} did not answer before, and has not begun since it was to restart"

        self._await(missing, place.wait, f"{place.party} was not seen to restart")

    def await_trust(self, place: Place, trust: Trust) -> None:
        """Wait until a member's ports let in certificates of the CAs that it trusts, and none of the others."""
        self._await(lambda: self._untrusting(place, trust), place.wait, f"{place.party} was not seen to trust {trust}")

    def await_shown(self, place: Place, generation: Generation) -> None:
        """Wait until each port of a member shows its certificate of that generation."""
        what = f"{place.party} was not seen to show what it was given"
        self._await(lambda: self._unshown(place, generation), place.wait, what)

    def census(self, generation: Generation) -> str:
        """Who does not show, or have, a certificate of that generation; "" where everybody does."""
        for place in self._site.places.values():
            said = self._unshown(place, generation)
            if said:
                return said
        return self.all_well()

    def stands(self, party: Party, trust: Trust) -> str:
        """What is not as it must be before anything begins; "" where all of it is."""
        place = self._site.places[party]
        if not trusts(place, trust):
            return f"{party}: the CA files in {place.folder} are not those of the directory"
        for pair in pairs(place.files[Generation.OLD]):
            port = _SHOWN_AT.get(pair.stem)
            # What another member answers at this address would be taken for its own from here on.
            if port is not None and self._site.ports.shown(party.name, port) != serial_on(place, pair.stem):
                return f"the {port} at the address of {party} does not show {pair.stem}.crt of {place.folder}"
        return self._untrusting(place, trust)

    def indistinct(self) -> str:
        """Which API server's restart could not be seen: it does not say when it started, or is one with another."""
        seen: dict[tuple[float, int], Party] = {}
        for party, place in self._site.places.items():
            if place.api is None:
                continue
            probe = place.api.probe()
            if not probe.start_time:
                return f"{party} does not say when it started: let this user read /metrics there"
            other = seen.setdefault((probe.start_time, probe.certificate_serial), party)
            if other != party:
                return f"{other} and {party} are one process: each is to be listed once, by its own address"
        return ""

    def _untrusting(self, place: Place, trust: Trust) -> str:
        if place.api is not None:
            return ""
        for port in Port:
            for generation in place.files:
                let, wanted = (
                    self._site.ports.lets_in(place.party.name, port, generation),
                    generation in trust.generations,
                )
                if let is not wanted:
                    said = {True: "is let in", False: "is refused", None: "gets neither yes nor no"}[let]
                    return f"at the {port} of {place.party} a certificate of the {generation} CA {said}"
        return ""

    def _unshown(self, place: Place, generation: Generation) -> str:
        for pair in pairs(place.files[generation]):
            if not holds(place, pair):
                return f"{place.party}: {pair.stem}.crt and its key in {place.folder} are not those of the directory"
            port = _SHOWN_AT.get(pair.stem)
            if port is not None and self._site.ports.shown(place.party.name, port) != pair.serial:
                return f"the {port} of {place.party} shows another certificate"
        return ""

    def _await(self, missing: Callable[[], str], seconds: float, what: str) -> None:
        clock = self._site.clock
        deadline = clock.monotonic() + seconds
        while True:
            try:
                said = missing()
            except UnreachableError as error:
                said = str(error)
            if not said:
                return
            if clock.monotonic() >= deadline:
                raise StoppedError(
                    f"{what} within {seconds:g} s",
                    cause=said,
                    hint="see its log, and mend that",
                )
            clock.sleep(_LOOK_EVERY)
