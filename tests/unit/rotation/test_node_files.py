"""R4: a key that a node is to load, or has last reported, is not destroyed, and is not out of use either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.distribution import Report, ReportedFile, Wanted
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.rotation.deactivation import Deactivation
from keyctl.rotation.destruction import Destruction
from keyctl.rotation.journal import LocalLock
from tests.support.hints import wrong_commands
from tests.support.memory_values import MemoryValues
from tests.support.pulled import PLACE
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.sim_texts import KEY_0, KEY_1, SECRETS, configuration, secret_of
from tests.support.simulator import SimCluster

OLD = KEY_0
WITH_OLD = configuration((("secrets",), KEY_1), (("leases.coordination.k8s.io",), OLD))
NOW = "2026-11-21T10:00:05+00:00"
WHERE = f"{MemoryValues().location}/{PLACE.path}"


class Site:
    """A cluster under `KEY_1`, whose key store has `OLD` besides, and what nodes with agents share."""

    def __init__(self, directory: Path) -> None:
        self.cluster = SimCluster(directory)
        self.cluster.store_keys.put(KEY_1, origin="imported")
        self.cluster.store_keys.put(OLD, origin="imported")
        self.values = MemoryValues()
        self.shared = VaultDistribution(self.values, PLACE, cluster="prod", servers=("cp1", "cp2"))

    def deactivation(self) -> Deactivation:
        world = replace(self.cluster.world(), nodes=self.shared)
        journal = self.cluster.journal()
        return Deactivation(world, journal, LocalLock(journal.path.parent), Watcher(), OLD.ref)

    def destruction(self) -> Destruction:
        world = replace(self.cluster.world(), nodes=self.shared)
        journal = self.cluster.journal()
        return Destruction(world, journal, LocalLock(journal.path.parent), Watcher(), OLD.ref)

    def report(self, server: str, content: bytes | None, path: str = CONFIG_PATH) -> None:
        self.shared.report(Report(server, 3, (ReportedFile(path, content, 0o600),), "", NOW))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def only_reason(site: Site) -> str:
    """Why neither is done, the same for both; every command in the hints works."""
    with pytest.raises(RefusedError, match="is not deactivated") as caught:
        site.deactivation().carry_out()
    site.cluster.store_keys.note_state(OLD.ref, "deactivated")
    with pytest.raises(RefusedError, match="is not destroyed") as also:
        site.destruction().carry_out()
    assert also.value.cause == caught.value.cause
    assert site.cluster.store_keys.get(OLD.ref) == OLD
    assert [problem for hint in also.value.hints for problem in wrong_commands(hint)] == []
    (reason,) = (also.value.cause or "").splitlines()
    return f"{reason}; {also.value.hints[-1]}"


@pytest.mark.parametrize("server", ["cp1", "cp9"])
def test_what_a_server_is_to_load_names_it_and_the_entry(site: Site, server: str) -> None:
    site.shared = VaultDistribution(site.values, PLACE, cluster="prod", servers=("cp1", "cp9"))
    site.shared.want(server, Wanted(WITH_OLD.decode(), None))
    assert only_reason(site) == (
        f"{server} is to load a file with it: clusters/prod/current of {WHERE}; "
        "once no server has an agent any more: bao kv metadata delete -mount=kv clusters/prod/current"
    )


def test_what_the_agent_of_a_server_that_left_has_reported_names_it_and_the_entry(site: Site) -> None:
    site.report("cp9", WITH_OLD)
    told = only_reason(site)
    assert told == (
        f"cp9 has last reported a file with it: clusters/prod/applied/cp9 of {WHERE}; once that node is gone, "
        "or has another file and no agent: bao kv metadata delete -mount=kv clusters/prod/applied/cp9"
    )
    del site.values.entries[PLACE.applied("cp9")]
    assert site.destruction().carry_out().state == "destroyed"


def test_a_server_whose_file_has_it_is_told_once(site: Site) -> None:
    site.report("cp2", WITH_OLD)
    site.cluster.change_file("cp2", WITH_OLD)
    with pytest.raises(RefusedError) as caught:
        site.deactivation().check()
    assert [reason for reason in (caught.value.cause or "").splitlines() if "reported" in reason] == []
    assert f"cp2 still has it in {CONFIG_PATH}" in (caught.value.cause or "")


def test_what_no_server_would_load_counts_when_the_key_is_in_it(site: Site) -> None:
    site.report("cp9", f"providers: [{secret_of(OLD)}".encode(), "/etc/copy")
    assert only_reason(site).startswith("cp9 has last reported a file with it")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (SECRETS, CONFIG_PATH),
        (b"kind: Pod\nspec: {}\n", MANIFEST_PATH),
        (None, CONFIG_PATH),
        (b"\xff\x00", CONFIG_PATH),
    ],
    ids=["other keys", "a manifest", "no file", "no text"],
)
def test_files_without_it_are_no_reason(site: Site, content: bytes | None, path: str) -> None:
    site.report("cp9", content, path)
    site.shared.want("cp1", Wanted(SECRETS.decode(), None))
    assert site.deactivation().carry_out().state == "deactivated"


def test_a_report_that_cannot_be_read_is_not_taken_for_one_without_the_key(site: Site) -> None:
    site.values.entries[PLACE.applied("cp9")] = [{"format": "x"}]
    with pytest.raises(UnusableInputError, match="the report of the agent of cp9 is damaged"):
        site.destruction().check()


def test_no_key_shows_in_what_is_looked_at(site: Site) -> None:
    site.report("cp9", WITH_OLD)
    assert secret_of(OLD) not in repr(site.shared.traces())
