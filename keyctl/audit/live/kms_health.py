"""What running API servers say of their readiness, as far as KMS plugins are a part of it. Through an interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keyctl.findings import Evidence, Location
from keyctl.kube.interface import ApiServer
from keyctl.stored.display import display

# kube-apiserver calls its check "kms-providers", with KMS v1 "kms-provider-0" and so on.
_CHECK = "kms-provider"


@dataclass(frozen=True, slots=True)
class Readiness:
    """One server. `failing` says that its KMS plugins are why it is not ready; `problem` is what it said.

    `plugins` are the KMS v2 plugins whose Status it has asked for since its start.
    """

    name: str
    ready: bool
    failing: bool
    problem: str
    plugins: tuple[str, ...]
    location: Location
    evidence: Evidence = Evidence.E2


def look(servers: Iterable[tuple[ApiServer, str]]) -> Iterator[Readiness]:
    """Ask each of `servers`, which stand with their URLs. One that is down is a fact, and no error."""
    for server, url in servers:
        probe = server.probe()
        problem = display(probe.problem)
        plugins = tuple(display(name) for name in sorted(probe.kms_key_ids))
        failing = not probe.ready and _CHECK in probe.problem
        yield Readiness(probe.name, probe.ready, failing, problem, plugins, Location(endpoint=display(url)))
