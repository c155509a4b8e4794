"""What was seen of the cluster at one moment, as values. Nothing here looks or decides. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.rotation.plan import Stage


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server against the plan.

    `disk` and `loaded` are stages of the plan; None means a file that is none of
    the plan's, or, for `loaded`, that the server did not say. `proven` is the
    stage for which this very process was seen ready, with that file loaded, and
    listing every encrypted resource. `seen_ready` says that this run has seen it
    ready: when it is down later, it is waited for, not restarted.
    """

    name: str
    reloads: bool
    ready: bool
    disk: Stage | None
    loaded: Stage | None
    flag_missing: bool = False
    proven: Stage | None = None
    seen_ready: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Proofs:
    """What this run has proven so far, all for one unchanged set of processes and of what they have loaded.

    `readable` counts proofs in a row that every server reads the new key.
    `switched` is the revision r0 after every server was proven to write with it.
    `left` is the number of values not under the new key, None when not counted
    since the last write. `settled` says that the settle time after t0 has passed
    with every server ready; `verified` is the revision of the scan made after it.
    """

    readable: int = 0
    switched: int | None = None
    left: int | None = None
    settled: bool = False
    verified: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything the machine decides from.

    `census_problem` is a sentence, empty when the census agrees or while a server is down.
    """

    servers: tuple[ServerView, ...]
    census_problem: str = ""
    proofs: Proofs = Proofs()
