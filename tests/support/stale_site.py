"""What rewriting works with, on a lab whose servers were given another write key by hand."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from keyctl.cli import wiring
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.errors import StoppedError
from keyctl.kube.servers import HttpApiServer
from keyctl.lab.plane import Lab
from keyctl.rotation.scan import Scan, name_first, scan, wanted
from keyctl.rotation.sending import Site
from keyctl.rotation.world import Event


@dataclass
class Told:
    """A `Reporter` and a journal that remember."""

    events: list[Event] = field(default_factory=list)
    records: list[dict[str, object]] = field(default_factory=list)

    def event(self, event: Event) -> None:
        self.events.append(event)


@contextlib.contextmanager
def stale_site(
    lab: Lab, state: Path, *, tag: str, resources: tuple[str, ...] = ("secrets",)
) -> Iterator[tuple[Site, Told]]:
    """The site of a rotation that brings `resources` under the key that the first server's file writes with.

    Its tag begins with `tag`.
    """
    file = lab.layout.server(lab.topology.servers[0].name).encryption_config
    config = decode(file.read_bytes(), name="enc").config
    want = wanted(config, effective.writer(config, resources[0]).ref, resources)
    told = Told()
    with (
        mock.patch.dict(os.environ, {"XDG_STATE_HOME": str(state)}),
        wiring.rotation(lab.cluster_file) as parts,
        contextlib.ExitStack() as connections,
    ):
        world = parts.world
        for server in world.servers:
            if isinstance(server.api, HttpApiServer):
                connections.callback(server.api.close)

        def count() -> Scan:
            found = scan(world.everything(), prefix=world.prefix, config=config, want=want, work_limit=20_000)
            if found.unreadable:
                raise StoppedError("a value opens with no key", cause=name_first(found.problems), rule="R10")
            return found

        site = Site(
            servers=tuple(server.api for server in world.servers),
            served=world.servers[0].api.discover(),
            etcds=tuple(place.etcd for place in world.etcds),
            count=count,
            write=lambda kind, fields: told.records.append({"kind": kind, **fields}),
            breathe=lambda: None,
            clock=world.clock,
            reporter=told,
            tag=f"{tag}-{time.time_ns():x}",
        )
        yield site, told
