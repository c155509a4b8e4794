"""What was seen of the cluster at one moment, as values. Nothing here looks or decides. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.rotation.loaded import LoadedBy
from keyctl.rotation.plan import Stage, Way


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server against the plan.

    `disk` and `loaded` are stages of the plan; None means a file that is none of
    the plan's, or, for `loaded`, that it is not known: `unsure` then says that this
    may be a file of the plan all the same, and `loaded_by` is else what shows it.
    `floor` is the stage of its file as it was. `proven` is the stage for which this very process was
    seen ready, with that file loaded, and listing every encrypted resource.
    `seen_ready` says that this run has seen it ready: when it is down later, it is
    waited for, not restarted. `had_flag`: its manifest had the encryption flag
    from the start; `flag_missing`: it has none now.
    """

    name: str
    reloads: bool
    ready: bool
    disk: Stage | None
    loaded: Stage | None
    floor: Stage = Stage.BASE
    had_flag: bool = True
    flag_missing: bool = False
    proven: Stage | None = None
    seen_ready: bool = False
    problem: str = ""
    unsure: bool = False
    loaded_by: LoadedBy | None = None


@dataclass(frozen=True, slots=True)
class Proofs:
    """What this run has proven so far, all for one unchanged set of processes and of what they have loaded.

    `readable` counts proofs in a row that every server reads the new key.
    `switched` is the revision r0 after every server was proven to write with the
    key that is to stay. `left` is the number of values to be rewritten, None when
    not counted since the last write. `settled` says that the settle time after t0
    has passed with every server ready; `verified` is the revision of the scan made
    after it; `history` that what that scan did not show cannot be asked for either.
    `settled_again` and `gone` are the same two for the time after the last file
    without the leaving key was loaded.
    """

    readable: int = 0
    switched: int | None = None
    left: int | None = None
    settled: bool = False
    verified: int | None = None
    history: bool = False
    settled_again: bool = False
    gone: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything the machine decides from.

    `census_problem` is a sentence, empty when the census agrees or while a server
    is down, `census_hints` what to do about it. `leaves`: a key leaves the files at the end of this way. `resecured`:
    the archive holds what is needed once it has left. `late` is the number of
    values that turned up under it when some server could no longer read them. `withdraws`: on the way back from a
    plugin that has never written, and whose absence may be what keeps a server down.
    """

    servers: tuple[ServerView, ...]
    census_problem: str = ""
    proofs: Proofs = Proofs()
    way: Way = Way.FORWARD
    leaves: bool = True
    resecured: bool = False
    late: int = 0
    census_hints: tuple[str, ...] = ()
    withdraws: bool = False
