"""Somebody who does one thing again and again, each time on a new connection, and when it got through."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.binaries import binary

_PAUSE = 0.1
_SECONDS = 3.0
_CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Traffic:
    """`act` does it once, and tells what went wrong, or ""."""

    act: Callable[[], str]
    through: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def once(self) -> bool:
        """Do it, and say whether it came to its end."""
        said = self.act()
        if said:
            self.failures.append(said)
        else:
            self.through.append(time.time())
        return not said

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time in seconds in which nothing got through."""
        seen = [since, *(moment for moment in self.through if since < moment < until), until]
        return max(later - earlier for earlier, later in pairwise(seen))


def by_etcdctl(urls: tuple[str, ...], folder: Path, *words: str) -> Traffic:
    """What etcdctl does with the files of `folder`, which may be changed under it."""

    def act() -> str:
        access = [
            f"--endpoints={','.join(urls)}",
            *(f"--{flag}={folder / name}" for flag, name in (("cacert", "ca.crt"), ("cert", "client.crt"))),
            *(f"--key={folder / 'client.key'}", f"--command-timeout={_SECONDS:g}s", "--dial-timeout=1s"),
        ]
        ended = subprocess.run([binary("etcdctl"), *access, *words], capture_output=True, timeout=60, check=False)
        return "" if ended.returncode == 0 else ended.stderr.decode(errors="replace")[-500:] or "failed"

    return Traffic(act)


def by_api(urls: Sequence[str], context: ssl.SSLContext, *, write: bool) -> Traffic:
    """Write a ConfigMap, or read one from etcd, by way of the first API server that does it."""

    def act() -> str:
        said = [_ask(url, context, write=write) for url in urls[:1]]
        for url in urls[1:]:
            if said[-1]:
                said.append(_ask(url, context, write=write))
        return "" if not said[-1] else "; ".join(said)

    return Traffic(act)


def _ask(url: str, context: ssl.SSLContext, *, write: bool) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=_SECONDS)
    body = json.dumps({"metadata": {"generateName": "traffic-"}}) if write else None
    with closing(connection):
        try:
            connection.request(
                "POST" if write else "GET",
                _CONFIGMAPS if write else f"{_CONFIGMAPS}?limit=1",
                body,
                {"Content-Type": "application/json"},
            )
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{url}: {error}"
    return "" if status in (HTTPStatus.OK, HTTPStatus.CREATED) else f"{url}: HTTP {status}"


@contextmanager
def going(*traffic: Traffic) -> Generator[None]:
    """Let all of them go on for as long as the block lasts; each gets through once before it begins."""
    over = threading.Event()

    def go(one: Traffic) -> None:
        while not over.is_set():
            one.once()
            over.wait(_PAUSE)

    for one in traffic:
        assert one.once(), one.failures
    threads = [threading.Thread(target=go, args=(one,)) for one in traffic]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
