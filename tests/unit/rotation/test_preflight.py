"""What is refused before anything is touched: each guard by its rule, and not one effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.keys.key import Key, Provider
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish
from tests.support.sim_objects import new_object
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import (
    EVERYTHING,
    KEY_0,
    KEY_1,
    SECRETS,
    configuration,
    manifest,
)
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import ENABLE, ROTATE, begin


@pytest.mark.parametrize("resource", ["configmaps", "secrets", "widgets.example.com", "leases.coordination.k8s.io"])
def test_r10_an_undecryptable_value_of_any_resource_stops_before_anything_is_touched(
    resource: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    key = cluster.put_undecryptable(resource, "default", "old-one")
    error = refused(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "R10"
    assert key.decode() in (error.cause or "")


def test_r10_one_more_undecryptable_value_is_found_among_many_that_open(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    for number in range(60):
        cluster.create("secrets", "default", f"many-{number}")
    cluster.put_undecryptable("secrets", "default", "many-61")
    assert "many-61" in (refused(cluster).cause or "")


def stop(cluster: SimCluster) -> None:
    cluster.server("cp2").stop()


def add_unlisted(cluster: SimCluster) -> None:
    cluster.add_unlisted(SECRETS)


def list_twice(cluster: SimCluster) -> None:
    cluster.extra_entries.append(cluster.listed(cluster.server("cp2"), name="cp2-again"))


def listed_but_gone(cluster: SimCluster) -> None:
    gone = cluster.listed(cluster.server("cp3"), name="cp3")
    cluster.server("cp3").stop()
    cluster.extra_entries.append(gone)
    cluster.servers.pop()


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        pytest.param(stop, "cp2 is not ready", id="down"),
        pytest.param(add_unlisted, "cp9", id="unlisted"),
        pytest.param(list_twice, "cp2 and cp2-again are one process", id="listed twice"),
        pytest.param(listed_but_gone, "cp3 is not ready", id="gone for good"),
    ],
)
def test_r11_a_census_that_does_not_agree_blocks_the_beginning(
    arrange: Callable[[SimCluster], None], message: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    arrange(cluster)
    error = refused(cluster)
    assert error.rule == "R11"
    assert message in str(error)
    assert error.hints[-1] == "then run this again"


def test_r11_a_server_that_registers_again_a_few_seconds_later_is_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp2").ready_since = cluster.clock.monotonic()
    assert "10.0.0.2" not in cluster.census().endpoints
    watcher = Watcher()
    cluster.session(watcher=watcher).agree(ROTATE)
    assert [event.message for event in watcher.events if event.kind == "wait"]


@pytest.mark.parametrize(
    ("distribution", "wish", "message"),
    [
        ("k3s", ROTATE, "k3s owns"),
        ("rke2", ROTATE, "rke2 owns"),
        ("talos", Wish(Goal.ROTATE, template_updated=True), "talos owns"),
        ("kubespray", ROTATE, "would write its own"),
        ("kops", ROTATE, "would write its own"),
    ],
)
def test_r12_where_a_distribution_owns_the_file_its_own_way_is_named(
    distribution: str, wish: Wish, message: str, tmp_path: Path
) -> None:
    error = refused(SimCluster(tmp_path, distribution=distribution), wish)
    assert error.rule == "R12"
    assert message in str(error)


def test_r12_with_the_template_updated_kubespray_is_rotated(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, distribution="kubespray")
    begin(cluster.session(), Wish(Goal.ROTATE, template_updated=True))
    assert b"key1" not in b"".join(cluster.under("secrets"))


def test_r12_enable_is_refused_where_the_next_kubeadm_upgrade_drops_the_flag(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=None)
    cluster.create("configmaps", "kube-system", "kubeadm-config")
    assert refused(cluster, ENABLE).rule == "R12"
    begin(cluster.session(), Wish(Goal.ENABLE, Provider.AESCBC, ("secrets",), template_updated=True))


def test_r9_the_only_server_is_restarted_only_when_downtime_is_allowed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1"),))
    assert refused(cluster).rule == "R9"
    begin(cluster.session(), Wish(Goal.ROTATE, allow_downtime=True))
    assert cluster.server("cp1").host.restarts == 3


def test_r9_the_only_server_needs_no_leave_when_it_reloads(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1", reloads=True),))
    begin(cluster.session(), ROTATE)
    assert cluster.server("cp1").host.restarts == 0


def test_r18_a_resource_of_an_aggregated_api_server_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("pods.metrics.k8s.io",), KEY_0)))
    error = refused(cluster)
    assert error.rule == "R18"
    assert "pods.metrics.k8s.io" in str(error)


def test_r18_a_resource_that_no_api_serves_is_refused(tmp_path: Path) -> None:
    error = refused(SimCluster(tmp_path, config=configuration((("secrets", "secret"), KEY_1))))
    assert error.rule == "R18"
    assert "no resource secret" in str(error)


def test_r5_a_name_with_other_bytes_in_the_key_store_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    other = Key(Provider.AESCBC, "key1", bytes(32))
    cluster.store_keys.put(other, origin="imported")
    cluster.switch.labels.clear()
    with pytest.raises(RefusedError) as caught:
        begin(cluster.session(), ROTATE)
    assert caught.value.rule == "R5"
    assert cluster.switch.labels == []


def test_r5_a_name_that_stands_for_two_keys_in_one_file_is_refused(tmp_path: Path) -> None:
    twice = configuration((("secrets",), KEY_1), (("configmaps",), Key(Provider.AESCBC, "key1", bytes(32))))
    error = refused(SimCluster(tmp_path, config=twice))
    assert (error.rule, str(error)) == ("R5", "aescbc/key1 stands for two different keys in one configuration")


def another_cluster(cluster: SimCluster) -> None:
    found = new_object("namespaces", None, "kube-system")
    cluster.etcds["https://10.0.0.9:2379"].put(found.etcd_key, found.plain)
    cluster.clock.after_step = lambda: None


def no_kube_system(cluster: SimCluster) -> None:
    cluster.etcds["https://10.0.0.9:2379"].remove(b"/registry/namespaces/kube-system")
    cluster.clock.after_step = lambda: None


def etcd_down(cluster: SimCluster) -> None:
    cluster.etcds["https://10.0.0.9:2379"].down = True


@pytest.mark.parametrize("arrange", [another_cluster, no_kube_system, etcd_down])
def test_an_etcd_that_is_not_the_one_behind_the_servers_is_unreachable(
    arrange: Callable[[SimCluster], None], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    arrange(cluster)
    with pytest.raises(UnreachableError):
        begin(cluster.session(), ROTATE)
    assert cluster.switch.labels == []


def no_manifest(cluster: SimCluster) -> None:
    del cluster.server("cp2").host.files[MANIFEST_PATH]


def other_file_loaded(cluster: SimCluster) -> None:
    cluster.server("cp2").host.place(CONFIG_PATH, SECRETS + b"# later\n")


def no_file(cluster: SimCluster) -> None:
    cluster.clock.after_step = lambda: None
    cluster.excused.add("cp2")
    del cluster.server("cp2").host.files[CONFIG_PATH]


def other_prefix(cluster: SimCluster) -> None:
    host = cluster.server("cp2").host
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content.replace(b"=/registry", b"=/other"))


def other_etcd(cluster: SimCluster) -> None:
    text = manifest(cluster.server("cp2").spec, encrypts=True, etcd="https://10.0.0.77:2379")
    cluster.server("cp2").host.place(MANIFEST_PATH, text)


def unknown_override(cluster: SimCluster) -> None:
    text = manifest(cluster.server("cp2").spec, encrypts=True, overrides=("events",))
    cluster.server("cp2").host.place(MANIFEST_PATH, text)


def no_reload_flag(cluster: SimCluster) -> None:
    host = cluster.server("cp2").host
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content.replace(b"-automatic-reload=true", b"-other=true"))


def full_disk(cluster: SimCluster) -> None:
    cluster.server("cp2").host.free = 1000


def full_etcd(cluster: SimCluster) -> None:
    cluster.etcds["https://10.0.0.9:2379"].quota = 4000


def may_not_patch(cluster: SimCluster) -> None:
    cluster.forbidden.add(("patch", "secrets"))


def may_not_create(cluster: SimCluster) -> None:
    cluster.forbidden.add(("create", "secrets"))


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (no_manifest, "cp2 has no manifest"),
        (other_file_loaded, "cp2 has not loaded the file"),
        (no_file, "is missing on cp2"),
        (other_prefix, "cp2 stores under /other"),
        (other_etcd, "https://10.0.0.77:2379"),
        (unknown_override, "keeps events in another etcd"),
        (no_reload_flag, "cp2 does not reload by itself"),
        (full_disk, "disk of cp2"),
        (full_etcd, "would fill the database"),
        (may_not_patch, "you may not patch secrets"),
        (may_not_create, "you may not create secrets in kube-system"),
    ],
)
def test_a_cluster_that_could_not_be_carried_through_is_refused(
    arrange: Callable[[SimCluster], None], message: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    arrange(cluster)
    error = refused(cluster)
    assert error.rule == "preflight"
    assert message in f"{error} {error.hints}"


def test_rights_to_everything_that_a_wildcard_covers_are_needed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    cluster.forbidden.add(("patch", "widgets.example.com"))
    assert "widgets.example.com" in str(refused(cluster))


def test_enable_is_refused_where_secrets_are_encrypted_and_rotate_where_nothing_is(tmp_path: Path) -> None:
    assert "encrypted already" in str(refused(SimCluster(tmp_path / "on"), ENABLE))
    assert "encrypts nothing yet" in str(refused(SimCluster(tmp_path / "off", config=None), ROTATE))


def test_enable_is_refused_where_a_file_lies_that_no_flag_names(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED, None)
    cluster.server("cp2").host.place(CONFIG_PATH, SECRETS)
    assert "no flag makes the server read it" in str(refused(cluster, ENABLE))


def test_every_etcd_is_read_whatever_override_names_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, overrides=("configmaps",))
    key = cluster.put_undecryptable("configmaps", "default", "far-away")
    assert cluster.etcds["https://10.0.0.9:2379"].raw(key) is None
    error = refused(cluster)
    assert error.rule == "R10"
    assert "far-away" in (error.cause or "")


def test_an_entry_that_another_one_overrules_is_not_rotated_as_if_it_decided(tmp_path: Path) -> None:
    plain_first = b"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers: [{identity: {}}]
  - resources: [secrets, configmaps]
    providers:
      - aescbc:
          keys: [{name: key1, secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]
      - identity: {}
"""
    error = refused(SimCluster(tmp_path, config=plain_first))
    assert "secrets would still be written by identity" in str(error)


def test_a_settle_time_shorter_than_a_request_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.settle = 59.0
    assert "may be busy with one request for 1m0s" in str(refused(cluster))


def test_r13_a_file_that_others_may_read_gets_no_new_key(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    host = cluster.server("cp2").host
    host.files[CONFIG_PATH] = replace(host.files[CONFIG_PATH], mode=0o644)
    error = refused(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "R13"
    assert error.hints == (f"chmod 600 {CONFIG_PATH}",)


def test_another_etcd_than_the_one_a_server_keeps_a_resource_in_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, overrides=("configmaps",))
    for server in cluster.servers:
        file = server.host.files[MANIFEST_PATH]
        server.host.place(MANIFEST_PATH, file.content.replace(b"10.0.0.8", b"10.0.0.7"))
    assert "keeps configmaps in another etcd than the cluster file says" in str(refused(cluster))
