"""Secrets in a lab for live tests, and keyctl run on it as a user would."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.plane import Lab
from keyctl.lab.seed import SeededSecret, differences, plant, secrets_in

NAMESPACES = ("shop", "payments", "mail")


@dataclass(frozen=True, slots=True)
class Answered:
    """What one run of keyctl said."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Seeded:
    """A lab with Secrets in it; `state` is where its keyctl keeps journal and snapshots."""

    lab: Lab
    state: Path
    secrets: tuple[SeededSecret, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What keyctl finds its cluster by."""
        return os.environ | {"KEYCTL_CLUSTER": str(self.lab.cluster_file), "XDG_STATE_HOME": str(self.state)}

    def keyctl(self, *arguments: str) -> Answered:
        """Run keyctl to its end."""
        return self.run("keyctl", *arguments)

    def run(self, module: str, *arguments: str) -> Answered:
        """Run a module in keyctl's environment to its end."""
        command = [sys.executable, "-m", module, *arguments]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=1500)
        return Answered(ran.returncode, ran.stdout, ran.stderr)

    def changed(self) -> dict[str, tuple[str, ...]]:
        """The Secrets that a server does not give back as they were created, by server."""
        context = admin_credentials(self.lab.layout).context()
        found = {server.name: differences(server.url, context, self.secrets) for server in self.lab.topology.servers}
        return {name: different for name, different in found.items() if different}

    def metadata(self) -> dict[str, tuple[object, ...]]:
        """Labels, annotations and managedFields of every Secret, by namespace/name."""
        return metadata_of(self.lab.topology.servers[0].url, admin_credentials(self.lab.layout).context(), NAMESPACES)

    def generated_keys(self) -> list[str]:
        """The names of all keys in the key store."""
        return [path.name.removesuffix(".key.json").partition(".")[2] for path in self._keys().glob("*.key.json")]

    def _keys(self) -> Path:
        return self.lab.cluster_file.parent / "keys"

    def files(self) -> list[bytes]:
        """Every server's encryption configuration."""
        return [
            self.lab.layout.server(server.name).encryption_config.read_bytes() for server in self.lab.topology.servers
        ]


def metadata_of(url: str, context: ssl.SSLContext, namespaces: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    """What must not change about Secrets besides their data."""
    found: dict[str, tuple[object, ...]] = {}
    for namespace in namespaces:
        request = urllib.request.Request(f"{url}/api/v1/namespaces/{namespace}/secrets")  # noqa: S310 — https, from the lab
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:  # noqa: S310 — as above
            for item in json.load(answer)["items"]:
                meta = item["metadata"]
                what = (meta["uid"], meta.get("labels"), meta.get("annotations"), meta.get("managedFields"))
                found[f"{namespace}/{meta['name']}"] = what
    return found


def seed(lab: Lab, state: Path, count: int) -> Seeded:
    """Create `count` Secrets in `lab`."""
    secrets = secrets_in(NAMESPACES, count)
    plant(lab.topology.servers[0].url, admin_credentials(lab.layout).context(), secrets)
    return Seeded(lab, state, secrets)
