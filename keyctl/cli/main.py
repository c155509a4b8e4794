"""The command group, and the one place where errors become lines on stderr and exit codes.

Imports little but click: each command's module is imported when it is called,
so that `--help` and completion open nothing and start at once.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from keyctl import __version__
from keyctl.cli.signals import handled, stop_now
from keyctl.errors import ExitCode, KeyctlError
from keyctl.stored.display import escaped

# name → ("module:attribute", one line for the list of commands)
_COMMANDS = {
    "verify-secrets": ("verify_secrets:verify_secrets", "Is it really encrypted? Read every stored value and say."),
    "enable": ("enable:enable", "Turn encryption at rest on, on every API server, and prove it."),
    "disable": ("disable:disable", "Turn it off again: back to plaintext, and prove it."),
    "rotate": ("rotate:rotate", "Change the key safely; resumable after any crash."),
    "status": ("status:status", "One screen: servers, keys, the rotation under way, when the next is due."),
    "doctor": ("doctor:doctor", "Reach, rights, sanity; rotations left half done by any tool; the next safe step."),
    "keys": ("keys:keys", "The key store: lives of keys, their escrow, and an end for what nothing needs."),
    "kms": ("kms:kms", "Is this KMS v2 plugin one that kube-apiserver can work with?"),
    "agent": ("agent:agent", "On a control-plane node: keep the configuration equal to the one in Vault."),
    "snapshot": ("snapshot:snapshot", "Back up etcd; prove that a backup is whole and comes back; see what it leaks."),
    "sanitize": ("sanitize:sanitize", "Free etcd's files of what was overwritten, and say what is left."),
    "audit": ("audit:audit", "Check files of a repository or a host against a profile, for CI and auditors."),
    "certs": ("certs:certs", "Certificates for etcd: make them, and find out what is wrong with those there are."),
    "etcd-access": (
        "etcd_access:etcd_access",
        "etcd's own users and roles: turn them on so that nobody is locked out.",
    ),
    "exporter": ("exporter:exporter", "Look again and again, and serve what was seen as metrics for Prometheus."),
    "config": ("config:config", "Judge, explain, repair and compare EncryptionConfiguration files."),
    "demo": ("demo:demo", "Watch it all happen on a real control plane on this machine."),
    "lab": ("lab:lab", "A real control plane on loopback, to try things on."),
    "explain": ("explain:explain", "Explain a rule or an exit code, offline."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
    "version": ("version:version", "Print versions."),
}

# Verbs of the kernel's keyring tool, which is also called keyctl.
_KEYUTILS = {
    "add",
    "clear",
    "describe",
    "link",
    "list",
    "move",
    "new_session",
    "newring",
    "padd",
    "pipe",
    "print",
    "purge",
} | {
    "read",
    "request",
    "request2",
    "revoke",
    "search",
    "session",
    "setperm",
    "show",
    "timeout",
    "unlink",
    "update",
    "watch",
}


class _ReaderGoneError(Exception):
    """Nobody reads our stdout any more."""


class _Commands(click.Group):
    """Loads a command's module when it is called, and lists commands without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            if cmd_name in _KEYUTILS and not ctx.resilient_parsing:
                raise click.UsageError(
                    f"{cmd_name!r} belongs to the kernel keyring tool; this is kube-keyctl. Call /usr/bin/keyctl.", ctx
                )
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"keyctl.cli.commands.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            # NOTE: click itself would end the process with 1, which is the code of a bug.
            raise _ReaderGoneError from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 — click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it: keyctl demo. Every command has examples in its --help.",
)
@click.option("-v", "--verbose", count=True, help="Log what is done to stderr; -vv also logs what libraries do.")
@click.version_option(__version__, message="kube-keyctl %(version)s")
def cli(verbose: int) -> None:
    """Turn on, prove, rotate and audit Kubernetes encryption at rest."""
    if verbose:
        logging.basicConfig(level=logging.INFO if verbose == 1 else logging.DEBUG, stream=sys.stderr)
        if verbose == 1:
            logging.getLogger().setLevel(logging.WARNING)
            logging.getLogger("keyctl").setLevel(logging.DEBUG)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. No expected failure leaves as an exception."""
    if any(name.endswith("KEYCTL_COMPLETE") for name in os.environ):
        # A shell asks, and nothing is run.
        importlib.import_module("keyctl.cli.shells").register()
    try:
        with handled(stop_now):
            result: object = cli.main(args=arguments, prog_name=_program(), standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except KeyctlError as error:
        _say(error)
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, _ReaderGoneError):
        # The reader has gone; what it did not read was not reported.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.STOPPED
    except OSError as error:
        return _file_trouble(error)


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal's encoding lacks, or no encoding has, such as parts of file names, is shown by its number.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())


def _say(error: KeyctlError) -> None:
    """Tell of it. What servers and files say is in its texts: nothing in them may act on the terminal."""
    rule = f" [{error.rule}]" if error.rule else ""
    click.echo(escaped(f"error: {error}{rule}"), err=True)
    if error.cause:
        click.echo("cause: " + "\n       ".join(map(escaped, error.cause.splitlines())), err=True)
    for hint in error.hints:
        click.echo(escaped(f"hint: {hint}"), err=True)


def _file_trouble(error: OSError) -> ExitCode:
    """A file that the system refuses, or, without a name, stdout that cannot take the result."""
    if error.filename is None:
        click.echo(f"error: cannot write the result: {error.strerror}", err=True)
        return ExitCode.BUG
    click.echo(f"error: {error.filename}: {(error.strerror or 'cannot be used').lower()}", err=True)
    if isinstance(error, PermissionError):
        click.echo("hint: run it as root, for example with sudo", err=True)
    return ExitCode.UNUSABLE


def _program() -> str:
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 — pathlib is not needed to start
    return {"kubectl-keyctl": "kubectl keyctl", "__main__.py": "keyctl"}.get(name, name)
