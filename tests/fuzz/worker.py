"""One process that makes inputs and tries them out for ever. It dies on an input that takes too long.

The parent sees in the shared memory what was tried last, and since when; mistakes go into files at once, so that
nothing is lost with the process.
"""

from __future__ import annotations

import hashlib
import mmap
import random
import resource
import signal
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.findings import Mistake, Target, try_out
from tests.fuzz.mutations import LONGEST, mutate

_MEMORY = 1 << 30
_HEADER = struct.Struct("<QQdI")
# Inputs that others are made from: as many, and none longer in bytes, so that they stay quick.
_KEPT, _LONGEST_KEPT = 4000, 4096


class Slot:
    """Shared with the parent: inputs tried so far, inputs kept, when the last began (monotonic), and that input."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_HEADER.size + LONGEST)
            self._memory = mmap.mmap(file.fileno(), 0)

    def begin(self, tried: int, kept: int, content: bytes) -> None:
        """Note what is tried next."""
        self._memory[: _HEADER.size] = _HEADER.pack(tried, kept, time.monotonic(), len(content))
        self._memory[_HEADER.size : _HEADER.size + len(content)] = content

    def look(self) -> tuple[int, int, float, bytes]:
        """The same, as the worker noted it last."""
        tried, kept, since, size = _HEADER.unpack_from(self._memory)
        return tried, kept, since, self._memory[_HEADER.size : _HEADER.size + size]


def save(folder: Path, mistake: Mistake, content: bytes) -> None:
    """Keep the shortest input for each mistake, with what is known about it beside."""
    stem = f"{mistake.place.split()[0]}-{hashlib.sha256(mistake.place.encode()).hexdigest()[:12]}"
    file = folder / f"{stem}.input"
    if file.exists() and file.stat().st_size <= len(content):
        return
    file.write_bytes(content)
    (folder / f"{stem}.txt").write_text(f"{mistake.place}\n{mistake.told}\n", errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do. `seconds` is the processor time for one input: what others on the machine do is not."""

    slot: Path
    folder: Path
    seed: str
    seeds: Sequence[bytes]
    targets: Sequence[Target]
    seconds: float


def work(task: Task) -> None:
    """Never returns. An input whose outcome was not seen before becomes one that others are made from."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its default action ends the process, also in the middle of a library.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    slot = Slot(task.slot)
    chance = random.Random(task.seed)  # noqa: S311 — to be repeated, not to be secret
    pool = list(task.seeds)
    seen: set[str] = set()
    tried = 0
    while True:
        content = pool[tried] if tried < len(task.seeds) else mutate(_one(pool, chance), chance.choice(pool), chance)
        slot.begin(tried, len(pool), content)
        tried += 1
        signal.setitimer(signal.ITIMER_PROF, task.seconds)
        new = False
        for target in task.targets:
            outcome, mistake = try_out(target, content)
            new |= outcome not in seen
            seen.add(outcome)
            if mistake is not None:
                save(task.folder, mistake, content)
        if new and len(pool) < _KEPT and len(content) <= _LONGEST_KEPT:
            pool.append(content)


def _one(pool: list[bytes], chance: random.Random) -> bytes:
    """Newer ones more often: they got further."""
    return pool[max(chance.randrange(len(pool)), chance.randrange(len(pool)))]
