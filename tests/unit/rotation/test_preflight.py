"""What is refused before anything is touched: each guard by its rule, and not one effect."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, UnreachableError
from keyctl.keys.key import Key, Provider
from keyctl.kube.interface import Listed
from keyctl.rotation import preflight
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.scan import scan
from tests.support.sim_config import SimPlugin
from tests.support.sim_objects import key_of, new_object
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, SimApi, Spec
from tests.support.sim_texts import (
    EVERYTHING,
    KEY_0,
    KEY_1,
    KMS_CONFIGMAPS,
    SECRETS,
    configuration,
    manifest,
    secret_of,
)
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import ENABLE, KEY_2, ROTATE, begin, head

KMS = b"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aescbc:
          keys: [{name: key1, secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]
      - kms: {apiVersion: v2, name: vault, endpoint: "unix:///run/kms.sock"}
      - identity: {}
"""


def refused(cluster: SimCluster, wish: Wish = ROTATE) -> KeyctlError:
    """Why the rotation does not begin; nothing was asked of the user, and nothing has changed."""
    before = {server.name: dict(server.host.files) for server in cluster.servers}
    stored = cluster.etcds["https://10.0.0.9:2379"].revision
    with pytest.raises(KeyctlError) as caught:
        cluster.session().start(wish, confirm=lambda _: pytest.fail("the user was asked"))
    assert cluster.switch.labels == []
    assert {server.name: dict(server.host.files) for server in cluster.servers} == before
    assert cluster.etcds["https://10.0.0.9:2379"].revision == stored
    assert cluster.store_keys.records() == ()
    assert cluster.lease_record.place is None
    assert caught.value.hints
    return caught.value


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


def test_r11_a_server_that_registers_again_a_few_seconds_later_is_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp2").ready_since = cluster.clock.monotonic()
    assert "10.0.0.2" not in cluster.census().endpoints
    watcher = Watcher()
    cluster.session(watcher=watcher).outline(ROTATE)
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


def put_under_plugin(cluster: SimCluster, resource: str, name: str) -> None:
    """A value that a plugin sealed which now stands second in the entry of `resource`."""
    found = new_object(resource, "default", name)
    (_, plugin, *_) = cluster.servers[0].config.readers(resource)
    assert isinstance(plugin, SimPlugin)
    cluster.store(found, plugin.seal(found.etcd_key, found.plain))


@pytest.mark.parametrize("goal", [Goal.ROTATE, Goal.DISABLE])
def test_r16_where_an_entry_that_changes_has_values_under_a_kms_plugin_it_is_refused(
    goal: Goal, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, config=KMS)
    put_under_plugin(cluster, "secrets", "wrapped")
    error = refused(cluster, Wish(goal))
    assert isinstance(error, RefusedError)
    assert error.rule == "R16"
    assert "1 value can only be opened by a KMS plugin" in str(error)
    assert "one of them is of secrets, which would change" in (error.cause or "")


def test_r16_a_kms_value_that_a_wildcard_covers_is_refused_when_that_wildcard_changes(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=KMS.replace(b"[secrets]", b'["*.*"]'))
    put_under_plugin(cluster, "configmaps", "wrapped")
    error = refused(cluster)
    assert error.rule == "R16"
    assert "one of them is of configmaps" in (error.cause or "")


def test_r16_a_kms_value_that_one_server_cannot_read_stops_before_anything_is_touched(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=KMS_CONFIGMAPS)
    cluster.server("cp3").list_problems["settings"] = "500 InternalError"
    error = refused(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "R16"
    assert "cp3 cannot read configmaps kube-system/settings" in str(error)
    assert error.cause == "500 InternalError"


def test_r16_a_kms_value_that_one_server_denies_though_it_is_stored_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SimApi, "get_metadata", lambda api, ref: Listed(ref.resource, int(api.name != "cp2")))
    error = refused(SimCluster(tmp_path, config=KMS_CONFIGMAPS))
    assert error.rule == "R16"
    assert "cp2 cannot read configmaps kube-system/settings" in str(error)
    assert "the API says that it does not exist" in (error.cause or "")


def test_r16_more_kms_values_than_can_be_asked_for_one_by_one_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, config=KMS_CONFIGMAPS)
    for number in range(3):
        cluster.create("configmaps", "default", f"more-{number}")
    monkeypatch.setattr(preflight, "scan", partial(scan, kms_limit=3))
    error = refused(cluster)
    assert error.rule == "R16"
    assert "4 values can only be opened by a KMS plugin: too many" in str(error)
    cluster.forget(key_of("configmaps", "default", "more-0"))
    assert cluster.session().outline(ROTATE), "three are not too many"


def shown_resources(error: KeyctlError) -> tuple[str, ...]:
    """The resources that the hint names."""
    return tuple(re.findall(r"--resources (\S+)", " ".join(error.hints)))


