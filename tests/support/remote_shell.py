"""The far end of an ssh connection without ssh: a shell on this machine that runs what would be sent, and notes it.

Programs put into its `tools` are found before the system's own ones.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from keyctl.hosts.process import Ended, run
from keyctl.hosts.ssh import SshHost
from keyctl.hosts.ssh_failures import Place
from tests.support.debian import debian_packages, do_without

# What the script starts, and the shell itself. Without cp: that of busybox keeps no access list.
BUSYBOX_TOOLS = (
    *("sh", "stat", "sha256sum", "dd", "mv", "ln", "rm", "sync", "chmod", "chown", "mkdir", "head", "date"),
    *("timeout", "sleep"),
)


@dataclass
class RemoteShell:
    """`shell` is the login shell; `before` words that it is started by; `sent` each command with its stdin."""

    tools: Path
    shell: str = "sh"
    before: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    answers: list[Ended] = field(default_factory=list)
    dropped: int = 0
    place: Place = field(default_factory=lambda: Place("cp1", "ssh cp1"))

    def __post_init__(self) -> None:
        self.tools.mkdir(exist_ok=True)
        path = shutil.which(self.shell)
        assert path, f"no {self.shell} on this machine"
        if not (self.tools / "sh").exists():
            (self.tools / "sh").symlink_to(path)

    def run(self, command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        """See `SshConnection.run`; the next of `answers` instead, where there is one."""
        self.sent.append((command, content))
        if self.answers:
            return self.answers.pop(0)
        words = (*self.before, str(self.tools / "sh"), "-c", command)
        environment = {"PATH": f"{self.tools}:{os.defpath}", **self.environment}
        return run(words, content=content, seconds=seconds, most=most, environment=environment)

    def drop(self) -> None:
        """See `SshConnection.drop`."""
        self.dropped += 1

    def tool(self, name: str, script: str) -> None:
        """Put a program of that name before the system's; "$real" in `script` is that one."""
        real = shutil.which(name, path=os.defpath)
        program = self.tools / name
        program.write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
        program.chmod(0o755)

    def host(self, *, restart: tuple[str, ...] | None = None, wait: float = 30.0, sudo: bool = False) -> SshHost:
        """A host on the other end."""
        return SshHost("cp1", self, sudo=sudo, restart_command=restart, restart_wait=wait)


def busybox_shell(tools: Path, *more: str) -> RemoteShell:
    """A far end whose shell and programs are busybox's, and `more` of them; skips the test where there is none."""
    unpacked = None if shutil.which("busybox") else debian_packages("busybox", ("busybox-static",))
    busybox = shutil.which("busybox") or (unpacked / "bin" / "busybox" if unpacked else None)
    if busybox is None:
        do_without("no busybox, and no apt-get to fetch Debian's package with (install busybox)")
    tools.mkdir()
    for name in (*BUSYBOX_TOOLS, *more):
        (tools / name).symlink_to(busybox)
    return RemoteShell(tools)
