"""The collectors of stored values, running API servers and canaries: what cannot be seen is told, and hides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from keyctl.audit.checks.declared import declared
from keyctl.audit.engine import audit
from keyctl.audit.facts import About, Facts, Placed, Unread
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.canary import canaries
from keyctl.audit.live.stored_values import live_values
from keyctl.audit.profiles.profile import Profile
from keyctl.encryption_config import effective
from keyctl.errors import UnreachableError
from keyctl.findings import Evidence, Status
from keyctl.hosts.interface import HostFile, HostUnreachableError
from keyctl.keys.key import Provider
from keyctl.kube.interface import Census
from tests.support import seal
from tests.support.fake_kube import FakeApiServer, FakeCluster
from tests.support.memory_host import MemoryHost
from tests.support.memory_source import MemorySource
from tests.unit.audit.given import TODAY, config, judgement
from tests.unit.audit.stored_and_running import (
    ENCRYPTING,
    NEW,
    OLD,
    PATH,
    hash_of,
    judging,
    place,
    running,
    secret,
    seen,
    snapshot,
    stored,
)

SERVERS, VALUES = frozenset({About.RUNNING_SERVER}), frozenset({About.STORED_VALUES})
ELSEWHERE = "--etcd-servers-overrides=/secrets#https://10.0.0.9:2379"


class FarHost(MemoryHost):
    """A host that nobody gets to."""

    def read(self, path: str) -> HostFile | None:
        raise HostUnreachableError(f"host {self.name} cannot be reached", cause="no route")


def unread(found: list[Placed]) -> list[Unread]:
    return [one for one in found if isinstance(one, Unread)]


def servers(found: list[Placed]) -> list[RunningServer]:
    return [one for one in found if isinstance(one, RunningServer)]


def facts(*found: Placed) -> Facts:
    return Facts(TODAY, found)


def status(id: str, *found: Placed) -> Status:
    """That of one check, with what could not be read."""
    return audit(facts(*found), Profile("one", "", "", {id: ()}), bar=None).checks[0].status


def test_a_server_that_is_down_is_told_and_does_not_hide_another() -> None:
    found = seen(place("cp1", down=True), place("cp2"))
    assert [one.name for one in servers(found)] == ["cp2"]
    (down,) = unread(found)
    assert (down.about, down.reason) == (SERVERS, "cp1 does not answer: connection refused")
    for id in ("KC-ENC-012", "KC-ENC-013", "KC-DAT-107"):
        assert status(id, *found) is Status.UNKNOWN


def test_no_server_at_all_is_not_right() -> None:
    (nothing,) = seen()
    assert isinstance(nothing, Unread)
    assert nothing.about == SERVERS


def test_a_server_says_what_it_has_loaded_and_its_host_what_is_there() -> None:
    found = running()
    assert (found.loaded, found.silent, found.evidence) == (found.disk.sha256, "", Evidence.E2)
    assert (found.disk.path, found.disk.flag, found.disk.doubt) == (PATH, True, "")
    assert found.disk.config is not None


def test_the_path_in_the_manifest_counts_and_not_that_of_the_cluster_file() -> None:
    there = place(flags=("--encryption-provider-config=/srv/enc.yaml",))
    host = there.host
    assert isinstance(host, MemoryHost)
    host.place("/srv/enc.yaml", b"{}")
    (found,) = servers(seen(there))
    assert (found.disk.path, found.disk.sha256, found.disk.config) == ("/srv/enc.yaml", hash_of("{}"), None)


@pytest.mark.parametrize(
    ("more", "silent"),
    [
        pytest.param({"version": "v1.33.2", "loaded_hash": None}, "v1.33.2 does not report", id="an old one"),
        pytest.param({"version": "", "loaded_hash": None}, "does not report", id="one without a version"),
        pytest.param({"start_time": 0.0, "loaded_hash": None}, "when it started", id="one without metrics"),
    ],
)
def test_a_server_that_does_not_say_what_it_has_loaded_has_not_loaded_nothing(
    more: dict[str, Any], silent: str
) -> None:
    found = running(**more)
    assert silent in found.silent
    assert status("KC-ENC-013", found) is Status.UNKNOWN


def test_a_host_that_nobody_gets_to_is_a_doubt() -> None:
    (found,) = servers(seen(replace(place(), host=FarHost("cp1"))))
    assert found.disk.doubt == "host cp1 cannot be reached (no route)"
    assert found.loaded is not None
    assert {status(id, found) for id in ("KC-ENC-012", "KC-ENC-013")} == {Status.UNKNOWN}


def test_a_resource_in_an_etcd_that_the_cluster_file_does_not_name_was_not_looked_at() -> None:
    there = place(flags=(f"--encryption-provider-config={PATH}", ELSEWHERE))
    (missed,) = unread(seen(there))
    assert (missed.about, "cp1 keeps secrets in another etcd" in missed.reason) == (VALUES, True)
    assert status("KC-DAT-101", stored(secret("a"))) is Status.PASS
    assert status("KC-DAT-101", stored(secret("a")), missed) is Status.UNKNOWN
    assert unread(seen(there, overridden=frozenset({"secrets"}))) == []


@pytest.mark.parametrize(
    "census",
    [
        Census(frozenset(), frozenset({"10.0.0.1", "10.0.0.2"}), frozenset()),
        Census(frozenset({("apiserver-1", "a"), ("apiserver-2", "b")}), frozenset({"10.0.0.1"}), frozenset()),
    ],
    ids=["by endpoints", "by Leases"],
)
def test_a_server_that_nobody_listed_was_not_asked(census: Census) -> None:
    cluster = FakeCluster(census=census)
    found = seen(place("cp1", cluster=cluster))
    assert [one.reason for one in unread(found)] == [
        "the cluster names 2 API servers, the cluster file 1: the others were not asked"
    ]
    assert status("KC-ENC-012", *found) is Status.UNKNOWN
    assert unread(seen(place("cp1", cluster=cluster), place("cp2", cluster=cluster))) == []


def test_one_process_behind_two_addresses_is_not_two_servers() -> None:
    same: dict[str, Any] = {"start_time": 1000.0, "certificate_serial": 7}
    (unread,) = (one for one in seen(place("cp1", **same), place("vip", **same)) if isinstance(one, Unread))
    assert (unread.reason, unread.about) == ("vip and cp1 are one process behind two addresses", SERVERS)
    apart = seen(place("cp1", **same), place("cp2", **{**same, "certificate_serial": 8}))
    assert [one for one in apart if isinstance(one, Unread)] == []


def test_a_server_with_addresses_of_two_families_is_one() -> None:
    census = Census(frozenset({("apiserver-1", "a")}), frozenset({"10.0.0.1", "fd00::1"}), frozenset())
    assert unread(seen(place("cp1", cluster=FakeCluster(census=census)))) == []


def test_a_missing_file_declares_nothing_and_a_manifest_without_the_flag_declares_plaintext() -> None:
    names = [one.name for one in declared(facts(running(text=None), running(text=None, loaded_hash="sha256:other")))]
    assert names == []
    without = facts(running(text=None, flags=()), running("cp2", text=None, flags=None), running("cp3"))
    told = [(one.name, effective.writer(one.config, "secrets").ref.provider) for one in declared(without)]
    assert told == [
        ("cp1, without a configuration,", Provider.IDENTITY),
        ("cp2, without a configuration,", Provider.IDENTITY),
        (f"cp3:{PATH}", Provider.SECRETBOX),
    ]


def test_a_file_that_is_found_in_two_ways_is_declared_once() -> None:
    here = running()
    assert [one.name for one in declared(Facts(TODAY, (config(name=PATH), here)))] == [PATH]
    elsewhere = config(name="clusters/prod/enc.yaml")
    assert [one.name for one in declared(Facts(TODAY, (elsewhere, here)))] == ["clusters/prod/enc.yaml", f"cp1:{PATH}"]


def test_who_there_is_may_be_hidden_and_is_then_not_known() -> None:
    (hidden,) = unread(seen(place(forbidden={("list", "leases.coordination.k8s.io")})))
    assert "whether there are API servers that the cluster file does not list" in hidden.reason


def test_stored_values_are_evidence_of_the_highest_level_at_their_endpoint() -> None:
    found = stored(secret("a"))
    assert (found.evidence, found.location.endpoint, found.live) == (Evidence.E3, "https://127.0.0.1:2379", True)
    (verdict,) = judgement("KC-DAT-101", facts(found))
    assert (verdict.status, verdict.evidence) == (Status.PASS, Evidence.E3)


def test_a_plaintext_value_is_named_by_its_key() -> None:
    (verdict,) = judgement("KC-DAT-101", facts(stored(secret("a") | secret("b", None))))
    assert verdict.location.etcd_key == "/registry/secrets/default/b"
    assert verdict.message == "1 value of secrets is stored in plaintext, first /registry/secrets/default/b"


def test_a_scan_that_was_cut_short_is_an_error_and_no_fact() -> None:
    for source in (
        MemorySource(secret("a"), claimed=2),
        MemorySource(secret("a") | secret("b"), batch=1, fails=UnreachableError("the connection broke")),
    ):
        with pytest.raises(UnreachableError):
            live_values(iter([source]).__next__, judging(ENCRYPTING), lambda _: {})


def test_an_api_that_does_not_count_leaves_what_was_read() -> None:
    def refused(_: tuple[str, ...]) -> Mapping[str, int]:
        raise UnreachableError("the API does not say")

    values = secret("c", None, "configmaps")
    both = seal.config(NEW, resources=("secrets", "configmaps"))
    found = live_values(lambda: MemorySource(values), judging(both), refused)
    said = {one.status for one in judgement("KC-DAT-101", facts(found))}
    assert said == {Status.FAIL, Status.UNKNOWN}


def test_a_key_that_only_one_server_has_is_no_orphan() -> None:
    one_each = stored(secret("a", OLD) | secret("b"), seal.config(NEW), seal.config(OLD))
    assert len(one_each.by_config) == 2
    assert judgement("KC-DAT-103", facts(one_each))[0].status is Status.PASS


def test_a_snapshot_never_makes_the_cluster_pass() -> None:
    alone = snapshot(secret("a"))
    assert status("KC-DAT-101", alone) is Status.UNKNOWN
    assert {status(id, alone) for id in ("KC-DAT-102", "KC-DAT-103", "KC-DAT-104", "KC-ENC-014")} == {Status.UNKNOWN}
    failed_scan = Unread("etcd cannot be reached", VALUES, alone.location)
    assert status("KC-DAT-101", alone, failed_scan) is Status.UNKNOWN


def test_a_snapshot_of_before_turns_red_what_it_holds_and_not_what_is_live() -> None:
    found = judgement("KC-DAT-101", facts(stored(secret("a")), snapshot(secret("a", None))))
    assert [(one.status, one.location.file) for one in found] == [(Status.PASS, None), (Status.FAIL, "backup.db")]
    assert [one.status for one in judgement("KC-ENC-014", facts(stored(secret("a")), snapshot(secret("a", None))))] == [
        Status.UNKNOWN
    ]


def test_a_canary_is_gone_whatever_happens() -> None:
    def broken(_: bytes) -> bytes | None:
        raise KeyboardInterrupt

    there = place()
    with pytest.raises(KeyboardInterrupt):
        list(canaries([there], broken, prefix="/registry", key_names=()))
    assert isinstance(there.api, FakeApiServer)
    assert there.api.cluster.objects == {}


def test_a_canary_that_could_not_be_deleted_is_told_by_its_name() -> None:
    there = place(forbidden={("delete", "secrets")})
    found, left = canaries([there], lambda _: seal.secret("x"), prefix="/registry", key_names=())
    assert "Secret kube-system/keyctl-canary-audit-1 was not deleted" in left.problem
    assert [one.status for one in judgement("KC-DAT-105", Facts(TODAY, (found, left)))] == [Status.FAIL, Status.UNKNOWN]


def test_each_server_writes_its_own_canary_and_it_is_read_where_it_lies() -> None:
    cluster, asked = FakeCluster(), list[bytes]()

    def read(key: bytes) -> bytes:
        asked.append(key)
        return seal.seal(NEW, key, seal.secret("x"))

    found = list(
        canaries([place("cp1", cluster=cluster), place("cp2", cluster=cluster)], read, prefix="/r/", key_names=())
    )
    assert asked == [f"/r/secrets/kube-system/keyctl-canary-audit-{number}".encode() for number in (1, 2)]
    assert [(one.server, one.under) for one in found] == [("cp1", NEW.ref), ("cp2", NEW.ref)]
    assert cluster.objects == {}
