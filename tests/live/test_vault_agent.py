"""An agent as a process of its own, and a real OpenBao: sealed, unsealed, with a token that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from keyctl.cli.main import run
from keyctl.keys.distribution import Wanted
from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace
from tests.support import bao_store
from tests.support.hints import wrong_hints
from tests.support.openbao import RunningBao
from tests.support.running_agents import RunningAgent
from tests.unit.encryption_config.configs import b64
from tests.unit.hosts.test_agent import BOTH, NEW, OLD, hash_of

pytestmark = pytest.mark.live

_PLACE = "clusters/prod"


class Node:
    """One node with its file, its cluster file and a token of its own; and whoever publishes, as root."""

    def __init__(self, bao: RunningBao, mount: str, folder: Path) -> None:
        self.bao, self.mount, self.folder = bao, mount, folder
        self.file, self.token_file, self.cluster = folder / "enc.yaml", folder / "token", folder / "keyctl.yaml"
        self.file.write_bytes(OLD)
        self.file.chmod(0o600)
        self.name = bao.policy(f"node-{mount}", policy(Role.NODE_READER, VaultPlace(mount, _PLACE)))
        self.give_token()
        auth = {"method": "token", "tokenFile": str(self.token_file)}
        keys = {"store": "vault", "address": bao.address, "mount": mount, "cacert": str(bao.cacert), "auth": auth}
        server = {"name": "cp1", "url": "https://10.0.0.1:6443", "encryptionConfig": str(self.file)}
        document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "prod", "etcd": {}, "keys": keys}
        self.cluster.write_text(yaml.safe_dump({**document, "apiServers": [server]}))
        self.agent = RunningAgent(folder, self.cluster, "cp1", variables={})

    def give_token(self, ttl: str = "1h") -> None:
        self.token_file.write_text(self.bao.token(self.name, ttl=ttl, no_default_policy=True))

    def shared(self) -> VaultDistribution:
        values, place = bao_store.client(self.bao, self.mount), VaultPlace(self.mount, _PLACE)
        return VaultDistribution(values, place, cluster="prod", servers=("cp1",))

    def want(self, content: bytes, *, replaces: bytes) -> None:
        self.shared().want("cp1", Wanted(content.decode(), hash_of(replaces)))

    def nothing_leaked(self) -> None:
        assert [key for fill in (1, 2) if (key := b64(fill)) in self.agent.said] == []
        assert self.token_file.read_text() not in self.agent.said
        assert wrong_hints([self.agent.said]) == []


@pytest.fixture
def node(bao: RunningBao, mount: str, tmp_path: Path) -> Iterator[Node]:
    made = Node(bao, mount, tmp_path)
    try:
        yield made
    finally:
        made.agent.kill()


def test_it_follows_keeps_its_file_while_the_vault_is_sealed_and_ends_well(node: Node) -> None:
    node.agent.start().wait_for("nothing is wanted of it yet")
    node.want(BOTH, replaces=OLD)
    node.agent.wait_for("cp1 has the new file (rendition 1)")
    assert node.file.read_bytes() == BOTH
    node.bao.seal()
    try:
        node.agent.wait_for("is sealed")
        time.sleep(4)
        assert node.agent.said.count("is sealed") == 1
        assert node.file.read_bytes() == BOTH
        before = node.agent.said.count("the file that is wanted")
    finally:
        node.bao.unseal()
    node.agent.wait_for("cp1 has the file that is wanted (rendition 1)", times=before + 1)
    report = node.shared().reported("cp1")
    assert report is not None
    assert (report.seq, report.refused, report.files[0].content) == (1, "", BOTH)
    assert node.agent.end() == 0
    node.nothing_leaked()


def test_what_was_wanted_while_it_was_away_it_does_when_it_starts(node: Node) -> None:
    node.want(BOTH, replaces=OLD)
    node.agent.start().wait_for("cp1 has the new file (rendition 1)")
    node.agent.kill()
    node.want(NEW, replaces=BOTH)
    node.agent.start().wait_for("lacks aescbc/key1")
    assert node.file.read_bytes() == BOTH
    node.nothing_leaked()


def test_a_token_that_has_ended_is_said_once_and_another_one_is_taken_up(node: Node) -> None:
    node.agent.start().wait_for("nothing is wanted of it yet")
    node.bao.ask("POST", "auth/token/revoke", {"token": node.token_file.read_text()})
    node.agent.wait_for("does not accept the token")
    node.want(BOTH, replaces=OLD)
    time.sleep(3)
    assert node.agent.said.count("does not accept the token") == 1
    node.give_token()
    node.agent.wait_for("cp1 has the new file")
    node.nothing_leaked()


def test_a_short_token_is_renewed_for_as_long_as_it_runs(node: Node) -> None:
    node.give_token(ttl="6s")
    node.agent.start().wait_for("nothing is wanted of it yet")
    time.sleep(10)
    node.want(BOTH, replaces=OLD)
    node.agent.wait_for("cp1 has the new file")
    assert "error:" not in node.agent.said


@pytest.mark.parametrize("change", ["token of nobody", "policy without reports", "sealed"])
def test_one_look_without_a_vault_has_exit_code_4(
    node: Node, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "BAO_ADDR", "BAO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if change == "token of nobody":
        node.token_file.write_text("s.nobody")
    if change == "policy without reports":
        rules = f'path "{node.mount}/data/{_PLACE}/current" {{ capabilities = ["read"] }}'
        name = node.bao.policy(f"reads-{node.mount}", rules)
        node.token_file.write_text(node.bao.token(name))
    if change == "sealed":
        node.bao.seal()
    try:
        assert run(["agent", "--cluster", str(node.cluster), "--server", "cp1", "--once"]) == 4
    finally:
        if change == "sealed":
            node.bao.unseal()
    said = capfd.readouterr()
    assert said.out == ""
    assert wrong_hints([said.err]) == []
