"""keyctl's own rewriting as a process: work list from raw etcd, empty patches, another look, until nothing is left.

`python -m tests.benchmarks.rewrite_stale CLUSTER_FILE` brings every Secret under
the key that the API servers write with. It is what `keyctl rotate` does between
`promoted` and `rewritten`, journal included. The last line of standard error is
how many seconds that took without the start of the process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from keyctl.cli import wiring
from keyctl.cli.progress import PlainLines
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.rotation.journal import Journal
from keyctl.rotation.patching import Patching
from keyctl.rotation.readings import ROUND_LIMIT
from keyctl.rotation.rewriting import Rewriter
from keyctl.rotation.scan import Scan, scan, wanted
from keyctl.rotation.sending import Site
from keyctl.rotation.world import Server


def rewrite(cluster: Path) -> None:
    """Rewrite until a scan finds nothing left. Raises what `Rewriter.run` raises."""
    with wiring.rotation(cluster) as parts:
        # NOTE: client libraries are loaded while the parts are built.
        begun, world = time.perf_counter(), parts.world
        config = _config_of(world.servers[0])
        want = wanted(config, effective.writer(config, "secrets").ref, parts.policy_resources)
        journal = Journal(parts.state_directory)

        def count() -> Scan:
            return scan(world.everything(), prefix=world.prefix, config=config, want=want, work_limit=ROUND_LIMIT)

        apis = tuple(server.api for server in world.servers)
        site = Site(
            servers=apis,
            served=apis[0].discover(),
            etcds=tuple(place.etcd for place in world.etcds),
            count=count,
            write=lambda kind, fields: journal.append(kind, world.clock.now(), fields),
            breathe=lambda: None,
            clock=world.clock,
            reporter=PlainLines(),
            tag="bench",
        )
        Rewriter(site, Patching(site)).run()
    sys.stderr.write(f"{time.perf_counter() - begun}\n")


def _config_of(server: Server) -> EncryptionConfig:
    file = server.host.read(server.config_path)
    if file is None:
        raise RuntimeError(f"{server.name} has no encryption configuration")
    return decode(file.content, name=server.config_path).config


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))
