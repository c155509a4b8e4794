"""A key in the files that nodes fetch: what one is to load, and what its agent last reported. Looks only (R4).

Of servers that the cluster file does not list any more nothing else is known: their nodes may run on, and what is
published for one is put in place whenever its agent wakes.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.errors import UnusableInputError
from keyctl.keys.distribution import Distribution, Trace
from keyctl.keys.key import Key, KeyRef
from keyctl.rotation.obstacles import Obstacle


def holding(nodes: Distribution, ref: KeyRef, key: Key | None, *, told: Collection[str]) -> Iterator[Obstacle]:
    """A reason for each file that has `ref`, or the bytes of `key`; reports of servers that are `told` are left out."""
    for trace in nodes.traces():
        if not _holds(trace, ref, key):
            continue
        if trace.wanted:
            yield Obstacle(
                f"{trace.server} is to load a file with it: {trace.entry} of {nodes.location}",
                (
                    "a rotation publishes what takes its place: keyctl rotate",
                    f"once no server has an agent any more: {trace.erase}",
                ),
            )
        elif trace.server not in told:
            yield Obstacle(
                f"{trace.server} has last reported a file with it: {trace.entry} of {nodes.location}",
                (f"once that node is gone, or has another file and no agent: {trace.erase}",),
            )


def _holds(trace: Trace, ref: KeyRef, key: Key | None) -> bool:
    try:
        config = decode(trace.content, name=trace.entry).config
    except UnusableInputError:
        # NOTE: a manifest, or what no server loads and no agent puts in place; but a key is a key.
        return key is not None and base64.b64encode(key.material) in trace.content
    return any(one.ref == ref for one in effective.all_static_keys(config))
