"""The switch: what canaries find out about servers that are not what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, StoppedError
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, assert_done, before, begin, plans

BY_RESTART = SCENES[2]


def stops(cluster: SimCluster) -> KeyctlError:
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), ROTATE)
    return caught.value


def resumed(cluster: SimCluster) -> None:
    cluster.session().resume()


def test_a_server_that_writes_with_another_key_than_its_file_says_is_found_by_its_canary(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp2").writes_as = cluster.server("cp2").config
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "cp2 does not write with" in str(error)
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    cluster.server("cp2").writes_as = None
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


def test_a_server_that_does_not_read_what_another_writes_is_found_by_the_canary(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal intent switch", lambda: refuse_canaries(cluster))
    error = stops(cluster)
    assert "cp3 cannot read what cp1 writes" in str(error)
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    cluster.server("cp3").list_problems.clear()
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


def refuse_canaries(cluster: SimCluster) -> None:
    (plan,) = plans(cluster)
    cluster.server("cp3").list_problems[f"keyctl-canary-{plan.rotation}-1"] = "500 InternalError"


def test_a_canary_whose_patch_is_not_answered_proves_nothing(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "create-canary", lambda: setattr(cluster, "lost_answers", 1), nth=2)
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "cp2 answers resourceVersion None" in str(error)
    resumed(cluster)
    assert_done(cluster, BY_RESTART)
