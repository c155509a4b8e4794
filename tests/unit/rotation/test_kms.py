"""R16: values that only a KMS plugin opens, beside those of static keys."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError
from keyctl.kube.interface import Listed, ObjectRef
from keyctl.rotation import preflight
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish
from keyctl.rotation.scan import scan
from tests.support.sim_config import SimPlugin
from tests.support.sim_objects import key_of, new_object
from tests.support.sim_server import CONFIG_PATH, SimApi
from tests.support.sim_texts import KMS_CONFIGMAPS
from tests.support.simulator import THREE_RESTARTED, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import ROTATE, Scene, after, assert_done, begin

BESIDE_KMS = Scene("beside KMS", THREE_RESTARTED, KMS_CONFIGMAPS, ROTATE)

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


@pytest.fixture
def gets(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each server was asked for an object of each name."""
    asked: Counter[tuple[str, str]] = Counter()
    answer = SimApi.get_metadata

    def noted(api: SimApi, ref: ObjectRef) -> Listed:
        asked[api.name, ref.name] += 1
        return answer(api, ref)

    monkeypatch.setattr(SimApi, "get_metadata", noted)
    return asked


def test_r16_values_of_a_kms_plugin_stay_as_they_are_and_every_server_is_seen_to_read_them_at_every_stage(
    gets: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    cluster = BESIDE_KMS.cluster(tmp_path)
    begin(cluster.session(), ROTATE)
    assert cluster.under("configmaps") == {b"k8s:enc:kms:v2:vault"}
    for server in cluster.servers:
        proofs = [r for r in cluster.journal().records() if r.get("of") == "server" and r["server"] == server.name]
        assert {proof["stage"] for proof in proofs} == {"ADDED", "PROMOTED", "RETIRED"}
        # Once before the beginning, once for each proof of this server, twice when all of them are proven to read, and
        # once more before the old key leaves a file.
        assert gets[server.name, "settings"] == 1 + len(proofs) + 2 + 1
    assert_done(cluster, BESIDE_KMS)


@pytest.mark.parametrize(
    ("label", "untouched"),
    [("journal begin", 1), ("journal proof readable", 2), ("journal proof resecured", 3)],
    ids=["added", "readable", "retired"],
)
def test_r16_a_server_that_no_longer_reads_a_value_of_a_kms_plugin_stops_it(
    label: str, untouched: int, tmp_path: Path
) -> None:
    cluster = BESIDE_KMS.cluster(tmp_path)
    problems = cluster.server("cp2").list_problems
    after(cluster, label, lambda: problems.update(settings="500 InternalError"))
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), ROTATE)
    error = caught.value
    assert isinstance(error, StoppedError)
    assert error.rule == "R16"
    assert "cp2 cannot read configmaps kube-system/settings" in str(error)
    assert error.cause == "500 InternalError"
    assert Counter(cluster.switch.labels)[f"cp3: write {CONFIG_PATH}"] == untouched - 1
    problems.clear()
    cluster.session().resume()
    assert_done(cluster, BESIDE_KMS)


def test_r16_a_value_of_a_kms_plugin_that_is_deleted_meanwhile_is_not_missed(tmp_path: Path) -> None:
    cluster = BESIDE_KMS.cluster(tmp_path)
    settings = key_of("configmaps", "kube-system", "settings")
    # Right before it is asked for.
    cluster.server("cp1").on_list = lambda: cluster.forget(settings) if cluster.object_at(settings) else None
    begin(cluster.session(), ROTATE)
    assert cluster.object_at(settings) is None
    assert_done(cluster, BESIDE_KMS)


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
    assert cluster.session().agree(ROTATE).lines, "three are not too many"
