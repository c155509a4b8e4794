"""Hosts that pull their files, without any server: the host of a rotation, an agent, and what both share in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from keyctl.encryption_config.openers import openers
from keyctl.errors import KeyctlError
from keyctl.hosts.agent import AgentHost, Openers
from keyctl.hosts.local import LocalHost
from keyctl.hosts.node_agent import NodeAgent
from keyctl.keys.distribution import Report
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.rendition import digest
from keyctl.keys.vault.settings import VaultPlace
from tests.support.memory_values import MemoryValues

PLACE = VaultPlace("keyctl", "clusters/prod")
SERVERS = ("cp1", "cp2")
NOW = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)


def nothing_opens(content: bytes, *, name: str) -> Mapping[str, str]:
    """For tests whose files are no configurations."""
    return {}


class Pulled:
    """One node: its file and manifest below `folder`, its agent, and the host that a rotation sees.

    The agent takes a turn before each look at its report, while it is `running`; `errors` is what it said. `now` is by
    the node's clock, `today` by the one of the rotation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        values: MemoryValues | None = None,
        server: str = "cp1",
        cluster: str = "prod",
        opens: Openers = openers,
        wait: float = 30.0,
    ) -> None:
        self.values = values or MemoryValues()
        self.file = folder / "enc" / "enc.yaml"
        self.manifest = folder / "kube-apiserver.yaml"
        self.path = str(self.file)
        self.cluster, self.server, self.opens = cluster, server, opens
        self.running = True
        self.errors: list[KeyctlError] = []
        self.before_turn: Callable[[], None] = lambda: None
        self.clock = 0.0
        self.now = self.today = NOW
        self.agent = self.new_agent()
        self.host = AgentHost(
            server,
            _Watched(self),
            config_path=self.path,
            wait=wait,
            openers=opens,
            now=lambda: self.today,
            monotonic=lambda: self.clock,
            sleep=self._sleep,
        )

    @property
    def memory(self) -> Path:
        """What the agent remembers of renditions."""
        return self.file.with_name(".enc.yaml.keyctl-agent")

    def new_agent(self, *, allow_rollback: bool = False) -> NodeAgent:
        """The agent, started anew."""
        return NodeAgent(
            self.server,
            self.distribution(),
            LocalHost(self.server, restart_command=None, restart_wait=0.0),
            cluster=self.cluster,
            config_path=self.path,
            manifest_path=str(self.manifest),
            openers=self.opens,
            digest_of=lambda rendition: digest(rendition, cluster=self.cluster),
            now=lambda: self.now,
            allow_rollback=allow_rollback,
        )

    def distribution(self) -> VaultDistribution:
        """What both share."""
        return VaultDistribution(self.values, PLACE, cluster=self.cluster, servers=SERVERS)

    def place(self, content: bytes, mode: int = 0o600) -> None:
        """Put a file there as anybody else would."""
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(content)
        self.file.chmod(mode)

    def turn(self) -> None:
        """One look of the agent, as its loop does it."""
        try:
            self.agent.turn()
        except KeyctlError as error:
            self.errors.append(error)

    def _sleep(self, seconds: float) -> None:
        self.clock += seconds


class _Watched(VaultDistribution):
    """What a rotation works with: the agent of `node` takes a turn before each look at its report."""

    def __init__(self, node: Pulled) -> None:
        super().__init__(node.values, PLACE, cluster=node.cluster, servers=SERVERS)
        self._node = node

    def reported(self, server: str) -> Report | None:
        self._node.before_turn()
        if self._node.running:
            self._node.turn()
        return super().reported(server)
