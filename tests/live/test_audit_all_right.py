"""`keyctl audit` on a lab where everything is right: the profiles pass, by stored values and by what its ports answer.

Then one thing at a time is broken in what really runs, and exactly the matching checks turn red. What files alone tell
is broken in `tests/unit/audit/test_mutations.py`.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import pytest

from keyctl.keys.key import Key
from keyctl.lab.plane import Lab, running_lab
from keyctl.lab.topology import Settings
from tests.support import by_hand, seal
from tests.support.binaries import servers
from tests.support.encryption_file import key_texts, leaks
from tests.support.etcd_process import free_port
from tests.support.hints import wrong_hints
from tests.support.host_files import HostFiles
from tests.support.lab_host import NAME, etcd_told, host_of, secure
from tests.support.real_kube import create_secret
from tests.support.shell import Shell

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="a host's files belong to root, and only root makes such"),
]
STORED, PORTS = {"KC-DAT-101", "KC-ENC-014"}, {"KC-TLS-009"}
SECRETS = "/registry/secrets/default"


class Evidence(TypedDict):
    """How a finding is known."""

    level: str


class Finding(TypedDict):
    """What is looked at of a finding in the report."""

    id: str
    status: str
    message: str
    evidence: Evidence


@dataclass(frozen=True)
class Audited:
    """The exit code, the status of each check, and every finding."""

    code: int
    statuses: dict[str, str]
    findings: list[Finding]

    def told(self, status: str) -> list[str]:
        return [f"{one['id']}: {one['message']}" for one in self.findings if one["status"] == status]

    def evidence(self, id: str) -> set[str]:
        """The levels of what is right by this check, and of what is not."""
        return {one["evidence"]["level"] for one in self.findings if one["id"] == id}

    def changed(self, before: Audited) -> dict[str, str]:
        return {id: status for id, status in self.statuses.items() if status != before.statuses[id]}


@dataclass
class Site:
    """A lab that is right, the key that it writes with, and who audits it."""

    lab: Lab
    key: Key
    shell: Shell
    folder: Path

    def __post_init__(self) -> None:
        self._trees = (self.folder / f"host-{number}" for number in itertools.count())

    def audited(self, profile: str = "all", host: HostFiles | None = None) -> Audited:
        """What the audit says of `host`, else of the host as it is now, and of the cluster."""
        tree = (host or host_of(self.lab)).write(next(self._trees))
        answer = self.shell.keyctl(
            "audit", tree, "--cluster", self.lab.cluster_file, "--profile", profile, "-o", "json"
        )
        document = json.loads(answer.stdout)
        statuses = {check["id"]: check["status"] for check in document["checks"]}
        return Audited(answer.code, statuses, document["findings"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("right")
    settings = Settings(name=f"test-right-{os.getpid()}", apiservers=1, members=1)
    with running_lab(settings, directory=folder / "lab", programs=servers(), progress=lambda _: None) as lab:
        key = secure(lab)
        create_secret(lab, "default", "one")
        create_secret(lab, "default", "two")
        yield Site(lab, key, Shell(folder), folder)


@pytest.fixture(scope="module")
def right(site: Site) -> Audited:
    return site.audited()


@pytest.mark.parametrize(("profile", "proven"), [("cis-1.12", STORED | PORTS), ("minimal", STORED | PORTS)])
def test_a_right_lab_passes_by_what_is_stored_and_by_what_its_ports_answer(
    profile: str, proven: set[str], site: Site
) -> None:
    done = site.audited(profile)
    assert (done.code, done.told("fail"), done.told("unknown"), done.told("waived")) == (0, [], [], [])
    assert {id: (done.statuses[id], done.evidence(id)) for id in proven} == dict.fromkeys(proven, ("pass", {"E3"}))
    # Ciphers are told by flags, too.
    assert "E3" in done.evidence("KC-TLS-010") or profile == "minimal"


Broken = Callable[[Site], AbstractContextManager[HostFiles | None]]
"""Breaks one thing of the lab for a while, and says what stands on its host then, None for what is really there."""


def value(name: str, made: Callable[[Site], bytes]) -> Broken:
    """One more value in etcd, written past the API server."""

    @contextmanager
    def breaking(site: Site) -> Iterator[None]:
        by_hand.put(site.lab.etcd, name, made(site))
        try:
            yield
        finally:
            by_hand.delete(site.lab.etcd, name)

    return breaking


def etcd(flags: Callable[[Lab], tuple[str, ...]], *, hidden: bool = False) -> Broken:
    """Another etcd; `hidden`: its manifest stays as it was."""

    @contextmanager
    def breaking(site: Site) -> Iterator[HostFiles | None]:
        before = host_of(site.lab)
        with etcd_told(site.lab, *flags(site.lab)):
            yield before if hidden else None

    return breaking


def config(change: Callable[[str], str]) -> Broken:
    """Another configuration on the host, which the API server has not read."""

    @contextmanager
    def breaking(site: Site) -> Iterator[None]:
        file = site.lab.layout.server(NAME).encryption_config
        before = file.read_text()
        file.write_text(change(before))
        try:
            yield
        finally:
            file.write_text(before)

    return breaking


def damaged(site: Site) -> bytes:
    """A Secret of the API server's own with its last byte turned."""
    right = by_hand.value_of(site.lab.etcd, f"{SECRETS}/one")
    return right[:-1] + bytes([right[-1] ^ 1])


