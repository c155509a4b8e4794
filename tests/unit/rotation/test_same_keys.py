"""R1 and R3 before the beginning: files that are not alike, and keys that more than one entry has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError
from keyctl.keys.key import Key
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, configuration, secret_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import KEY_2, ROTATE, begin, head


def also_reads(config: bytes, writer: Key, key: Key) -> bytes:
    """`config` with `key` right behind `writer`, wherever that stands."""
    secret = f"              secret: {secret_of(writer)}\n"
    return config.replace(
        secret.encode(), f"{secret}            - name: {key.name}\n              secret: {secret_of(key)}\n".encode()
    )


ENTRY_OF_TWO = also_reads(SECRETS, KEY_1, KEY_2)
TWO_ENTRIES = configuration((("secrets",), KEY_1), (("configmaps",), KEY_0))
SECOND_ELEMENT = f"      - aescbc: {{keys: [{{name: {KEY_2.name}, secret: {secret_of(KEY_2)}}}]}}\n"
NOT_IN_ONE_ELEMENT = SECRETS.replace(b"      - identity", SECOND_ELEMENT.encode() + b"      - identity")


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
