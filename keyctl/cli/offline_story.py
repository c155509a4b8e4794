"""What `keyctl demo --offline` tells: three snapshots of one made-up cluster, and how to read what keyctl says of them.

It runs keyctl as a user would, on files that were made for it, and insists on each exit code. Connects to nothing,
and looks at no cluster of the user.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from keyctl.cli import files
from keyctl.cli.terminal import chapter
from keyctl.errors import ExitCode, StoppedError
from keyctl.lab.staged.database import snapshot
from keyctl.lab.staged.scene import Planted, Scene

FOUND, ROTATED, SANITIZED = "1-found.db", "2-rotated.db", "3-sanitized.db"
CONFIGURATION, ROTATED_CONFIGURATION = "encryption-config.yaml", "after-rotation.yaml"
_CLUSTER_FILE = "keyctl.yaml"
# Without it, keyctl would look for a cluster of the user, or for an API server on this machine.
_CLUSTER = b"""apiVersion: keyctl/v1
kind: Cluster
name: demo-offline
etcd: {endpoints: [https://127.0.0.1:2379], cacert: ca.crt, cert: client.crt, key: client.key}
"""
# In seconds; it needs less than one.
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class OfflineStory:
    """The story in `directory`, which is empty before and holds snapshots and configurations afterwards."""

    directory: Path

    def tell(self) -> None:
        """Make the files, act by act, and show each. Raises `StoppedError` where keyctl does not say what is true."""
        files.write_new(self.directory / _CLUSTER_FILE, _CLUSTER)
        scene = Scene()
        found = scene.go_wrong()
        self._save(FOUND, scene, CONFIGURATION)
        chapter(f"A backup of etcd with {found.live} Secrets, made up for this; encryption at rest is turned on")
        name = scene.first_plaintext
        shown = self._read_as_text(FOUND, name, scene.password_of(name))
        click.echo(f"Whoever has the file reads, without any key: {name} {shown}")
        chapter("Is it encrypted?")
        self._verify(FOUND, CONFIGURATION, expect=ExitCode.PLAINTEXT)
        _read_found(found)
        rotated = scene.be_rotated()
        self._save(ROTATED, scene, ROTATED_CONFIGURATION)
        chapter("The same cluster, repaired: every value rewritten under one new key, etcd's history compacted")
        self._verify(ROTATED, ROTATED_CONFIGURATION, "--residue", expect=ExitCode.RESIDUE)
        _read_rotated(rotated)
        scene.be_sanitized()
        self._save(SANITIZED, scene, None)
        chapter("And once more, after the member was defragmented: keyctl sanitize does it, and proves it")
        self._verify(SANITIZED, ROTATED_CONFIGURATION, "--residue", expect=ExitCode.OK)

    def _save(self, name: str, scene: Scene, configuration: str | None) -> None:
        files.write_new(self.directory / name, snapshot(scene.history))
        if configuration is not None:
            files.write_new(self.directory / configuration, scene.configuration)

    def _read_as_text(self, file: str, name: str, password: str) -> str:
        """What stands in `file` for anybody to read, and is looked for there."""
        if password.encode() not in (self.directory / file).read_bytes():
            raise StoppedError(f"{file} does not hold {name} in plaintext")
        return password

    def _verify(self, snapshot_name: str, configuration: str, *flags: str, expect: ExitCode) -> None:
        arguments = ["verify-secrets", "--snapshot", snapshot_name, "--encryption-config", configuration, *flags]
        click.echo(f"$ keyctl {' '.join(arguments)}")
        sys.stdout.flush()
        command = [sys.executable, "-m", "keyctl", *arguments]
        environment = os.environ | {"KEYCTL_CLUSTER": _CLUSTER_FILE}
        try:
            code = subprocess.run(  # noqa: S603 — our own program
                command, cwd=self.directory, env=environment, check=False, timeout=_PATIENCE
            ).returncode
        except subprocess.TimeoutExpired as exc:
            raise StoppedError(f"keyctl {arguments[0]} did not end within {_PATIENCE:.0f} s") from exc
        if code != expect:
            raise StoppedError(f"keyctl {arguments[0]} ended with {code}, not {expect.value}")
        click.echo(f"(exit code {code}: {expect.meaning})")


def _read_found(planted: Planted) -> None:
    _explained(
        f"{planted.plaintext} plaintext: turning encryption on rewrites nothing of what is there "
        "(keyctl explain KC-DAT-001)",
        f"{planted.old_key} stale: a new key writes; these need the old one until they are rewritten (KC-DAT-004)",
        f"{planted.unopened} unreadable: its key is in no file; an API server that restarts would not come up "
        "(KC-DAT-002)",
        f"{planted.right} right: opened with the key that writes now, not only told from their heads",
        f"behind them, overwritten or deleted and still in the file: {planted.plaintext_in_history} in etcd's history, "
        f"{planted.plaintext_in_free_pages} in freed pages",
    )


def _read_rotated(planted: Planted) -> None:
    _explained(
        f"all {planted.right} live values are right: without --residue this would be exit code 0",
        f"{planted.plaintext_in_free_pages} Secrets are still there in plaintext, in pages that etcd freed and never "
        "wiped (keyctl explain KC-DAT-010)",
        f"{planted.old_keys_in_free_pages} more are there under keys that were taken away: those keys still open them",
    )


def _explained(*lines: str) -> None:
    click.echo("\nHow to read it:")
    for line in lines:
        click.echo(f"  {line}")
