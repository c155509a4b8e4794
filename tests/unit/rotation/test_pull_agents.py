"""Rotations whose files are fetched by agents: the whole way, with an agent that stands still, and with Vault away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.effective import all_static_keys
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.openers import openers
from keyctl.errors import KeyctlError, StoppedError, UnreachableError
from keyctl.hosts.agent import AgentHost
from keyctl.hosts.interface import HostFile
from keyctl.hosts.node_agent import NodeAgent
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.rendition import digest
from keyctl.rotation.node_files import holding
from keyctl.rotation.plan import State
from keyctl.rotation.world import World
from tests.support.memory_host import MemoryHost
from tests.support.memory_values import MemoryValues
from tests.support.pulled import PLACE
from tests.support.sim_parts import SimHost
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, SimServer
from tests.support.simulator import THREE_RELOADING, SimCluster
from tests.unit.rotation.scenes import FROM_PLUGIN, ROTATE, TO_PLUGIN, Agree, after, begin, go_on

EVERY = 5.0


class NodeDisk(MemoryHost):
    """The disk of a node as its agent sees it: the server's files, and one of its own, which is no effect of keyctl."""

    def __init__(self, host: SimHost) -> None:
        super().__init__(host.name)
        self._host = host

    def read(self, path: str) -> HostFile | None:
        return self._host.read(path) if path in (CONFIG_PATH, MANIFEST_PATH) else super().read(path)

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        if path == CONFIG_PATH:
            return self._host.write(path, content, expected=expected, in_place=in_place)
        return super().write(path, content, expected=expected)


