"""An exporter beside real servers for an hour: `python -m tests.soak [--seconds N]`.

A rotation, a snapshot, an etcd that goes and comes back, a certificate that has expired, an API server that goes, and
another rotation, spread over the time. One line for each thing that happened, at the end tables for docs/monitoring.md.
Exit 1 when something did not show in time, when memory grew, or when anybody was served without a certificate.
"""

from __future__ import annotations

import argparse
import platform
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keyctl
from keyctl.lab.build import version_of
from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from tests.museum.site import Site, site
from tests.soak.course import INTERVALS, Course
from tests.soak.watching import Notes, watched
from tests.support.binaries import binary
from tests.support.running_exporter import RunningExporter, running_exporter

_SECRETS = 500
_MEGABYTE = 1 << 20
# How often memory is told at the end.
_TOLD = 12


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="An exporter for an hour.")
    parser.add_argument("--seconds", type=float, default=3600, help="default: 3600")
    asked = parser.parse_args()
    # NOTE: however it is ended, no server is left behind; a shell's background jobs do not know Ctrl-C.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="keyctl-soak-") as made,
        site(Path(made), apiservers=2, members=1, count=_SECRETS) as place,
    ):
        enabled = place.seeded.keyctl("enable", "--yes")
        if enabled.code != 0:
            _say(enabled.stderr)
            return 1
        return _soak(place, Path(made), asked.seconds)


def _soak(place: Site, folder: Path, seconds: float) -> int:
    ours, stranger = _identities(folder)
    certificates = folder / "certificates"
    certificates.mkdir()
    words = [word for source, interval in INTERVALS.items() for word in ("--interval", f"{source}={interval}s")]
    words += ["--certificates", str(certificates)]
    words += [
        word for name in ("tls-cert", "tls-key", "client-ca") for word in (f"--{name}", str(folder / _FILES[name]))
    ]
    with (
        running_exporter(folder, place.seeded.environment, *words, context=ours) as exporter,
        watched(exporter, stranger) as notes,
    ):
        exporter.wait_for(lambda served: served.total("keyctl_source_up") == len(INTERVALS), 300)
        course = Course(place, exporter, notes, certificates)
        began = time.monotonic()
        _run(course, began, seconds)
        took = time.monotonic() - began
        told = list(_table(course, exporter, took))
    for line in told:
        _say(line)
    return 0 if _is_well(course, notes) else 1


def _run(course: Course, began: float, seconds: float) -> None:
    """Let everything happen, with as much time between one thing and the next as there is."""
    events = list(course.events())
    for number, event in enumerate(events):
        _rest(began, seconds, len(events) - number)
        told = len(course.shown)
        event()
        for one in course.shown[told:]:
            _say(f"{time.monotonic() - began:.0f} s: {one.what}: {one.source} showed it after {one.seconds:.0f} s")
    _rest(began, seconds, 0)


def _rest(began: float, seconds: float, left: int) -> None:
    time.sleep(max(0.0, began + seconds - time.monotonic()) / (left + 1))


_FILES = {"tls-cert": "exporter.crt", "tls-key": "exporter.key", "client-ca": "scrapers.crt"}


def _identities(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Write what the exporter serves with; who may scrape it, and somebody of another CA."""
    now, lifetime = datetime.now(UTC), timedelta(days=2)
    authority = new_authority("scrapers", now=now, lifetime=lifetime)
    write_pair(folder, "scrapers", authority)
    server = Subject(common_name="exporter", usage=Usage.SERVER, addresses=("127.0.0.1",))
    write_pair(folder, "exporter", issue(authority, server, now=now, lifetime=lifetime))
    contexts = []
    for name, signer in (("prometheus", authority), ("stranger", new_authority("others", now=now, lifetime=lifetime))):
        client = Subject(common_name=name, usage=Usage.CLIENT)
        certificate, key = write_pair(folder, name, issue(signer, client, now=now, lifetime=lifetime))
        context = ssl.create_default_context(cafile=str(folder / "scrapers.crt"))
        context.load_cert_chain(certificate, key)
        contexts.append(context)
    return contexts[0], contexts[1]


def _is_well(course: Course, notes: Notes) -> bool:
    in_time = all(one.in_time for one in course.shown)
    # NOTE: a run in which no stranger tried has not shown that none is served.
    tried = notes.refused > 0 and not notes.served_to_strangers
    return in_time and notes.is_flat and tried and not notes.failed


def _table(course: Course, exporter: RunningExporter, took: float) -> Iterator[str]:
    notes, served = course.notes, exporter.scrape()
    sizes = [size for _, size in notes.memory]
    yield "\n| what | how much |\n|---|---|"
    for name, value in (
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("versions", _versions()),
        ("minutes", f"{took / 60:.0f}"),
        ("Secrets", f"{_SECRETS}, on 2 API servers and 1 member of etcd"),
        ("scrapes", notes.scrapes),
        ("scrapes that failed", len(notes.failed)),
        ("strangers turned away", notes.refused),
        ("strangers served", notes.served_to_strangers),
        ("memory, least and most", f"{_megabytes(min(sizes))} to {_megabytes(max(sizes))}"),
        ("memory, last quarter beside the second", f"{notes.growth():+.1%}"),
        ("open files, least and most", f"{min(notes.files)} to {max(notes.files)}"),
    ):
        yield f"| {name} | {value} |"
    yield "\n| source | every | looks | failed | longest look |\n|---|---|---|---|---|"
    for source, interval in INTERVALS.items():
        looks, failed = (served.number(f"keyctl_source_{what}_total", source=source) for what in ("looks", "failures"))
        yield f"| {source} | {interval} s | {looks:.0f} | {failed:.0f} | {notes.longest[source]:.1f} s |"
    yield "\n| what happened | source | shown after | at most |\n|---|---|---|---|"
    for one in course.shown:
        mark = "" if one.in_time else " (LATE)"
        yield f"| {one.what} | {one.source} | {one.seconds:.0f} s{mark} | {one.allowed:.0f} s |"
    step = max(1, len(notes.memory) // _TOLD)
    over = ", ".join(f"{at / 60:.0f} min: {_megabytes(size)}" for at, size in notes.memory[::step])
    yield f"\nMemory over the time: {over}."
    yield from (f"a scrape failed after {line}" for line in notes.failed[:20])


def _megabytes(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MiB"


def _versions() -> str:
    servers = (
        f"{name} {'.'.join(map(str, version_of(binary(name), name) or ()))}" for name in ("kube-apiserver", "etcd")
    )
    return ", ".join((f"keyctl {keyctl.__version__}", *servers, f"Python {platform.python_version()}"))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