@pytest.mark.parametrize("goal", [Goal.ROTATE, Goal.DISABLE])
def test_r3_a_key_that_other_resources_share_leaves_all_of_them_or_none(goal: Goal, tmp_path: Path) -> None:
    shared = configuration((("secrets",), KEY_1), (("configmaps", "widgets.example.com"), KEY_1), (("leases",), KEY_0))
    cluster = SimCluster(tmp_path, config=shared.replace(b"leases", b"leases.coordination.k8s.io"))
    error = refused(cluster, Wish(goal, resources=("secrets",)))
    assert isinstance(error, RefusedError)
    assert error.rule == "R3"
    assert str(error) == "aescbc/key1 is also a key of configmaps, widgets.example.com"
    assert error.hints == (
        "change it for all of them: --resources secrets --resources configmaps --resources widgets.example.com",
    )
    finished = begin(cluster.session(), Wish(goal, resources=shown_resources(error)))
    assert [str(ref) for ref in finished.plan.old_refs] == ["aescbc/key1"]
    for resource in ("secrets", "configmaps", "widgets.example.com"):
        assert cluster.under(resource) == {head(finished.plan.new)}
    assert secret_of(KEY_0).encode() in cluster.server("cp1").host.files[CONFIG_PATH].content


def also_reads(config: bytes, writer: Key, key: Key) -> bytes:
    """`config` with `key` right behind `writer`, wherever that stands."""
    secret = f"              secret: {secret_of(writer)}\n"
    return config.replace(
        secret.encode(), f"{secret}            - name: {key.name}\n              secret: {secret_of(key)}\n".encode()
    )


def test_r3_a_key_that_only_reads_elsewhere_is_shared_too(tmp_path: Path) -> None:
    config = also_reads(configuration((("secrets",), KEY_1), (("configmaps",), KEY_0)), KEY_0, KEY_1)
    error = refused(SimCluster(tmp_path, config=config), Wish(Goal.ROTATE, resources=("secrets",)))
    assert error.rule == "R3"
    assert shown_resources(error) == ("secrets", "configmaps")


def test_r3_following_the_hint_leads_to_the_end_where_keys_are_shared_in_a_chain(tmp_path: Path) -> None:
    three = configuration((("secrets",), KEY_1), (("configmaps",), KEY_0), (("widgets.example.com",), KEY_2))
    cluster = SimCluster(tmp_path, config=also_reads(also_reads(three, KEY_1, KEY_0), KEY_0, KEY_2))
    first = refused(cluster, Wish(Goal.ROTATE, resources=("secrets",)))
    assert shown_resources(first) == ("secrets", "configmaps")
    second = refused(cluster, Wish(Goal.ROTATE, resources=shown_resources(first)))
    assert shown_resources(second) == ("secrets", "configmaps", "widgets.example.com")
    assert begin(cluster.session(), Wish(Goal.ROTATE, resources=shown_resources(second))).state is State.RETIRED


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
    assert refused(SimCluster(tmp_path, config=twice)).rule == "R5"


ENTRY_OF_TWO = also_reads(SECRETS, KEY_1, KEY_2)
TWO_ENTRIES = configuration((("secrets",), KEY_1), (("configmaps",), KEY_0))
NOT_IN_ONE_ELEMENT = SECRETS.replace(
    b"      - identity: {}\n",
    f"      - aescbc: {{keys: [{{name: {KEY_2.name}, secret: {secret_of(KEY_2)}}}]}}\n      - identity: {{}}\n".encode(),
)


@pytest.mark.parametrize(
    ("config", "other"),
    [
        pytest.param(SECRETS, EVERYTHING, id="one entry more"),
        pytest.param(SECRETS, ENTRY_OF_TWO, id="one key more"),
        pytest.param(
            TWO_ENTRIES, configuration((("configmaps",), KEY_0), (("secrets",), KEY_1)), id="entries in another order"
        ),
        pytest.param(ENTRY_OF_TWO, NOT_IN_ONE_ELEMENT, id="the same keys at other places"),
    ],
)
def test_r1_servers_whose_files_differ_in_more_than_comments_are_refused(
    config: bytes, other: bytes, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, config=config)
    cluster.server("cp3").host.place(CONFIG_PATH, other)
    cluster.server("cp3").boot()
    cluster.clock.advance(10)
    error = refused(cluster)
    assert error.rule == "R1"
    assert "cp1 and cp3" in str(error)


def test_servers_whose_files_differ_only_in_comments_are_rotated_and_keep_them(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp3").host.place(CONFIG_PATH, SECRETS + b"# in rack 3\n")
    cluster.server("cp3").boot()
    cluster.clock.advance(10)
    begin(cluster.session(), ROTATE)
    assert [b"# in rack 3" in server.host.files[CONFIG_PATH].content for server in cluster.servers] == [0, 0, 1]


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
