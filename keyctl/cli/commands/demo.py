"""`keyctl demo`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from keyctl.cli.offline_story import FOUND, OfflineStory
from keyctl.cli.terminal import chapter
from keyctl.errors import StoppedError, UnusableInputError, WrongUsageError
from keyctl.lab import build, plane
from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.seed import SeededSecret, differences, plant, secrets_in
from keyctl.lab.topology import Settings
from keyctl.lab.versions import SERVERS

_NAMESPACES = ("shop", "payments", "mail")
_SECRETS = 300
_SHOWN_BYTES = 160


@click.command()
@click.option(
    "--offline", is_flag=True, help="Without any server, in two seconds: a made-up snapshot with known faults."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="With --offline: a new directory that keeps the files, to try other commands on.",
)
@click.option(
    "--secrets", "count", type=click.IntRange(3, 20000), default=_SECRETS, show_default=True, help="How many."
)
@click.pass_context
def demo(ctx: click.Context, /, offline: bool, directory: Path | None, count: int) -> None:
    """Watch it all happen on a real control plane: three API servers and etcd, on loopback.

    Starts a lab, creates Secrets, shows one of them in plaintext in raw etcd, turns
    encryption on, changes the key, takes the old one away, proves it all, reads every
    Secret back through every server, and takes the lab down. Nothing outside of this machine is touched. The
    first run builds etcd and kube-apiserver from pinned modules.

    With --offline there is no server: keyctl makes snapshots of an etcd with known
    faults, says what it finds in them, and how one reads that. Either way the exit code
    is 0 when keyctl found what is true, and 6 when it did not.

    \b
    Examples:
      keyctl demo --offline
      keyctl demo --offline --directory try-it
      keyctl demo
    """  # noqa: D301 — click reads the \b
    if offline:
        if ctx.get_parameter_source("count") is ParameterSource.COMMANDLINE:
            raise WrongUsageError("--secrets is for the demo with servers", hint="leave it out: keyctl demo --offline")
        _offline(directory)
        return
    if directory is not None:
        raise WrongUsageError("--directory goes with --offline", hint="to keep a lab: keyctl lab up")
    programs = build.binaries((*SERVERS, "etcdctl"), progress=_say)
    with tempfile.TemporaryDirectory(prefix="keyctl-demo-") as place:
        settings = Settings(name="demo", apiservers=3)
        chapter("A control plane: etcd with mutual TLS, and three API servers")
        with plane.running_lab(settings, directory=Path(place) / "lab", programs=programs, progress=_say) as lab:
            story = Story(lab, programs["etcdctl"], Path(place) / "state", secrets_in(_NAMESPACES, count))
            story.tell()
    click.echo("\nThe lab is gone: no process, no file.")


def _offline(directory: Path | None) -> None:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="keyctl-demo-") as name:
            OfflineStory(Path(name)).tell()
        click.echo("\nThe files are gone; --directory keeps them. The same on a real control plane: keyctl demo")
    else:
        try:
            directory.mkdir(mode=0o700)
        except OSError as exc:
            raise UnusableInputError(
                f"cannot make the directory {directory}", cause=exc.strerror, hint="name one that is not there yet"
            ) from exc
        OfflineStory(directory).tell()
        inside = shlex.quote(str(directory / FOUND))
        click.echo(f"\nThe files are in {directory}. Look further: keyctl snapshot inspect {inside}")
    click.echo("next: keyctl doctor    on a control-plane node; it looks at what is there, and changes nothing")


@dataclass(frozen=True, slots=True)
class Story:
    """The demo on one lab. `state` is where its keyctl keeps journal and snapshots."""

    lab: plane.Lab
    etcdctl: Path
    state: Path
    secrets: tuple[SeededSecret, ...]

    def tell(self) -> None:
        """From plaintext to a changed key, the old one gone."""
        chapter(f"{len(self.secrets)} Secrets in {len(_NAMESPACES)} namespaces; this is one of them, in raw etcd")
        context = admin_credentials(self.lab.layout).context()
        plant(self.lab.topology.servers[0].url, context, self.secrets)
        self.show_raw()
        chapter("Is it encrypted?")
        self.keyctl("verify-secrets", expect=13)
        chapter("Turn encryption on, on all three API servers")
        self.keyctl("enable", "--yes")
        chapter("The same value now")
        self.show_raw()
        self.keyctl("verify-secrets")
        chapter("Change the key, and take the old one away")
        self.keyctl("rotate", "--yes")
        chapter("Both keys are in the key store; the old one is in no file, and old snapshots need it")
        self.keyctl("keys", "list")
        (evidence,) = sorted((self.state / "keyctl" / self.lab.topology.settings.name / "evidence").iterdir())[-1:]
        self.keyctl("rotate", "--verify-evidence", str(evidence))
        chapter("The proof: every value in etcd, opened with the key that it names")
        self.show_raw()
        self.keyctl("verify-secrets")
        chapter("Every Secret, read back through every API server")
        for server in self.lab.topology.servers:
            different = differences(server.url, context, self.secrets)
            if different:
                raise StoppedError(f"{server.name} gives back {len(different)} Secrets changed: {different[0]}")
            click.echo(f"{server.name}: {len(self.secrets)} of {len(self.secrets)} as they were created")

    def show_raw(self) -> None:
        """The first bytes of one value, as etcd stores it."""
        secret = self.secrets[0]
        key = f"{self.lab.topology.settings.prefix}/secrets/{secret.namespace}/{secret.name}"
        click.echo(f"$ etcdctl get {key}")
        access = self.lab.etcd
        command = [str(self.etcdctl), "get", key, "--print-value-only", f"--endpoints={','.join(access.endpoints)}"]
        command += [f"--cacert={access.cacert}", f"--cert={access.cert}", f"--key={access.key}"]
        value = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=30).stdout  # noqa: S603 — our own
        click.echo(f"{printable(value[:_SHOWN_BYTES])}… ({len(value)} bytes)")

    def keyctl(self, *arguments: str, expect: int = 0) -> None:
        """Run keyctl as a user would, and insist on its exit code."""
        click.echo(f"$ keyctl {' '.join(arguments)}")
        sys.stdout.flush()
        environment = os.environ | {"KEYCTL_CLUSTER": str(self.lab.cluster_file), "XDG_STATE_HOME": str(self.state)}
        command = [sys.executable, "-m", "keyctl", *arguments]
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 — our own program
        if code != expect:
            raise StoppedError(f"keyctl {arguments[0]} ended with {code}, not {expect}")
        click.echo(f"(exit code {code})")


def printable(value: bytes) -> str:
    """Bytes as text, with a dot for what cannot be shown."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in value)


def _say(line: str) -> None:
    click.echo(line, err=True)
