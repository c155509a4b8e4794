"""A roll-over of the CAs from its beginning to its end, through any stop: begun, gone on with, or gone back from.

What is under way is told by the journal: who takes part, which steps were begun, which were done. What each step finds
is told by the hosts and the ports, never by the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.pki.generation import Generation, Trust
from keyctl.renewing import files
from keyctl.renewing.carry_out import DONE, INTENT, Worker
from keyctl.renewing.interface import Clock, Directory, Journal, Site
from keyctl.renewing.plan import Kind, Settle, Step, forward, named, no_way_back, way_back
from keyctl.renewing.proof import Proof

_BEGIN, _ABORT, _END = "begin", "abort", "end"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What the journal tells of a roll-over that has not ended: its directory, and its steps on the way it goes."""

    directory: str
    others: tuple[str, ...]
    aborting: bool
    begun: frozenset[str]
    done: frozenset[str]

    @property
    def settling(self) -> Generation | None:
        """The generation that is being settled on, None before that: then no host is needed any more."""
        texts = {name.partition(" ")[2] for name in self.begun}
        return next((one for one in Generation if str(Settle(one)) in texts), None)


def under_way(journal: Journal) -> UnderWay | None:
    """What is under way, None where nothing is. Raises `UnusableInputError` for a record that keyctl never wrote."""
    records = journal.unfinished()
    if not records:
        return None
    begin = records[0]
    others = begin.get("others")
    if not isinstance(others, list):
        raise UnusableInputError("the journal of the roll-over is damaged", cause="its first record is no beginning")
    return UnderWay(
        str(begin.get("directory")),
        tuple(map(str, others)),
        any(record["kind"] == _ABORT for record in records),
        frozenset(str(record.get("step")) for record in records if record["kind"] == INTENT),
        frozenset(str(record.get("step")) for record in records if record["kind"] == DONE),
    )


def steps_of(
    found: UnderWay, members: Sequence[str], api_servers: Sequence[str], *, back: bool = False
) -> tuple[Step, ...]:
    """The steps of the one that is under way, the way it goes; with `back` of the way back, whichever way that is.

    Raises `RefusedError` where there is no way back any more.
    """
    steps = forward(members, api_servers, found.others)
    if not (found.aborting or back):
        return steps
    return way_back(step for number, step in enumerate(steps) if named(number, step) in found.begun)


def settle(directory: Directory, journal: Journal, clock: Clock, found: UnderWay, *, back: bool) -> None:
    """End what had come to its last step: no host is needed for it. Raises `RefusedError` to go `back` from the new."""
    if found.settling is None:
        raise ValueError("the last step was not begun")
    if back and found.settling is Generation.NEW:
        raise no_way_back("every host trusts the new CA alone")
    directory.settle(found.settling)
    journal.append(_END, clock.now(), {})


class Rollover:
    """The roll-over of `site`, whose directory is at `root`; `say` gets a line about each step."""

    def __init__(self, site: Site, journal: Journal, say: Callable[[str], None], *, root: str) -> None:
        self._site, self._journal, self._root = site, journal, root
        self._worker = Worker(site, journal, say)

    def plan(self, others: Sequence[str]) -> tuple[Step, ...]:
        """The steps of a new one."""
        return forward(self._names(Kind.MEMBER), self._names(Kind.API_SERVER), others)

    def begin(self, others: Sequence[str]) -> None:
        """Carry out a new one. Raises `RefusedError` or `StoppedError` before anything is changed on a host."""
        require_start(self._site)
        self._site.directory.require_same_parties()
        steps = self.plan(others)
        self._note(_BEGIN, {"directory": self._root, "others": list(others), "steps": [str(one) for one in steps]})
        self._work(steps, frozenset(), frozenset(), handed=False)

    def resume(self, *, handed: bool) -> None:
        """Go on with the one that is under way, the way it goes. Raises `RefusedError` where none is."""
        found = self._found()
        if not found.aborting:
            # Whoever has certificates of one generation alone would be locked out, and lose its folder in the end.
            self._site.directory.require_same_parties()
        self._work(self._steps(found), found.begun, found.done, handed=handed)

    def abort(self) -> None:
        """Turn back. Raises `RefusedError` where none is under way, and where there is no way back any more."""
        found = self._found()
        if not found.aborting:
            # Refused before it is noted.
            self._steps(found, back=True)
            self._note(_ABORT, {})
        self.resume(handed=False)

    def _work(self, steps: Sequence[Step], begun: frozenset[str], done: frozenset[str], *, handed: bool) -> None:
        self._worker.run(steps, begun=begun, done=done, handed=handed)
        self._note(_END, {})

    def _found(self) -> UnderWay:
        found = under_way(self._journal)
        if found is None:
            raise RefusedError("no roll-over is under way", hint="begin one")
        if found.directory != self._root:
            raise RefusedError(
                f"the roll-over that is under way is that of {found.directory}", hint="name that directory"
            )
        records = self._journal.unfinished()
        if records[0].get("steps") != [str(one) for one in self.plan(found.others)]:
            raise RefusedError(
                "the cluster file names other members or API servers than when the roll-over began",
                hint="put back those that took part, in their order; add or remove others when it has ended",
            )
        return found

    def _steps(self, found: UnderWay, *, back: bool = False) -> tuple[Step, ...]:
        return steps_of(found, self._names(Kind.MEMBER), self._names(Kind.API_SERVER), back=back)

    def _names(self, kind: Kind) -> tuple[str, ...]:
        return tuple(party.name for party in self._site.places if party.kind is kind)

    def _note(self, kind: str, fields: Mapping[str, object]) -> None:
        self._journal.append(kind, self._site.clock.now(), fields)


def require_start(site: Site) -> None:
    """Look at everybody before anything is changed: healthy, with the directory's CAs, on files and at ports.

    Raises `UnreachableError` where a file is missing, `RefusedError` where one is not as the directory has it, and
    `StoppedError` where somebody is away.
    """
    for place in site.places.values():
        for pair in files.pairs(place.files[Generation.OLD]):
            files.read(place, f"{pair.stem}.crt")
            files.read(place, f"{pair.stem}.key")
    proof = Proof(site)
    well = proof.all_well() or proof.indistinct()
    if well:
        raise StoppedError("not everybody is well; nothing was changed", cause=well, hint="mend that first")
    for party in site.places:
        said = proof.stands(party, Trust.OLD)
        if said:
            raise RefusedError(
                "a host does not have what the directory has; nothing was changed",
                cause=said,
                hint="name the directory whose CA made these certificates, and each host's own folder in it",
            )
