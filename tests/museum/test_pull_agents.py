"""A rotation whose files agents fetch: real servers, a real OpenBao sealed half-way, an agent held and one killed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.keys.vault.distribution import VaultDistribution
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace
from keyctl.lab.plane import Lab
from tests.support import bao_store
from tests.support.cluster_copy import ClusterFile, cluster_copy
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.openbao import RunningBao
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of
from tests.support.running_agents import RunningAgent
from tests.support.seeded import Answered, Seeded, seed

pytestmark = pytest.mark.live

_PATIENCE = 900.0
_WAIT = "45s"


class Story:
    """A cluster whose nodes fetch their files; keyctl runs with a rotator's token, each agent with a node's."""

    def __init__(self, lab: Lab, bao: RunningBao, mount: str, folder: Path) -> None:
        self.lab, self.bao, self.folder = lab, bao, folder
        self.name = lab.topology.settings.name
        self.place = VaultPlace(mount, f"clusters/{self.name}")
        self.mount = mount
        self.seeded: Seeded = seed(lab, folder / "state", 24)
        self.said: list[str] = []
        enabled = self.seeded.keyctl("enable", "--yes")
        assert enabled.code == 0, enabled.stderr
        self.cluster = cluster_copy(lab, folder / "keyctl.yaml", self._pulling)
        rotator, node = (self._token(role) for role in (Role.ROTATOR, Role.NODE_READER))
        self._environment = self.seeded.environment | {"KEYCTL_CLUSTER": str(self.cluster), "VAULT_TOKEN": rotator}
        self.agents = {
            server.name: RunningAgent(folder, self.cluster, server.name, variables={"VAULT_TOKEN": node})
            for server in lab.topology.servers
        }

    def _pulling(self, document: ClusterFile) -> None:
        document["keys"] = {
            "store": "vault", "address": self.bao.address, "mount": self.mount, "cacert": str(self.bao.cacert),
        }  # fmt: skip
        for server in document["apiServers"]:
            server["host"] = {"type": "agent", "wait": _WAIT}

    def _token(self, role: Role) -> str:
        name = self.bao.policy(f"{role}-{self.mount}", policy(role, self.place))
        return self.bao.token(name, no_default_policy=True)

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """keyctl in the background."""
        number = len(self.said)
        with (self.folder / f"out-{number}").open("wb") as out, (self.folder / f"err-{number}").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "keyctl", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def end(self, process: subprocess.Popen[bytes]) -> Answered:
        """What it says, once it has ended."""
        number = len(self.said)
        try:
            code = process.wait(_PATIENCE)
        finally:
            process.kill()
        out, err = ((self.folder / f"{name}-{number}").read_text() for name in ("out", "err"))
        self.said.append(out + err)
        return Answered(code, out, err)

    def keyctl(self, *arguments: str, code: int) -> Answered:
        answered = self.end(self.begin(*arguments))
        assert answered.code == code, (arguments, answered)
        return answered

    def wait_for_state(self, state: str, process: subprocess.Popen[bytes]) -> None:
        """Return once the journal has it."""
        journal = self.folder / "state" / "keyctl" / self.name / "journal.jsonl"
        known = journal.read_text().count("\n") if journal.exists() else 0
        deadline = time.monotonic() + _PATIENCE
        while True:
            records = [json.loads(line) for line in journal.read_text().splitlines()[known:]]
            if any(record["kind"] == "state" and record["state"] == state for record in records):
                return
            assert process.poll() is None, f"it ended without the state {state}"
            assert time.monotonic() < deadline, state
            time.sleep(0.05)

    def files(self) -> list[Path]:
        return [self.lab.layout.server(server.name).encryption_config for server in self.lab.topology.servers]


@pytest.fixture
def story(control_plane: ControlPlanes, bao: RunningBao, mount: str, tmp_path: Path) -> Iterator[Story]:
    folder = tmp_path / "user"
    folder.mkdir()
    made = Story(control_plane(3, reload=True), bao, mount, folder)
    try:
        yield made
    finally:
        for agent in made.agents.values():
            agent.kill()


def test_agents_that_stand_still_or_die_and_a_sealed_vault_stop_a_rotation_and_it_ends_well(story: Story) -> None:
    keys = key_texts(story.files())
    (before,) = heads_of(story.lab, "secrets")
    for agent in story.agents.values():
        agent.start().wait_for("nothing is wanted of it yet")

    # One stands still.
    story.agents["cp2"].hold()
    stopped = story.keyctl("rotate", "--yes", code=6)
    assert "host cp2: its agent has not taken up the change" in stopped.stderr
    assert "keyctl rotate" in stopped.stderr
    assert "--resume" in stopped.stderr
    assert len({file.read_bytes() for file in story.files()}) == 2
    story.agents["cp2"].go_on()

    # The Vault is sealed in the middle, and an agent dies meanwhile.
    running = story.begin("rotate", "--resume")
    story.wait_for_state("promoting", running)
    story.bao.seal()
    try:
        sealed = story.end(running)
        story.agents["cp3"].kill()
        keys |= key_texts(story.files())
        during = [file.read_bytes() for file in story.files()]
        story.agents["cp1"].wait_for("is sealed")
        assert [file.read_bytes() for file in story.files()] == during
        assert story.seeded.changed() == {}
    finally:
        story.bao.unseal()
    assert sealed.code == 6, sealed
    assert "sealed" in sealed.stderr
    story.agents["cp3"].start()

    story.keyctl("rotate", "--resume", code=0)
    keys |= key_texts(story.files())
    assert len({file.read_bytes() for file in story.files()}) == 1
    (after,) = heads_of(story.lab, "secrets")
    assert after.startswith(b"k8s:enc:aescbc:v1:key-")
    assert after != before
    assert story.seeded.changed() == {}
    story.keyctl("verify-secrets", code=0)

    shared = VaultDistribution(
        bao_store.client(story.bao, story.mount), story.place, cluster=story.name, servers=tuple(story.agents)
    )
    for server, file in zip(story.lab.topology.servers, story.files(), strict=True):
        report = shared.reported(server.name)
        assert report is not None
        assert (report.files[0].content, report.refused) == (file.read_bytes(), "")
        assert {entry.name for entry in file.parent.iterdir()} >= {"enc.yaml", ".enc.yaml.keyctl-agent"}
        assert not [entry for entry in file.parent.iterdir() if entry.name.startswith(".keyctl-")]
    assert [agent.end() for agent in story.agents.values()] == [0, 0, 0]
    said = [*story.said, *(agent.said for agent in story.agents.values())]
    memories = [file.with_name(".enc.yaml.keyctl-agent") for file in story.files()]
    assert leaks(keys, said, memories) == []
    assert wrong_hints(said) == []
    assert stat.S_IMODE(memories[0].stat().st_mode) == 0o600