def of_a_lost_key(site: Site) -> bytes:
    return seal.seal(seal.key("lost", site.key.provider, fill=7), b"", seal.secret("x"))


def of_other_bytes(site: Site) -> bytes:
    return seal.seal(replace(site.key, material=bytes(range(32))), b"", seal.secret("x"))


def http_beside(lab: Lab) -> tuple[str, ...]:
    (member,) = lab.topology.members
    urls = f"{member.client_url},http://{member.address}:{free_port(member.address)}"
    return f"--listen-client-urls={urls}", f"--advertise-client-urls={urls}"


def no_clients(lab: Lab) -> tuple[str, ...]:
    return "--client-cert-auth=false", "--trusted-ca-file="


def no_peers(lab: Lab) -> tuple[str, ...]:
    return "--peer-client-cert-auth=false", "--peer-trusted-ca-file="


def identity_first(text: str) -> str:
    return text.replace("  - secretbox", "  - identity: {}\n  - secretbox")


F, U, N = "fail", "unknown", "not-applicable"
# What does not open may be anything.
NOT_OPENED = {"KC-DAT-101": U, "KC-DAT-102": U}
MUTATIONS: list[tuple[str, Broken, dict[str, str]]] = [
    # The file reads no plaintext, and says that there is none.
    (
        "a Secret in plaintext",
        value(f"{SECRETS}/plain", lambda _: seal.secret("plain")),
        {"KC-DAT-101": F, "KC-ENC-010": F, "KC-ENC-014": F},
    ),
    ("a Secret under a lost key", value(f"{SECRETS}/lost", of_a_lost_key), {"KC-DAT-103": F, **NOT_OPENED}),
    ("a damaged Secret", value(f"{SECRETS}/damaged", damaged), {"KC-DAT-104": F, **NOT_OPENED}),
    ("a Secret under other bytes", value(f"{SECRETS}/bytes", of_other_bytes), {"KC-DAT-104": F, **NOT_OPENED}),
    ("others in the same etcd", value("/calico/node", lambda _: b"1"), {"KC-AUTH-002": F}),
    ("a file that nobody has loaded", config(lambda text: f"{text}# later\n"), {"KC-ENC-013": F}),
    (
        "a file that encrypts nothing, and that nobody has loaded",
        config(identity_first),
        {
            **{"KC-ENC-007": F, "KC-ENC-013": F, "KC-ENC-014": F, "KC-DAT-102": F},
            **{"KC-ENC-009": N, "KC-ENC-010": N},
        },
    ),
    (
        "etcd lets in every client",
        etcd(no_clients),
        {"KC-TLS-002": F, "KC-TLS-009": F, "KC-TLS-006": U, "KC-TLS-013": U, "KC-AUTH-003": U},
    ),
    ("etcd lets in every client, and its manifest hides it", etcd(no_clients, hidden=True), {"KC-TLS-009": F}),
    # By its flags it is alone, where nobody else joins it.
    ("etcd lets in every peer", etcd(no_peers), {"KC-TLS-005": N, "KC-TLS-009": F}),
    ("http beside https", etcd(http_beside), {"KC-TLS-007": F, "KC-TLS-009": F}),
]


@pytest.mark.parametrize(("broken", "changed"), [one[1:] for one in MUTATIONS], ids=[one[0] for one in MUTATIONS])
def test_one_wrong_thing_turns_exactly_the_matching_checks_red(
    broken: Broken, changed: dict[str, str], site: Site, right: Audited
) -> None:
    with broken(site) as host:
        done = site.audited(host=host)
    assert done.changed(right) == changed, done.told("fail")


def test_afterwards_everything_is_right_again_and_no_key_was_shown(site: Site, right: Audited) -> None:
    assert site.audited().changed(right) == {}
    assert leaks(key_texts([site.lab.layout.server(NAME).encryption_config]), site.shell.said) == []
    assert wrong_hints(site.shell.said) == []
