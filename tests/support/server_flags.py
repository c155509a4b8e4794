"""The flags of a lab's API servers, changed in their manifests: a server has them from its next restart on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from keyctl.hosts.manifests import add_encryption_flag
from keyctl.keys.key import Key
from keyctl.lab.plane import Lab
from tests.support.cluster_copy import ClusterFile, cluster_copy
from tests.support.encryption_file import write_config


def set_flags(lab: Lab, server: str, **flags: str) -> None:
    """Give `server` these flags (`request_timeout="3s"`) in place of what they were. Restarts nothing."""
    path = lab.layout.server(server).manifest
    document = yaml.safe_load(path.read_text())
    (container,) = document["spec"]["containers"]
    wanted = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    kept = [word for word in container["command"] if word.partition("=")[0] not in wanted]
    container["command"] = kept + [f"{name}={value}" for name, value in wanted.items()]
    path.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))


def limit_requests(
    lab: Lab, seconds: int, cluster_file: Path, edit: Callable[[ClusterFile], object] | None = None
) -> None:
    """From their next restart on no server is busy with a request for longer than that, and the cluster file that is
    written, after `edit`, has keyctl settle for no longer.
    """

    def settle(cluster: ClusterFile) -> None:
        cluster["policy"]["settle"] = f"{seconds}s"
        if edit is not None:
            edit(cluster)

    for server in lab.topology.servers:
        set_flags(lab, server.name, request_timeout=f"{seconds}s")
    cluster_copy(lab, cluster_file, settle)


def encrypt_by_hand(lab: Lab, key: Key, *entries: tuple[str, ...]) -> None:
    """Give every server a file with `key` as the writer of each of `entries`, and the flag for it; restart them all."""
    for server in lab.topology.servers:
        files = lab.layout.server(server.name)
        files.encryption_config.parent.mkdir(mode=0o700, exist_ok=True)
        texts: list[str] = []
        for resources in entries:
            text = write_config(files.encryption_config, key, resources=resources).read_text()
            texts.append(text.partition("resources:\n")[2] if texts else text)
        files.encryption_config.write_text("".join(texts))
        files.manifest.write_bytes(_flagged(files.manifest, files.encryption_config))
        lab.restart(server.name)


def _flagged(manifest: Path, config: Path) -> bytes:
    return add_encryption_flag(manifest.read_bytes(), config_path=str(config), reload=False, name="the manifest")
