"""The unit under examples/agent: systemd takes it, keyctl takes its command, and the page tells of it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from keyctl.cluster_file.read import parse
from keyctl.cluster_file.settings import AgentHostSettings, VaultKeySettings
from tests.support.hints import wrong_commands
from tests.unit.test_systemd import ROOT, commands, settings, verify

UNIT = ROOT / "examples" / "agent" / "keyctl-agent.service"
PAGE = ROOT / "docs" / "pull-agents.md"


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    assert verify(tmp_path, {UNIT.name: UNIT.read_text()}) == (0, "")


def test_systemd_would_say_something_against_a_wrong_one(tmp_path: Path) -> None:
    wrong = UNIT.read_text().replace("Restart=always", "Restart=forever")
    assert "forever" in verify(tmp_path, {UNIT.name: wrong})[1]


def test_its_command_line_is_one_that_keyctl_takes() -> None:
    ((program, *words),) = commands(UNIT)
    assert Path(program).name == "kube-keyctl"
    assert wrong_commands(" ".join(["keyctl", *words])) == []
    assert words[0] == "agent"
    assert "--once" not in words
    assert "--allow-rollback" not in words


def test_it_is_never_given_up_and_may_write_into_one_folder() -> None:
    unit = settings(UNIT)
    assert (unit["Service.Restart"], unit["Unit.StartLimitIntervalSec"]) == (["always"], ["0"])
    assert unit["Service.ProtectSystem"] == ["strict"]
    assert unit["Service.ReadWritePaths"] == ["/etc/kubernetes/enc"]
    assert unit["Service.LimitCORE"] == ["0"]


def test_the_page_tells_of_the_unit_and_of_every_command_it_names_the_right_flags() -> None:
    text = PAGE.read_text()
    assert f"../examples/agent/{UNIT.name}" in text
    named = re.findall(r"(?:`|^ *\$ )((?:kube-)?keyctl [^`\n]+)", text, re.MULTILINE)
    assert len(named) >= 8
    assert [problem for command in named for problem in wrong_commands(command)] == []


def test_the_cluster_file_of_a_node_on_the_page_is_one() -> None:
    (written,) = re.findall(r"\n((?:       .*\n)+)\n   `name`", PAGE.read_text())
    found = parse(
        written.replace("\n       ", "\n").lstrip().encode(), name="agent.yaml", directory=Path("/etc/keyctl")
    )
    assert isinstance(found.keys, VaultKeySettings)
    assert [server.name for server in found.api_servers] == ["cp1"]
    folder = settings(UNIT)["Service.ReadWritePaths"][0]
    assert Path(found.api_servers[0].encryption_config).parent == Path(folder)


def test_the_host_on_the_page_is_one_of_an_agent() -> None:
    (host, activation) = re.findall(r"\n       (host: .*)\n       (activation: .*)\n", PAGE.read_text())[0]
    server = {"name": "cp1", "url": "https://10.0.0.1:6443", "encryptionConfig": "/enc.yaml"}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "x", "etcd": {}, "keys": {"store": "vault"}}
    server |= yaml.safe_load(f"{host}\n{activation}\n")
    text = yaml.safe_dump({**document, "apiServers": [server]})
    (found,) = parse(text.encode(), name="x", directory=Path("/x")).api_servers
    assert isinstance(found.host, AgentHostSettings)
