"""The units and manifests under examples/backup: systemd and Kubernetes take them, keyctl takes their commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from keyctl.backup.keep import parse
from tests.support.hints import wrong_commands
from tests.unit.test_audit_in_ci import models, pod_of, unknown_fields
from tests.unit.test_systemd import ROOT, commands, settings, verify

FOLDER = ROOT / "examples" / "backup"
SERVICES = sorted(FOLDER.glob("*.service"))
TIMERS = sorted(FOLDER.glob("*.timer"))
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
SAVE, DRILL = FOLDER / "keyctl-backup.service", FOLDER / "keyctl-restore-test.service"
PAGE = ROOT / "docs" / "backups.md"


def container_of(manifest: Path) -> dict[str, Any]:
    (container,) = pod_of(manifest)["containers"]
    assert isinstance(container, dict)
    return container


def words_of(manifest: Path) -> list[str]:
    container = container_of(manifest)
    return [*container["command"], *container["args"]]


def policies() -> set[str]:
    """Every policy that an example or the page has."""
    texts = [*(one.read_text() for one in (*SERVICES, *MANIFESTS)), PAGE.read_text()]
    return {found for text in texts for found in re.findall(r"--keep[= ]([a-z]+=[0-9][a-z0-9=,]*)", text)}


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    assert [unit.name for unit in (*SERVICES, *TIMERS)] == [
        "keyctl-backup.service",
        "keyctl-restore-test.service",
        "keyctl-backup.timer",
        "keyctl-restore-test.timer",
    ]
    assert verify(tmp_path, {unit.name: unit.read_text() for unit in (*SERVICES, *TIMERS)}) == (0, "")


def test_systemd_would_say_something_against_a_wrong_one(tmp_path: Path) -> None:
    wrong = SAVE.read_text().replace("PrivateTmp=yes", "PrivateTmp=perhaps")
    assert "perhaps" in verify(tmp_path, {SAVE.name: wrong})[1]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_the_command_line_of_a_unit_is_one_that_keyctl_takes_and_its_code_is_not_hidden(unit: Path) -> None:
    (words,) = commands(unit)
    assert Path(words[0]).name == "kube-keyctl"
    assert wrong_commands(" ".join(words)) == []
    service = settings(unit)
    assert service["Service.Type"] == ["oneshot"]
    assert "Service.SuccessExitStatus" not in service
    assert "Service.Restart" not in service


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_a_unit_may_write_where_it_must_and_what_lies_open_is_its_own(unit: Path) -> None:
    service = settings(unit)
    assert service["Service.ProtectSystem"] == ["strict"]
    assert service["Service.PrivateTmp"] == ["yes"]
    assert service["Service.LimitCORE"] == ["0"]
    assert service["Service.NoNewPrivileges"] == ["yes"]
    writable = set(" ".join(service["Service.ReadWritePaths"]).split())
    assert writable <= {"/var/backups/etcd", "/etc/keyctl/keys", "/var/lib/prometheus/node-exporter"}
    (words,) = commands(unit)
    assert "--scratch" not in words, "the temporary directory is private to the unit"
    assert ("/var/backups/etcd" in writable) == (unit == SAVE), "a drill changes no backup"
    (report,) = [word for word in words if word.startswith("openmetrics=")]
    assert str(Path(report.removeprefix("openmetrics=")).parent) in writable


def test_a_backup_is_saved_often_enough_for_the_audit_though_one_fails() -> None:
    (calendar,) = settings(FOLDER / "keyctl-backup.timer")["Timer.OnCalendar"]
    hours = [int(hour) for hour in calendar.split()[1].split(":")[0].split(",")]
    assert max(b - a for a, b in zip(hours, [*hours[1:], hours[0] + 24], strict=True)) * 2 <= 24


def test_the_examples_have_one_policy_and_it_is_one() -> None:
    (policy,) = policies()
    assert str(parse(policy)) == policy


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_has_the_fields_and_types_of_the_api(manifest: Path) -> None:
    document = models(manifest)
    assert (document["apiVersion"], document["kind"]) == ("batch/v1", "CronJob")
    assert list(unknown_fields(document, "V1CronJob")) == []
    assert document["spec"]["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_command_line_of_a_pod_is_one_that_keyctl_takes(manifest: Path, tmp_path: Path) -> None:
    line = shlex.join(words_of(manifest))
    assert "--scratch=/scratch" in line
    assert wrong_commands(line.replace("=/scratch", f"={tmp_path}")) == []


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_pod_has_no_right_that_it_does_not_need(manifest: Path) -> None:
    pod = pod_of(manifest)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_pod_writes_to_its_scratch_and_only_the_one_that_saves_to_the_backups(manifest: Path) -> None:
    pod, container = pod_of(manifest), container_of(manifest)
    writable = {one["name"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert writable == ({"scratch", "backup"} if manifest.stem == "backup-cronjob" else {"scratch"})
    names = [one["name"] for one in pod["volumes"]]
    mounted = [
        one["name"]
        for all_of in ("containers", "initContainers")
        for c in pod.get(all_of, ())
        for one in c["volumeMounts"]
    ]
    assert set(names) == set(mounted)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_what_a_pod_remembers_of_vault_lies_where_it_may_write(manifest: Path) -> None:
    container = container_of(manifest)
    (state,) = [one["value"] for one in container["env"] if one["name"] == "XDG_STATE_HOME"]
    writable = [one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")]
    assert any(Path(state).is_relative_to(place) for place in writable)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_what_a_unit_remembers_of_vault_lies_where_it_may_write(unit: Path) -> None:
    service = settings(unit)
    (state,) = [one for one in service["Service.Environment"] if one.startswith("XDG_STATE_HOME=")]
    own = [f"%S/{name}" for name in service.get("Service.StateDirectory", [])]
    assert any(state.removeprefix("XDG_STATE_HOME=").startswith(place) for place in (*own, "%T/"))


def test_what_the_pod_that_saves_has_open_lies_in_memory() -> None:
    pod = pod_of(FOLDER / "backup-cronjob.yaml")
    (scratch,) = [one for one in pod["volumes"] if one["name"] == "scratch"]
    assert scratch["emptyDir"]["medium"] == "Memory"
    assert "--scratch=/scratch" in words_of(FOLDER / "backup-cronjob.yaml")


def test_the_page_tells_of_every_example() -> None:
    text = PAGE.read_text()
    files = [path.name for path in FOLDER.iterdir() if path.suffix != ".md"]
    assert [name for name in files if f"../examples/backup/{name}" not in text] == []
