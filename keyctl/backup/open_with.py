"""Whether keys are the right ones: what of the stored values they open. Counts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keyctl.backup.every_key import every_key
from keyctl.keys.key import Key, KeyRef
from keyctl.stored.census import Census
from keyctl.stored.paths import root_of
from keyctl.stored.source import ValueSource


@dataclass(frozen=True, slots=True)
class Opened:
    """`by_key` counts the values that each key opened, in the order of the keys.

    `failed` are the keys that values name and that open none of them: other bytes under that name.
    """

    by_key: tuple[tuple[KeyRef, int], ...]
    failed: tuple[KeyRef, ...]

    @property
    def values(self) -> int:
        """How many values opened."""
        return sum(count for _, count in self.by_key)


def open_with(keys: Sequence[Key], sources: Iterable[ValueSource], prefix: str) -> Opened:
    """Open every value of `sources` under `prefix` with `keys`. Raises what the sources raise."""
    census = Census(root_of(prefix.encode()), every_key(keys))
    for source in sources:
        for batch in source.batches(root_of(prefix.encode())):
            census.add(batch)
    opened, failed = Counter[KeyRef](), Counter[KeyRef]()
    for group in census.result().groups:
        if group.ref is not None:
            opened[group.ref] += group.decrypted
            failed[group.ref] += group.failed
    refs = [key.ref for key in keys]
    return Opened(
        tuple((ref, opened[ref]) for ref in refs), tuple(ref for ref in refs if failed[ref] and not opened[ref])
    )
