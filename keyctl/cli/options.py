"""Options that several commands share: where the cluster is, and how to answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from keyctl.cli import completed
from keyctl.cli.terminal import output_choice
from keyctl.encryption_config.server import NEWEST, OLDEST, Server
from keyctl.findings import Severity
from keyctl.reports.formats import FORMATS

F = TypeVar("F", bound=Callable[..., object])

# NOTE: kept with the click context, for every command below `keys` takes it and only `wiring` reads it.
_STORE = "keyctl.store"
_NEVER = "never"
_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Connection:
    """What the flags and the environment say of the connection; None where they say nothing."""

    cluster: Path | None
    endpoints: str | None
    cacert: Path | None
    cert: Path | None
    key: Path | None
    etcd_prefix: str | None

    @property
    def complete(self) -> bool:
        """Whether etcd can be reached by these alone."""
        return bool(self.endpoints and self.cacert and self.cert and self.key)

    @property
    def words(self) -> tuple[str, ...]:
        """The flags that say the same again, for a command that is told to the user; none holds a secret."""
        given = {
            "--cluster": self.cluster,
            "--endpoints": self.endpoints,
            "--cacert": self.cacert,
            "--cert": self.cert,
            "--key": self.key,
            "--etcd-prefix": self.etcd_prefix,
        }
        return tuple(word for flag, value in given.items() if value is not None for word in (flag, str(value)))

    @classmethod
    def from_options(cls, given: Mapping[str, object]) -> Connection:
        """From what click hands over."""
        endpoints, prefix = given["endpoints"], given["etcd_prefix"]
        return cls(
            cluster=_path(given["cluster"]),
            endpoints=endpoints if isinstance(endpoints, str) else None,
            cacert=_path(given["cacert"]),
            cert=_path(given["cert"]),
            key=_path(given["key"]),
            etcd_prefix=prefix if isinstance(prefix, str) else None,
        )


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None


def cluster_option(command: F) -> F:
    """--cluster."""
    return click.option(
        "--cluster",
        type=_FILE,
        envvar="KEYCTL_CLUSTER",
        help="The cluster file. Default: ./keyctl.yaml, then the one in the user's configuration directory.",
    )(command)


def store_option(command: F) -> F:
    """--store, for every command that works with the key store; `chosen_store` tells what was said."""
    return click.option(
        "--store",
        type=click.Choice(["file", "vault"]),
        expose_value=False,
        callback=_take_store,
        help="The key store to use. Default: the one of the cluster file. What that file does not say of the other: "
        "keys beside it, or the usual mount of the Vault that VAULT_ADDR names.",
    )(command)


def chosen_store() -> str | None:
    """What --store says in the command that runs; None when it says nothing."""
    context = click.get_current_context(silent=True)
    chosen = context.meta.get(_STORE) if context else None
    return chosen if isinstance(chosen, str) else None


def _take_store(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    context.meta[_STORE] = value


def etcd_options(command: F) -> F:
    """The flags and variables of etcdctl, and the storage prefix."""
    for option in reversed(
        (
            click.option(
                "--endpoints", envvar="ETCDCTL_ENDPOINTS", help="etcd's client URLs, https only, with commas."
            ),
            click.option(
                "--cacert", type=_FILE, envvar="ETCDCTL_CACERT", help="The CA that signed etcd's certificates."
            ),
            click.option("--cert", type=_FILE, envvar="ETCDCTL_CERT", help="The client certificate for etcd."),
            click.option("--key", type=_FILE, envvar="ETCDCTL_KEY", help="Its private key."),
            click.option("--etcd-prefix", help="kube-apiserver's storage prefix. [default: /registry]"),
        )
    ):
        command = option(command)
    return command


def output_option(command: F) -> F:
    """-o/--output: a format, never a file."""
    return click.option(
        "-o",
        "--output",
        default="text",
        show_default=True,
        metavar="text|wide|json",
        callback=output_choice,
        shell_complete=completed.outputs,
        help="Format on stdout.",
    )(command)


def report_option(command: F) -> F:
    """--report FORMAT=PATH."""
    return click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="FORMAT=PATH",
        shell_complete=completed.reports,
        help=f"Also write a report file ({', '.join(FORMATS)}). Repeatable.",
    )(command)


def fail_on_option(default: Severity) -> Callable[[F], F]:
    """--fail-on, whose value is a `Severity`, or None for "never"."""
    return click.option(
        "--fail-on",
        type=click.Choice([*(one.value for one in Severity), _NEVER]),
        default=default.value,
        show_default=True,
        callback=_severity,
        help="The least severity of a finding that makes the exit code 20.",
    )


def _severity(_context: click.Context, _option: click.Parameter, value: str) -> Severity | None:
    return None if value == _NEVER else Severity(value)


def server_options(command: F) -> F:
    """--kubernetes-version and --kms-v1, which `server_of` takes."""
    for option in (
        click.option(
            "--kms-v1/--no-kms-v1", default=None, help="The servers' feature gate KMSv1. [default: the version's own]"
        ),
        click.option(
            "--kubernetes-version",
            default=f"1.{NEWEST}",
            show_default=True,
            metavar="1.N",
            callback=_minor,
            shell_complete=completed.versions,
            help="Judge as this version does.",
        ),
    ):
        command = option(command)
    return command


def server_of(given: Mapping[str, object]) -> Server:
    """The server that `server_options` describe, from what click hands over."""
    minor = given["kubernetes_version"]
    gate = given["kms_v1"]
    return Server(minor if isinstance(minor, int) else NEWEST, gate if isinstance(gate, bool) else None)


def _minor(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    match = re.fullmatch(r"v?1\.([0-9]{1,3})(\.[0-9]+)?", value)
    if match is None or not OLDEST <= int(match[1]) <= NEWEST:
        raise click.BadParameter(f"{value!r} is not a version from 1.{OLDEST} to 1.{NEWEST}", ctx=ctx, param=parameter)
    return int(match[1])
