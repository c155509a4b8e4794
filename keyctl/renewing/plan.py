"""From one generation of CAs to the next, and back: steps in an order that locks nobody out. Pure values.

Trust goes before leaves and leaves go before distrust. Every party trusts both CAs before any party shows a leaf of
the new one; every party shows one before any party stops trusting the old one. So at each instant, also between two
steps and in the middle of one, everybody who runs trusts everybody who runs, and whoever starts anew does too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from keyctl.errors import RefusedError
from keyctl.pki.generation import Generation, Trust


class Kind(StrEnum):
    """What a party is."""

    MEMBER = "member"
    API_SERVER = "API server"


@dataclass(frozen=True, slots=True)
class Party:
    """A member of etcd or an API server: whose files are changed on its host."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class GiveTrust:
    """Whom a party trusts: the CA files on its host, and its process, which has read them when it started."""

    party: Party
    trust: Trust

    def __str__(self) -> str:
        return f"{self.party}: trust {self.trust}, restart, and see it"


@dataclass(frozen=True, slots=True)
class GiveLeaves:
    """What a party shows: each key on its host with the certificate for it. `renewed`: there is one CA alone."""

    party: Party
    generation: Generation
    renewed: bool = False

    def __str__(self) -> str:
        restart = ", restart" if self.party.kind is Kind.API_SERVER else ""
        what = "renewed keys and certificates" if self.renewed else f"keys and certificates of the {self.generation} CA"
        return f"{self.party}: {what}{restart}, and see them"


class Handing(StrEnum):
    """What only the operator can give to those clients that are on no host of the cluster file."""

    TRUST = "both CAs"
    LEAVES = "their new keys and certificates"
    BACK = "their former keys and certificates"


@dataclass(frozen=True, slots=True)
class Gate:
    """Nothing goes on until somebody says that `clients` have it."""

    clients: tuple[str, ...]
    handing: Handing

    def __str__(self) -> str:
        return f"stop, until these other clients have {self.handing}: {', '.join(self.clients)}"


@dataclass(frozen=True, slots=True)
class Census:
    """Look at what each port shows and each API server has: all of one generation, or nothing goes on."""

    generation: Generation

    def __str__(self) -> str:
        return f"census: every port and every API server has a certificate of the {self.generation} CA, and no other"


@dataclass(frozen=True, slots=True)
class Settle:
    """The directory: the next generation takes the place of the present one, or is given up."""

    generation: Generation

    def __str__(self) -> str:
        if self.generation is Generation.NEW:
            return "directory: the new CA and its certificates are the ones that are there; erase the former keys"
        return "directory: give up the new CA; erase its keys"


Step = GiveTrust | GiveLeaves | Gate | Census | Settle


def named(number: int, step: Step) -> str:
    """The step `number` of a plan as the journal has it."""
    return f"{number} {step}"


def forward(members: Sequence[str], api_servers: Sequence[str], others: Sequence[str]) -> tuple[Step, ...]:
    """The whole roll-over. `others` are the clients that no host of the cluster file has."""
    parties = (*(Party(Kind.MEMBER, name) for name in members), *(Party(Kind.API_SERVER, name) for name in api_servers))
    trust_gate = (Gate(tuple(others), Handing.TRUST),) if others else ()
    leaf_gate = (Gate(tuple(others), Handing.LEAVES),) if others else ()
    return (
        *(GiveTrust(party, Trust.BOTH) for party in parties),
        *trust_gate,
        *(GiveLeaves(party, Generation.NEW) for party in parties),
        Census(Generation.NEW),
        *leaf_gate,
        *(GiveTrust(party, Trust.NEW) for party in parties),
        Census(Generation.NEW),
        Settle(Generation.NEW),
    )


def way_back(begun: Iterable[Step]) -> tuple[Step, ...]:
    """What undoes the steps that were `begun`, the last of them maybe half-way.

    Raises `RefusedError` once a party was told to trust the new CA alone: what is left is the way forward.
    """
    steps = tuple(begun)
    gone = next((one for one in steps if isinstance(one, GiveTrust) and one.trust is Trust.NEW), None)
    if gone is not None:
        raise no_way_back(f"{gone.party} was told to trust the new CA alone")
    handed = tuple(
        Gate(one.clients, Handing.BACK) for one in steps if isinstance(one, Gate) and one.handing is Handing.LEAVES
    )
    leaves = tuple(GiveLeaves(one.party, Generation.OLD) for one in reversed(steps) if isinstance(one, GiveLeaves))
    trusts = tuple(GiveTrust(one.party, Trust.OLD) for one in reversed(steps) if isinstance(one, GiveTrust))
    census = (Census(Generation.OLD),) if leaves else ()
    return (*leaves, *census, *handed, *trusts, Settle(Generation.OLD))


def no_way_back(cause: str) -> RefusedError:
    """Why nobody goes back any more."""
    return RefusedError(
        "the old CA is leaving: there is no way back any more",
        cause=cause,
        hint="go forward with --resume; every certificate is of the new CA by now",
    )


def renewal(members: Sequence[str], api_servers: Sequence[str]) -> tuple[Step, ...]:
    """New leaves of the CA that is there, one party after the other."""
    return (
        *(GiveLeaves(Party(Kind.MEMBER, name), Generation.OLD, renewed=True) for name in members),
        *(GiveLeaves(Party(Kind.API_SERVER, name), Generation.OLD, renewed=True) for name in api_servers),
    )
