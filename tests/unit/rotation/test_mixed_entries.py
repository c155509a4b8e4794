"""`disable` where some entries have identity first already, or where plaintext stands beside a key from before."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import IdentityReader
from keyctl.errors import StoppedError
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from tests.support import sim_config
from tests.support.sim_objects import key_of, new_object
from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.sim_texts import KEY_1, configuration, secret_of
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    DISABLE,
    WITHOUT_IDENTITY,
    Agree,
    Was,
    after,
    assert_back,
    begin,
    head,
    proofs_of,
    skip_slow_parts,
)

KEYED = f"""\
      - aescbc:
          keys:
            - name: {KEY_1.ref.name}
              secret: {secret_of(KEY_1)}
"""
PLAIN = "      - identity: {}\n"
HEADER = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
# Encryption of secrets, and of configmaps, was turned off by hand: the key still reads.
DECRYPTED_BY_HAND = (HEADER + "  - resources: [secrets]\n    providers:\n" + PLAIN + KEYED).encode()
ONE_BY_HAND = (
    HEADER
    + f"  - resources: [secrets]\n    providers:\n{KEYED}{PLAIN}"
    + f"  - resources: [configmaps]\n    providers:\n{PLAIN}{KEYED}"
).encode()
# Plaintext is read beside the key for configmaps, not for secrets.
ONE_WITH_IDENTITY = WITHOUT_IDENTITY + f"  - resources: [configmaps]\n    providers:\n{KEYED}{PLAIN}".encode()
EACH_WAY = pytest.mark.parametrize(
    "specs", [pytest.param(THREE_RESTARTED, id="restart"), pytest.param(THREE_RELOADING, id="reload")]
)
LEFT = key_of("configmaps", "default", "left")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def leave_encrypted(cluster: SimCluster, resource: str) -> None:
    """A value of `resource` from before it was decrypted by hand."""
    found = new_object(resource, "default", "left")
    cluster.store(found, sim_config.load(configuration(((resource,), KEY_1)), "").seal(resource, LEFT, found.plain))


def leave_plain(cluster: SimCluster) -> None:
    """A configmap from before configmaps were encrypted."""
    found = new_object("configmaps", "default", "left")
    cluster.store(found, found.plain)


def assert_only_plaintext(cluster: SimCluster) -> None:
    for server in cluster.servers:
        for entry in decode(server.host.files[CONFIG_PATH].content, name="enc.yaml").config.entries:
            assert [reader for element in entry.providers for reader in element.readers] == [IdentityReader()]
    assert {head_ for name in ("secrets", "configmaps") for head_ in cluster.under(name)} == {b"plaintext"}


@EACH_WAY
def test_disable_of_an_entry_that_has_identity_first_takes_its_key_away(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs, DECRYPTED_BY_HAND)
    assert begin(cluster.session(), Wish(Goal.DISABLE, resources=("secrets",))).state is State.RETIRED
    assert proofs_of(cluster)[-1] == "retired"
    assert_only_plaintext(cluster)


@EACH_WAY
def test_disable_rewrites_what_is_left_under_the_key_of_an_entry_that_has_identity_first(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs, ONE_BY_HAND)
    leave_encrypted(cluster, "configmaps")
    assert cluster.under("configmaps") == {b"plaintext", head(KEY_1.ref)}
    wish = Wish(Goal.DISABLE, resources=("secrets", "configmaps"))
    assert begin(cluster.session(), wish).state is State.RETIRED
    assert_only_plaintext(cluster)


@EACH_WAY
@pytest.mark.parametrize("state", [State.ADDING, State.REWRITING, State.RETIRING])
def test_r7_the_way_back_leaves_an_entry_that_had_identity_first_as_it_was(
    state: State, specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs, ONE_BY_HAND)
    was = Was.of(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=state), Wish(Goal.DISABLE, resources=("secrets", "configmaps")))
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert_back(cluster, was)


def test_r7_plaintext_that_was_readable_before_is_no_late_value_on_the_way_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED, ONE_WITH_IDENTITY)
    leave_plain(cluster)
    asked: list[bool] = []
    after(cluster, "cp1: restart", lambda: asked.append(True))

    def pause() -> None:
        if asked:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), DISABLE)
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert "late" not in proofs_of(cluster)
    assert cluster.under("secrets") == {head(KEY_1.ref)}
