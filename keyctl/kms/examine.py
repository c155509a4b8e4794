"""Ask a plugin what kube-apiserver asks it, and a few things that kube-apiserver never does.

Reaches the plugin through its interface alone, and judges nothing: that is `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from keyctl.kms.interface import Failed, Plugin, Sealed, Status, Timed
from keyctl.kms.kept import Kept

# What kube-apiserver has sealed: the seed that the keys of single values are derived from.
SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Round:
    """One Status, one Encrypt and one Decrypt of a fresh seed, in this order; None for what was not asked any more."""

    status: Timed[Status] | Failed
    sealed: Timed[Sealed] | Failed | None = None
    opened: Timed[bytes] | Failed | None = None
    seed: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Old:
    """A value that was sealed earlier, and what the plugin makes of it now."""

    kept: Kept
    opened: Timed[bytes] | Failed


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was asked and answered. `altered` are the answers to ciphertexts in which a bit was turned.

    `last` is the Status behind everything else; None where the first one failed.
    """

    rounds: tuple[Round, ...]
    altered: tuple[Timed[bytes] | Failed, ...] = ()
    olds: tuple[Old, ...] = ()
    last: Timed[Status] | Failed | None = None

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Every answer to Status, in order."""
        asked = (*(one.status for one in self.rounds), self.last)
        return tuple(answer.value for answer in asked if isinstance(answer, Timed))

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """Every answer to Encrypt, in order."""
        return tuple(one.sealed.value for one in self.rounds if isinstance(one.sealed, Timed))

    def calls(self) -> Iterator[tuple[str, Timed[Status] | Timed[Sealed] | Timed[bytes] | Failed]]:
        """Every call by name, but those that had to fail."""
        for one in self.rounds:
            yield "Status", one.status
            if one.sealed is not None:
                yield "Encrypt", one.sealed
            if one.opened is not None:
                yield "Decrypt", one.opened
        yield from (("Decrypt", old.opened) for old in self.olds)
        if self.last is not None:
            yield "Status", self.last


def examine(
    plugin: Plugin, *, rounds: int, olds: Sequence[Kept], new_seed: Callable[[], bytes], new_uid: Callable[[], str]
) -> Seen:
    """Ask `rounds` times; stops asking what has failed once, so that a plugin that hangs is not waited for again."""
    done: list[Round] = []
    for _ in range(rounds):
        done.append(_round(plugin, new_seed(), new_uid))
        if not isinstance(done[-1].opened, Timed):
            break
    if isinstance(done[0].status, Failed):
        return Seen(tuple(done))
    altered = tuple(_altered(plugin, done[-1].sealed, new_uid)) if isinstance(done[-1].opened, Timed) else ()
    tried = tuple(Old(kept, plugin.decrypt(kept.sealed, new_uid())) for kept in olds)
    return Seen(tuple(done), altered, tried, plugin.status())


def _round(plugin: Plugin, seed: bytes, new_uid: Callable[[], str]) -> Round:
    status = plugin.status()
    if isinstance(status, Failed):
        return Round(status)
    sealed = plugin.encrypt(seed, new_uid())
    opened = None if isinstance(sealed, Failed) else plugin.decrypt(sealed.value, new_uid())
    return Round(status, sealed, opened, seed)


def _altered(
    plugin: Plugin, sealed: Timed[Sealed] | Failed | None, new_uid: Callable[[], str]
) -> Iterator[Timed[bytes] | Failed]:
    """The answers to a ciphertext with one bit turned: in its first byte, in its middle, in its last."""
    if not isinstance(sealed, Timed) or not sealed.value.ciphertext:
        return
    whole = sealed.value.ciphertext
    for place in sorted({0, len(whole) // 2, len(whole) - 1}):
        turned = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        yield plugin.decrypt(replace(sealed.value, ciphertext=turned), new_uid())