class PulledCluster(SimCluster):
    """Three servers that reload, and an agent on each; those in `still` stand still. `said` is what agents met with."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, THREE_RELOADING)
        self.values = MemoryValues()
        self.still: set[str] = set()
        self.said: list[str] = []
        for number, server in enumerate(self.servers):
            self._start_agent(server, first=1.0 + number)
        self.clock.advance(EVERY)

    def shared(self) -> VaultDistribution:
        servers = tuple(server.name for server in self.servers)
        return VaultDistribution(self.values, PLACE, cluster="prod", servers=servers)

    def world(self, *, place: str = "here") -> World:
        world = super().world(place=place)
        servers = tuple(replace(server, host=self._host(server.name)) for server in world.servers)
        return replace(world, servers=servers, nodes=self.shared())

    def _host(self, name: str) -> AgentHost:
        return AgentHost(
            name,
            self.shared(),
            config_path=CONFIG_PATH,
            wait=45.0,
            openers=openers,
            now=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

    def _start_agent(self, server: SimServer, *, first: float) -> None:
        agent = NodeAgent(
            server.name,
            self.shared(),
            NodeDisk(server.host),
            cluster="prod",
            config_path=CONFIG_PATH,
            manifest_path=MANIFEST_PATH,
            openers=openers,
            digest_of=lambda rendition: digest(rendition, cluster="prod"),
            now=self.clock.now,
        )

        def turn() -> None:
            if server.name in self.still:
                return
            try:
                agent.turn()
            except KeyctlError as error:
                self.said.append(str(error))

        self.clock.every(EVERY, turn, first=first)


@pytest.fixture
def cluster(tmp_path: Path) -> PulledCluster:
    return PulledCluster(tmp_path)


def configurations(cluster: PulledCluster) -> list[EncryptionConfig]:
    return [decode(server.host.files[CONFIG_PATH].content, name="x").config for server in cluster.servers]


def test_a_rotation_goes_all_the_way_by_what_agents_put_in_place(cluster: PulledCluster) -> None:
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert cluster.said == []
    current = cluster.shared().current()
    assert current is not None
    assert {name: wanted.sha256 for name, wanted in current.files.items()} == {
        server.name: server.host.files[CONFIG_PATH].sha256 for server in cluster.servers
    }
    assert current.seq == 9


@pytest.mark.parametrize("state", ["adding", "promoting", "retiring"])
def test_an_agent_that_stands_still_stops_the_rotation_and_started_later_it_ends_well(
    cluster: PulledCluster, state: str
) -> None:
    after(cluster, f"journal state {state}", lambda: cluster.still.add("cp2"))
    with pytest.raises(StoppedError, match="host cp2: its agent has not taken up the change") as caught:
        begin(cluster.session(), ROTATE)
    assert any("keyctl rotate --resume" in hint for hint in caught.value.hints)
    with pytest.raises(StoppedError, match="host cp2: its agent has not taken up the change"):
        cluster.session().resume()
    cluster.still.clear()
    assert go_on(cluster, ROTATE).state is State.RETIRED
    assert cluster.said == []


def test_an_agent_that_comes_back_in_time_is_waited_for(cluster: PulledCluster) -> None:
    def stand_still() -> None:
        cluster.still.add("cp2")
        cluster.clock.at(40.0, cluster.still.clear)

    after(cluster, "journal state promoting", stand_still)
    assert begin(cluster.session(), ROTATE).state is State.RETIRED


@pytest.mark.parametrize("state", ["adding", "promoting", "retiring"])
def test_a_rotation_that_an_agent_stopped_can_be_gone_back_on(cluster: PulledCluster, state: str) -> None:
    was = configurations(cluster)
    after(cluster, f"journal state {state}", lambda: cluster.still.add("cp2"))
    with pytest.raises(StoppedError):
        begin(cluster.session(), ROTATE)
    cluster.clock.at(30.0, cluster.still.clear)
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    cluster.clock.advance(600.0)
    assert configurations(cluster) == was
    assert cluster.said == []


@pytest.mark.parametrize("state", ["adding", "switched", "retiring"])
def test_with_vault_away_half_way_it_stops_and_goes_on_when_it_is_back(cluster: PulledCluster, state: str) -> None:
    def seal() -> None:
        cluster.values.failing = UnreachableError("the Vault at https://vault:8200 is sealed")

    after(cluster, f"journal state {state}", seal)
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(), ROTATE)
    assert "sealed" in f"{caught.value} {caught.value.cause}"
    before = [server.host.files[CONFIG_PATH] for server in cluster.servers]
    cluster.clock.advance(3600.0)
    assert [server.host.files[CONFIG_PATH] for server in cluster.servers] == before
    cluster.values.failing = None
    cluster.clock.advance(EVERY)
    assert go_on(cluster, ROTATE).state is State.RETIRED


def test_a_vault_that_has_gone_back_is_not_worn_down_by_trying_again(cluster: PulledCluster) -> None:
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    before = [server.host.files[CONFIG_PATH] for server in cluster.servers]
    restored = {**cluster.values.held(PLACE.current)[-1], "seq": 7, "files": {}}
    cluster.values.entries[PLACE.current].append(restored)
    with pytest.raises(KeyctlError):
        begin(cluster.session(), ROTATE)
    for _ in range(3):
        cluster.clock.advance(EVERY)
        with pytest.raises(KeyctlError) as caught:
            cluster.session().resume()
    assert "has gone back: it stands at rendition" in f"{caught.value} {caught.value.cause}"
    assert [server.host.files[CONFIG_PATH] for server in cluster.servers] == before
    current = cluster.shared().current()
    assert current is not None
    assert current.seq < 9


def test_a_report_alone_convinces_nobody_that_a_server_has_loaded_its_file(cluster: PulledCluster) -> None:
    cluster.server("cp2").lagging = True
    with pytest.raises(StoppedError, match="cp2 has not loaded the new configuration"):
        begin(cluster.session(), ROTATE)


def test_a_file_that_somebody_changes_on_a_node_freezes_the_rotation(cluster: PulledCluster) -> None:
    host = cluster.server("cp2").host
    cluster.excused.add("cp2")
    changed = host.files[CONFIG_PATH].content + b"# by hand\n"

    def change() -> None:
        host.place(CONFIG_PATH, changed)

    after(cluster, "journal state adding", change)
    with pytest.raises(KeyctlError):
        begin(cluster.session(), ROTATE)
    assert host.files[CONFIG_PATH].content == changed


def test_r16_agents_carry_a_move_to_a_plugin_and_back(cluster: PulledCluster) -> None:
    objects = dict(cluster.objects)
    assert begin(cluster.session(), TO_PLUGIN).state is State.RETIRED
    assert cluster.under("secrets") == {b"k8s:enc:kms:v2:vault"}
    assert [set(openers(server.host.files[CONFIG_PATH].content, name="x").values()) for server in cluster.servers] == [
        {"kms/vault", "identity"}
    ] * 3
    finished = begin(cluster.session(), FROM_PLUGIN)
    assert cluster.under("secrets") == {f"k8s:enc:aescbc:v1:{finished.plan.new.name}".encode()}
    assert cluster.objects == objects
    assert cluster.said == []


@pytest.mark.parametrize("state", ["adding", "promoting", "retiring"])
def test_r16_an_agent_that_stands_still_while_a_plugin_comes_stops_it_and_both_ways_are_open(
    cluster: PulledCluster, state: str
) -> None:
    was = configurations(cluster)
    after(cluster, f"journal state {state}", lambda: cluster.still.add("cp2"))
    with pytest.raises(StoppedError, match="host cp2: its agent has not taken up the change"):
        begin(cluster.session(), TO_PLUGIN)
    if state == "promoting":
        cluster.still.clear()
        assert go_on(cluster, TO_PLUGIN).state is State.RETIRED
        return
    cluster.clock.at(30.0, cluster.still.clear)
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert configurations(cluster) == was
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    assert cluster.said == []


def test_r16_a_node_without_the_plugin_gets_its_file_back_by_its_agent(cluster: PulledCluster) -> None:
    was = configurations(cluster)
    cluster.server("cp3").plugins_away = True
    with pytest.raises(StoppedError, match="cp3 has not loaded"):
        begin(cluster.session(), TO_PLUGIN)
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert configurations(cluster) == was
    assert cluster.said == []


def test_r4_after_a_rotation_nothing_of_the_old_key_is_left_among_what_nodes_fetch_and_report(
    cluster: PulledCluster,
) -> None:
    old = decode(cluster.servers[0].host.files[CONFIG_PATH].content, name="x").config
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    cluster.clock.advance(EVERY)
    (key,) = all_static_keys(old)
    assert [one.reason for one in holding(cluster.shared(), key.ref, key, told=())] == []
    held = [fields for path in cluster.values.entries for fields in cluster.values.held(path)]
    assert len(held) == 1 + len(cluster.servers)
