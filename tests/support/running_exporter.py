"""A `keyctl exporter` that runs beside a test, and what it serves."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

# Machines are shared and noisy: these end what hangs, and measure nothing.
_START_SECONDS, _STOP_SECONDS = 60.0, 60.0
_POLL = 0.1
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Served:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        families = text_string_to_metric_families(text)
        self._samples = {
            (one.name, tuple(sorted(one.labels.items()))): float(one.value)
            for found in families
            for one in found.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The sample with exactly these labels."""
        return self._samples.get((name, tuple(sorted(labels.items()))))

    def number(self, name: str, **labels: str) -> float:
        """The same, which must be there."""
        found = self.value(name, **labels)
        assert found is not None, f"there is no {name} {labels} in:\n{self.text}"
        return found

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of all samples of that name that have these labels, among others; None without any."""
        found = [
            value for (of, has), value in self._samples.items() if of == name and labels.items() <= dict(has).items()
        ]
        return sum(found) if found else None

    def values_of(self, name: str, label: str) -> list[str]:
        """What that label is, of every sample of that name."""
        return [dict(has)[label] for of, has in self._samples if of == name]

    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self._samples}


@dataclass
class RunningExporter:
    """It serves at `url`; `log` is its stderr. `context` is who we are to it, None where it serves without TLS."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    context: ssl.SSLContext | None = None

    def scrape(self) -> Served:
        """What it serves now, as OpenMetrics."""
        request = urllib.request.Request(self.url, headers={"Accept": _OPENMETRICS})  # noqa: S310 — on loopback
        with urllib.request.urlopen(request, timeout=30, context=self.context) as answer:  # noqa: S310 — as above
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            return Served(answer.read().decode())

    def wait_for(self, is_so: Callable[[Served], bool], seconds: float) -> Served:
        """Scrape until it is so. Fails after `seconds`, with what was served last."""
        deadline = time.monotonic() + seconds
        while not is_so(served := self.scrape()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{served.text}\n{self.log.read_text()}"
            time.sleep(_POLL)
        return served

    def resident(self) -> int:
        """The memory that it has now, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, status
        return int(found[1]) * 1024

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def running_exporter(
    folder: Path, environment: Mapping[str, str], *arguments: str, context: ssl.SSLContext | None = None
) -> Iterator[RunningExporter]:
    """Run it on a free port of loopback until the block ends."""
    log = folder / "exporter.log"
    command = [sys.executable, "-m", "keyctl", "exporter", "--listen", "127.0.0.1:0", *arguments]
    with log.open("wb") as err:
        process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    found = RunningExporter(process, "", log, context)
    try:
        found.url = _address(found)
        yield found
    finally:
        found.stop()


def _address(running: RunningExporter) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while (said := re.search(r"^serving (\S+)$", running.log.read_text(), re.MULTILINE)) is None:
        assert running.process.poll() is None, running.log.read_text()
        assert time.monotonic() < deadline, "it does not begin to serve"
        time.sleep(_POLL)
    return said[1]
