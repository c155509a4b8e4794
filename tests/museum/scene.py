"""What the scenes of the museum have in common: what keyctl has to say when it stops, and what stands at the end.

Nothing is started here; how a site is made and loaded is `site` and `load`.
"""

from __future__ import annotations

import http.client
import itertools
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from keyctl.lab.plane import Lab
from tests.museum.site import Site
from tests.support.hints import wrong_hints
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import ask
from tests.support.seeded import Answered

ROTATE = ("rotate", "--yes")
RESUME = ("rotate", "--resume")
# Stands for the command that goes on, which may name a cluster file.
WAY_ON = "the way on"
_RESUME = re.compile(r"keyctl rotate (--\S+ \S+ )*--resume")
_PATIENCE = 300.0


def told(answered: Answered, code: int, rule: str, *parts: str) -> None:
    """It ended with `code`, named the rule, said each of `parts`, and every command that it hints at is one."""
    text = answered.stderr
    assert answered.code == code, answered.stdout + text
    assert f"[{rule}]" in text, text
    assert "hint: " in text
    assert "Traceback" not in text
    assert [part for part in parts if not (_RESUME.search(text) if part == WAY_ON else part in text)] == [], text
    assert wrong_hints([text]) == []


def done(answered: Answered) -> None:
    """It carried the rotation to its end."""
    assert answered.code == 0, answered.stdout + answered.stderr


def names(lab: Lab, server: str) -> list[str]:
    """The names of the keys in the file of `server`, the writing one first."""
    return names_in(lab.layout.server(server).encryption_config)


def names_in(file: Path) -> list[str]:
    """The same of any file."""
    return re.findall(r"name: (\S+)", file.read_text())


def head(key: str) -> bytes:
    """How a value under the aescbc key called `key` starts."""
    return f"k8s:enc:aescbc:v1:{key}:".encode()


def settled(site: Site, was: str, *resources: str) -> None:
    """The key called `was` is in no file, every file is the same, and every value is under the one that writes."""
    lab = site.seeded.lab
    assert len(set(site.seeded.files())) == 1
    key, *others = names(lab, lab.topology.servers[0].name)
    assert (key != was, others) == (True, [])
    for resource in resources or ("secrets",):
        assert heads_of(lab, resource) == {head(key)}
    verified = site.seeded.keyctl("verify-secrets")
    assert verified.code == 0, verified.stdout + verified.stderr


def insist(lab: Lab, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """One request, through the next server when one is restarting: the answer of the first that gives any.

    A request whose answer was lost is sent again, so a create may end with 409 and a deletion with 404.
    """
    deadline = time.monotonic() + _PATIENCE
    for server in itertools.cycle(lab.topology.servers):
        assert time.monotonic() < deadline, f"no server answers {method} {path}"
        try:
            code, document = ask(lab, method, path, body, server=server.name)
        except (OSError, http.client.HTTPException):
            code = 0
        if code not in (0, HTTPStatus.SERVICE_UNAVAILABLE):
            return code, document
        time.sleep(0.1)
    raise AssertionError("a lab without servers")


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Return once `happened`."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not seen: {what}"
        time.sleep(0.1)
