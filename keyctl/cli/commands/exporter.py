"""`keyctl exporter`."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from keyctl.cli.options import Connection, cluster_option, etcd_options
from keyctl.cli.signals import handled
from keyctl.errors import ExitCode, KeyctlError, UnusableInputError, WrongUsageError
from keyctl.exporter.catalogue import Source

if TYPE_CHECKING:
    from keyctl.exporter.serving import Place
    from keyctl.exporter.watch import Watch

_LISTEN = "127.0.0.1:9553"
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# A look that is under way when somebody asks to stop may take so long.
_LAST_LOOK = 15.0
_TICK = 0.5
_SOURCES = ", ".join(Source)
# What one look alone has no use for.
_SERVING = ("listen", "tls_cert", "tls_key", "client_ca", "allow_unauthenticated", "intervals", "load")
_FILE = click.Path(dir_okay=False, path_type=Path)


def _intervals(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[Source, float]:
    found = {}
    for value in values:
        match = re.fullmatch(r"([a-z]+)=([1-9][0-9]{0,4})([smh])", value)
        if match is None or match[1] not in tuple(Source):
            raise click.BadParameter(f"write it like values=5m; sources: {_SOURCES}")
        found[Source(match[1])] = float(match[2]) * _SECONDS[match[3]]
    return found


def _share(_ctx: click.Context, _option: click.Parameter, value: float) -> float:
    # NOTE: no comparison is true of it, so a range takes it, and there would be no budget.
    if math.isnan(value):
        raise click.BadParameter("it is no number")
    return value


def _sources(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> frozenset[Source]:
    return frozenset(map(Source, values))


def _address(_ctx: click.Context, _option: click.Parameter, value: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):([0-9]{1,5})", value)
    host = match[1].strip("[]") if match else ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    if match is None or not host or int(match[2]) > 0xFFFF:
        raise click.BadParameter(f"write it like {_LISTEN} or [::1]:9553: an address, no name")
    return host, int(match[2])


@click.command()
@cluster_option
@etcd_options
@click.option("--listen", default=_LISTEN, show_default=True, callback=_address, help="Where to serve the metrics.")
@click.option("--tls-cert", type=_FILE, help="Serve over TLS, with this certificate.")
@click.option("--tls-key", type=_FILE, help="Its private key.")
@click.option("--client-ca", type=_FILE, help="Serve only clients with a certificate of this CA.")
@click.option(
    "--allow-unauthenticated", is_flag=True, help="Serve beyond loopback to whoever asks, without a client certificate."
)
@click.option(
    "--interval",
    "intervals",
    multiple=True,
    metavar="SOURCE=TIME",
    callback=_intervals,
    help=f"How often to look at a source: {_SOURCES}. Repeatable.",
)
@click.option(
    "--load",
    type=click.FloatRange(0.1, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    callback=_share,
    help="Of all time a source may be read no more than this; what takes longer is looked at less often.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([one.value for one in Source]),
    callback=_sources,
    help="Do not look at this source. Repeatable.",
)
@click.option(
    "--certificates",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Also look at the certificates in this file or directory. Repeatable.",
)
@click.option("--once", is_flag=True, help="Look at everything once, print the metrics, and end.")
@click.pass_context
def exporter(
    ctx: click.Context,
    /,
    listen: tuple[str, int],
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    allow_unauthenticated: bool,
    intervals: dict[Source, float],
    load: float,
    without: frozenset[Source],
    certificates: tuple[Path, ...],
    once: bool,
    **given: object,
) -> ExitCode:
    """Look again and again, and serve what was seen as metrics for Prometheus.

    Stored values, API servers, etcd, certificates, the ages of keys, backups, rotations:
    each on its own schedule, and within a load budget. Reads only. What cannot be looked
    at keeps its last truth and the time of it: keyctl_source_up and
    keyctl_source_last_success_timestamp_seconds say how old it is. Metrics, alert rules
    and a dashboard: docs/monitoring.md

    Listens on loopback. Beyond that it wants client certificates, or to be told
    --allow-unauthenticated. Ends with 0 when it is asked to (SIGTERM, Ctrl-C). With
    --once: 0 when every source could be looked at, else 4.

    \b
    Examples:
      keyctl exporter
      keyctl exporter --once
      keyctl exporter --interval values=15m --load 5 --certificates /etc/kubernetes/pki
      keyctl exporter --listen 10.0.0.1:9553 --tls-cert me.crt --tls-key me.key --client-ca ca.crt
    """  # noqa: D301 — click reads the \b
    if once:
        _refuse_beside_once(ctx)
    place = None if once else _place(listen, (tls_cert, tls_key, client_ca), open_to_all=allow_unauthenticated)
    named = certificates if tls_cert is None else (*certificates, tls_cert)
    watch = _watch(Connection.from_options(given), intervals, without, named, load)
    if place is None:
        return _once(watch)
    with _served(watch, place), handled(lambda *_: watch.ask_to_stop()):
        watch.start()
        while not watch.wait(_TICK):
            pass
        watch.finish(_LAST_LOOK)
    return ExitCode.OK


def _refuse_beside_once(ctx: click.Context) -> None:
    """Raise `WrongUsageError` for a flag that says how to go on, or whom to serve, where there is one look."""
    given = [name for name in _SERVING if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        flag = "--interval" if given[0] == "intervals" else f"--{given[0].replace('_', '-')}"
        raise WrongUsageError(f"{flag} says nothing beside --once", hint="leave one of them out")


def _place(listen: tuple[str, int], files: tuple[Path | None, Path | None, Path | None], *, open_to_all: bool) -> Place:
    """Where to serve. Raises what is wrong with the files for that before anything listens."""
    from keyctl.exporter.serving import Place
    from keyctl.pki.inspect import key_matches, load_certificates

    cert, key, client_ca = files
    if (cert is None) != (key is None):
        raise WrongUsageError("a certificate serves with its private key", hint="give both: --tls-cert and --tls-key")
    if client_ca is not None and cert is None:
        raise WrongUsageError("client certificates need TLS", hint="give --tls-cert and --tls-key, too")
    if client_ca is not None and open_to_all:
        raise WrongUsageError("--client-ca and --allow-unauthenticated contradict each other", hint="leave one out")
    found = Place(*listen, cert, key, client_ca, open_to_all=open_to_all)
    if cert is not None and key is not None and not key_matches(cert, key):
        raise UnusableInputError(f"{key} is not the private key of {cert}", hint="give those that were issued together")
    if client_ca is not None and not load_certificates(client_ca):
        raise UnusableInputError(
            f"there is no certificate in {client_ca}", hint="give the CA of your Prometheus as PEM"
        )
    return found


def _watch(
    given: Connection,
    intervals: dict[Source, float],
    without: frozenset[Source],
    certificates: tuple[Path, ...],
    load: float,
) -> Watch:
    from keyctl import __version__
    from keyctl.cli import wiring
    from keyctl.cli.checkup import subject
    from keyctl.cli.exporting import Looks
    from keyctl.exporter.board import Board
    from keyctl.exporter.watch import Watch
    from keyctl.stored.display import display

    for path in certificates:
        if not path.exists():
            raise WrongUsageError(
                f"there is no {path}", hint="name files or directories of certificates that are there"
            )
    found = subject.find(given)
    # NOTE: whatever happens in this directory later, the cluster stays the one that was found.
    same = replace(given, cluster=Path(found.origin).absolute()) if found.described else given
    watched = Looks(found, same, certificates).watched(intervals, without)
    if not watched:
        raise WrongUsageError("nothing is left to look at", hint="leave out fewer sources")
    idle = sorted(set(intervals) - {one.source for one in watched})
    if idle:
        raise WrongUsageError(f"--interval: {idle[0]} is not looked at here", hint="leave it out")
    board = Board(tuple(one.source for one in watched), cluster=display(found.settings.name), version=__version__)
    return Watch(watched, board, wiring.SystemClock(), _Teller(), load / 100)


def _once(watch: Watch) -> ExitCode:
    from keyctl.exporter.serving import exposition

    watch.once()
    click.echo(exposition(watch.board), nl=False)
    up = all(watch.board.is_up(one.source) for one in watch.watched)
    return ExitCode.OK if up else ExitCode.UNREACHABLE


@contextmanager
def _served(watch: Watch, place: Place) -> Iterator[None]:
    """Serve the board of `watch` at `place` within this."""
    from keyctl.exporter.serving import serve

    served = serve(watch.board, place)
    try:
        host = f"[{place.address}]" if ":" in place.address else place.address
        click.echo(f"serving {place.scheme}://{host}:{served.port}/metrics", err=True)
        yield
    finally:
        served.close()


@dataclass(slots=True)
class _Teller:
    """Says on stderr what is new, and each trouble once."""

    _trouble: dict[Source, tuple[str, ...]] = field(default_factory=dict, init=False)

    def away(self, source: Source, error: KeyctlError | OSError) -> None:
        """See `Teller.away`."""
        lines = _lines(error)
        if self._trouble.get(source) != lines:
            click.echo("\n".join((f"{source}: {lines[0]}", *lines[1:])), err=True)
        self._trouble[source] = lines

    def back(self, source: Source) -> None:
        """See `Teller.back`."""
        if self._trouble.pop(source, None):
            click.echo(f"{source}: looked at again", err=True)


def _lines(error: KeyctlError | OSError) -> tuple[str, ...]:
    if not isinstance(error, KeyctlError):
        return (f"error: {error.strerror or type(error).__name__}",)
    cause = (f"cause: {error.cause}",) if error.cause else ()
    return (f"error: {error}", *cause, *(f"hint: {hint}" for hint in error.hints))
