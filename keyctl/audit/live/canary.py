"""The shortest proof: write a Secret without data through each API server, read it where it is stored, delete it.

The one part of an audit that changes something, and only what it made itself: it is asked for by its own option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keyctl.audit.live.api_servers import Place
from keyctl.errors import KeyctlError
from keyctl.findings import Evidence, Location
from keyctl.keys.key import KeyRef
from keyctl.kube.interface import ObjectRef
from keyctl.stored.display import display
from keyctl.stored.envelope import Plaintext, Sealed, classify

_NAMESPACE = "kube-system"
# NOTE: the same names each time: what a run that was killed left behind, the next one takes away.
_NAME = "keyctl-canary-audit"

# The value at a key of the etcd that holds Secrets, None where there is none.
Read = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Canary:
    """What became of the Secret written through one server. `problem` says why nothing of it is known, or what is left.

    `under` is the key that its stored value names; None: it is `plaintext`, or nothing that is known.
    """

    server: str
    location: Location
    under: KeyRef | None = None
    plaintext: bool = False
    problem: str = ""
    evidence: Evidence = Evidence.E3


def canaries(places: Sequence[Place], read: Read, *, prefix: str, key_names: Sequence[str]) -> Iterator[Canary]:
    """One for each server, and another one for what is left.

    `key_names` are those of the configurations: a name may have a colon in it.
    """
    for number, place in enumerate(places, start=1):
        at = Location(endpoint=place.url)
        try:
            ref = place.api.create_canary(_NAMESPACE, f"{_NAME}-{number}")
        except KeyctlError as error:
            yield Canary(place.name, at, problem=f"it was not written: {_sentence(error)}")
            continue
        try:
            found = _look(place.name, ref, read, prefix, key_names)
        finally:
            left = _deleted(place, ref)
        yield found
        if left is not None:
            yield left


def _look(server: str, ref: ObjectRef, read: Read, prefix: str, key_names: Sequence[str]) -> Canary:
    key = f"{prefix.rstrip('/')}/secrets/{ref.namespace}/{ref.name}"
    at = Location(etcd_key=key)
    try:
        value = read(key.encode())
    except KeyctlError as error:
        return Canary(server, at, problem=f"it was not read: {_sentence(error)}")
    if value is None:
        return Canary(server, at, problem="what was written is not in the etcd that was read")
    head = classify(value, key_names)
    under = head.ref if isinstance(head, Sealed) else None
    return Canary(server, at, under, isinstance(head, Plaintext))


def _deleted(place: Place, ref: ObjectRef) -> Canary | None:
    """None when it is gone."""
    try:
        place.api.delete_canary(ref)
    except KeyctlError as error:
        problem = f"Secret {ref.namespace}/{ref.name} was not deleted: {_sentence(error)}"
        return Canary(place.name, Location(endpoint=place.url), problem=problem)
    return None


def _sentence(error: KeyctlError) -> str:
    return f"{error} ({display(error.cause.splitlines()[0])})" if error.cause else str(error)
