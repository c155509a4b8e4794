"""The files under examples: each is taken by what it is for, and those of one example agree with each other.

What has servers, systemd or a CI's own shell behind it is tested where that is: tests/live/test_docs.py,
tests/unit/test_systemd.py, tests/unit/test_agent_unit.py, tests/unit/test_audit_in_ci.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from keyctl.cli.main import cli
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import AgentHostSettings, StaticPodActivation, VaultKeySettings
from tests.support.hints import wrong_commands
from tests.support.pages import ROOT, invocations, unopened_paths, usage_error

EXAMPLES = ROOT / "examples"
FILES = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
DOCUMENTS = [path for path in FILES if path.suffix in {".yaml", ".yml"}]
CLUSTERS = [path for path in DOCUMENTS if re.search(r"^kind: Cluster$", path.read_text(), re.MULTILINE)]
# A command, or a sentence that goes on behind one.
COMMAND = re.compile(rf"\bkeyctl (?:{'|'.join(cli.list_commands(click.Context(cli)))})\b[^\n;()|`\"]*")
SCRIPTS = [path for path in FILES if path.suffix == ".sh"]
FIRST, VAULT, AGENT, GITOPS, SSH = (
    EXAMPLES / name for name in ("first-rotation", "vault", "agent", "gitops", "ha-ssh")
)


def name(path: Path) -> str:
    return path.relative_to(EXAMPLES).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_command_that_a_file_names_is_one_that_keyctl_takes(path: Path) -> None:
    text = re.sub(r"\\\n\s*|\n\s*# ", " ", path.read_text())
    mentioned = COMMAND.findall(re.sub(r'"\$[^"]*"|\$\{?\w+\}?', "X", text))
    with unopened_paths():
        problems = [problem for mention in mentioned for problem in wrong_commands(mention)]
    # A sentence may name a command without what it is given; X stands for a variable.
    left_out = re.compile(r": Missing |: 'X' is not one of ")
    assert [problem for problem in problems if not left_out.search(problem)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_document_is_yaml(path: Path) -> None:
    assert [document for document in yaml.safe_load_all(path.read_text()) if document]


@pytest.mark.parametrize("path", CLUSTERS, ids=name)
def test_every_cluster_file_is_one(path: Path) -> None:
    assert load(path).name


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_shell_takes_every_script_and_it_stops_at_the_first_failure(path: Path) -> None:
    checked = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert os.access(path, os.X_OK)
    assert re.search(r"^set -eu", path.read_text(), re.MULTILINE)


def test_examples_were_found() -> None:
    assert {"vault/set-up.sh"} <= {name(path) for path in SCRIPTS}
    assert {"keyctl.yaml", "vault/keyctl.yaml", "agent/agent.yaml"} <= {name(path) for path in CLUSTERS}


@pytest.mark.parametrize("folder", [path for path in EXAMPLES.iterdir() if path.is_dir()], ids=name)
def test_the_page_of_an_example_names_every_file_of_it(folder: Path) -> None:
    page = folder / "README.md"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != page}
    # Units have a page of the documentation; it names them, and their tests see to that.
    if folder.name != "systemd":
        linked = re.findall(r"\]\(([^)]+)\)", page.read_text())
        assert {path for path in files if path not in linked and path.split("/")[0] not in linked} == set()


def test_kubeadm_is_told_of_the_very_file_that_the_cluster_file_names() -> None:
    (server,) = load(FIRST / "keyctl.yaml").api_servers
    assert isinstance(server.activation, StaticPodActivation)
    kubeadm = yaml.safe_load((FIRST / "cluster-configuration.yaml").read_text())["apiServer"]
    assert kubeadm["extraArgs"] == [{"name": "encryption-provider-config", "value": server.encryption_config}]
    (volume,) = kubeadm["extraVolumes"]
    folder = str(Path(server.encryption_config).parent)
    assert (volume["hostPath"], volume["mountPath"], volume["readOnly"]) == (folder, folder, True)


def test_vault_is_set_up_for_the_login_that_the_cluster_files_use() -> None:
    script = (VAULT / "set-up.sh").read_text()
    said = dict(re.findall(r"^(mount|role|secret_id)=(\S+)", script, re.MULTILINE))
    for path in (VAULT / "keyctl.yaml", AGENT / "keyctl.yaml"):
        keys = load(path).keys
        assert isinstance(keys, VaultKeySettings)
        document = yaml.safe_load(path.read_text())["keys"]
        auth = document["auth"]
        assert (auth["method"], auth["roleId"], auth["secretIdFile"]) == ("approle", said["role"], said["secret_id"])
        assert document.get("mount", "keyctl") == said["mount"]


def test_nodes_and_whoever_rotates_mean_the_same_cluster_and_the_same_files() -> None:
    node = load(AGENT / "agent.yaml")
    for path in (AGENT / "keyctl.yaml", GITOPS / "keyctl.yaml"):
        cluster = load(path)
        assert cluster.name == node.name
        assert {type(server.host) for server in cluster.api_servers} == {AgentHostSettings}
        files = {(server.name, server.encryption_config, server.manifest) for server in cluster.api_servers}
        assert {(server.name, server.encryption_config, server.manifest) for server in node.api_servers} <= files


def jobs() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((GITOPS / "gitlab.yml").read_text())
    return {job: fields for job, fields in document.items() if "script" in fields}


@pytest.mark.parametrize("job", jobs())
def test_a_job_of_the_pipeline_calls_keyctl_as_it_wants_to_be_called(job: str) -> None:
    calls = [call for line in jobs()[job]["script"] for call in invocations(line)]
    assert calls
    assert [error for call in calls if (error := usage_error(call))] == []


def test_only_a_job_that_a_person_starts_changes_anything() -> None:
    for job, fields in jobs().items():
        calls = [call for line in fields["script"] for call in invocations(line) if call[0] == "rotate"]
        by_hand = all(rule.get("when") == "manual" for rule in fields.get("rules", [{}]))
        changes = [call for call in calls if not any(word.startswith("--dry-run") for word in call)]
        assert by_hand or not changes, job
        assert not changes or fields["resource_group"], job


def test_the_ssh_configuration_reaches_the_hosts_of_the_cluster_file() -> None:
    text = (SSH / "ssh.config").read_text()
    names = dict(re.findall(r"^Host (\S+)\n  HostName (\S+)$", text, re.MULTILINE))
    listed = yaml.safe_load((EXAMPLES / "keyctl-ssh.yaml").read_text())["apiServers"]
    assert names == {server["name"]: server["host"]["address"] for server in listed}
    (user,) = re.findall(r"^  User (\S+)$", text, re.MULTILINE)
    assert {server["host"]["user"] for server in listed} == {user}
    assert re.search(rf"^{user} ALL=\(root\) NOPASSWD: ", (SSH / "keyctl.sudoers").read_text(), re.MULTILINE)
