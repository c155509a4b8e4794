"""The examples for CI: a GitHub Action, a GitLab component, a hook of pre-commit and two Kubernetes manifests.

Their shell is run as each system runs it, with the keyctl of this checkout, and the exit codes come through.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from kubernetes import client

from keyctl.audit.walk import _SUFFIXES
from keyctl.errors import ExitCode
from tests.unit.audit.given import GOOD_CONFIG

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples" / "ci"
ACTION = CI / "github-action" / "action.yml"
COMPONENT = CI / "gitlab-component" / "templates" / "audit.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
MANIFESTS = sorted((CI / "kubernetes").glob("*.yaml"))
PLAIN = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
EXPIRED = "waivers:\n- {id: KC-ENC-007, owner: ann, reason: a lab, expires: 2020-01-01}\n"
# As a runner of GitHub starts a step with `shell: bash`; one of GitLab takes bash where the image has it, and else sh.
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
SH = ("sh", "-e", "-c")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with something right, something wrong, nothing, and waivers that have expired."""
    root = tmp_path / "repository"
    for folder, text in (("right", GOOD_CONFIG), ("wrong", PLAIN), ("with a space", PLAIN)):
        (root / folder).mkdir(parents=True)
        (root / folder / "enc.yaml").write_text(text)
    (root / "empty").mkdir()
    (root / "waivers.yaml").write_text(EXPIRED)
    return root


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which `kube-keyctl` is the one of this checkout."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "kube-keyctl"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyctl "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


def ran(command: tuple[str, ...], at: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=at, env=dict(environment), capture_output=True, text=True, check=False, timeout=120
    )


VERDICTS = [
    pytest.param("right", "", ExitCode.OK, id="right"),
    pytest.param("wrong", "", ExitCode.FINDINGS, id="wrong"),
    pytest.param("right\nwrong", "", ExitCode.FINDINGS, id="one of two wrong"),
    pytest.param("with a space", "", ExitCode.FINDINGS, id="a name with a space"),
    pytest.param("empty", "", ExitCode.UNEVALUATED, id="nothing"),
    pytest.param("right", "waivers.yaml", ExitCode.WAIVER, id="a waiver that has expired"),
    pytest.param("nowhere", "", ExitCode.UNUSABLE, id="a directory that is not there"),
    pytest.param("$(touch hit)\n--help", "", ExitCode.UNUSABLE, id="names that are no commands"),
]


def action() -> dict[str, Any]:
    found = yaml.safe_load(ACTION.read_text())
    assert isinstance(found, dict)
    return found


def step(name: str) -> dict[str, Any]:
    (found,) = [one for one in action()["runs"]["steps"] if one.get("name") == name]
    assert isinstance(found, dict)
    return found


def test_the_action_has_the_fields_that_actions_have() -> None:
    found = action()
    assert set(found) == {"name", "description", "inputs", "outputs", "runs"}
    assert all(set(one) == {"description", "default"} for one in found["inputs"].values())
    assert all(set(one) == {"description", "value"} for one in found["outputs"].values())
    assert set(found["runs"]) == {"using", "steps"}
    assert found["runs"]["using"] == "composite"
    for one in found["runs"]["steps"]:
        assert ("uses" in one and "run" not in one) or {"run", "shell"} <= set(one)
        assert set(one) <= {"uses", "with", "name", "id", "shell", "run", "env"}
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one.get("uses", "a/b@" + "0" * 40))


def test_no_input_of_the_action_is_a_part_of_a_script_and_each_is_used() -> None:
    found = action()
    assert [one["run"] for one in found["runs"]["steps"] if "${{" in one.get("run", "")] == []
    given = step("Audit")["env"]
    assert set(given.values()) == {f"${{{{ inputs.{name} }}}}" for name in found["inputs"]}
    assert all(f"${name}" in step("Audit")["run"] for name in given)
    told = {name: one["value"] for name, one in found["outputs"].items()}
    assert told == {name: f"${{{{ steps.audit.outputs.{name} }}}}" for name in told}


def test_the_action_installs_the_keyctl_that_it_stands_beside() -> None:
    (where,) = re.findall(r'"\$GITHUB_ACTION_PATH/([./]+)"', step("Install the keyctl of this commit")["run"])
    assert (ACTION.parent / where).resolve() == ROOT


def run_action(repository: Path, environment: Mapping[str, str], **inputs: str) -> tuple[int, dict[str, str]]:
    """The exit code of the step, and its outputs with the summary."""
    out, summary = repository.parent / "output", repository.parent / "summary"
    out.write_text("")
    summary.write_text("")
    values = {name: one["default"] for name, one in action()["inputs"].items()} | inputs
    given = {f"INPUT_{name.upper().replace('-', '_')}": value for name, value in values.items()}
    files = {"GITHUB_OUTPUT": str(out), "GITHUB_STEP_SUMMARY": str(summary)}
    done = ran((*BASH, step("Audit")["run"]), repository, {**environment, **given, **files})
    told = dict(line.split("=", 1) for line in out.read_text().splitlines())
    return done.returncode, told | {"summary": summary.read_text()}


@pytest.mark.parametrize(("paths", "waivers", "code"), VERDICTS)
def test_the_action_ends_with_keyctls_own_code(
    paths: str, waivers: str, code: ExitCode, repository: Path, environment: dict[str, str]
) -> None:
    ended, outputs = run_action(repository, environment, paths=paths, waivers=waivers)
    assert (ended, outputs["exit-code"]) == (code, str(int(code)))
    assert not (repository / "hit").exists()
    if code is ExitCode.UNUSABLE:
        assert "sarif" not in outputs
        return
    sarif = json.loads((repository / outputs["sarif"]).read_text())
    assert sarif["version"] == "2.1.0"
    assert (repository / "keyctl-reports" / "keyctl.xml").exists()
    assert "keyctl" in outputs["summary"]
    report = json.loads((repository / "keyctl-reports" / "keyctl.json").read_text())
    assert report["exitCode"] == code


def test_a_baseline_of_the_action_is_a_report_of_an_earlier_run(repository: Path, environment: dict[str, str]) -> None:
    assert run_action(repository, environment, paths="wrong")[0] == ExitCode.FINDINGS
    (repository / "keyctl-reports" / "keyctl.json").rename(repository / "known.json")
    assert run_action(repository, environment, paths="wrong", baseline="known.json")[0] == ExitCode.OK


def component(**given: str) -> dict[str, Any]:
    """The job of the component, with its inputs put in as GitLab does it."""
    head, body = COMPONENT.read_text().split("\n---\n")
    inputs = yaml.safe_load(head)["spec"]["inputs"]
    values = {name: one["default"] for name, one in inputs.items() if "default" in one} | given
    assert set(values) == set(inputs)

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [put_in(value) for value in node]
        if isinstance(node, str):
            return re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda match: values[match[1]], node)
        return node

    (job,) = put_in(yaml.safe_load(body)).values()
    assert isinstance(job, dict)
    return job


def test_the_component_has_the_fields_that_components_have() -> None:
    head, body = (yaml.safe_load(one) for one in COMPONENT.read_text().split("\n---\n"))
    assert set(head) == {"spec"}
    assert set(head["spec"]) == {"inputs"}
    assert all(set(one) <= {"description", "default", "options"} for one in head["spec"]["inputs"].values())
    # What is not given has no default: nothing is published that it could be.
    assert [name for name, one in head["spec"]["inputs"].items() if "default" not in one] == ["keyctl"]
    (job,) = body.values()
    assert set(job) == {"image", "stage", "variables", "before_script", "script", "artifacts"}
    used = set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", COMPONENT.read_text()))
    assert used == set(head["spec"]["inputs"])
    assert "$[[" not in "".join((*job["script"], *job["before_script"]))
    assert all(f"${name}" in "".join((*job["script"], *job["before_script"])) for name in job["variables"])


@pytest.mark.parametrize(("paths", "waivers", "code"), VERDICTS)
def test_the_component_ends_with_keyctls_own_code(
    paths: str, waivers: str, code: ExitCode, repository: Path, environment: dict[str, str]
) -> None:
    job = component(keyctl="x", paths=paths, waivers=waivers)
    variables = {**environment, **job["variables"]}
    done = ran((*SH, "\n".join(job["script"])), repository, variables)
    assert done.returncode == code, done.stderr
    assert not (repository / "hit").exists()
    if code is not ExitCode.UNUSABLE:
        reports = job["artifacts"]["reports"]
        assert isinstance(json.loads((repository / reports["codequality"]).read_text()), list)
        assert ElementTree.parse(repository / reports["junit"]).getroot().tag == "testsuites"  # noqa: S314 — our own
        assert all(one.startswith(job["artifacts"]["paths"][0]) for one in reports.values())


def test_the_component_runs_in_bash_too(repository: Path, environment: dict[str, str]) -> None:
    job = component(keyctl="x", paths="right\nwrong", waivers="waivers.yaml")
    variables = {**environment, **job["variables"]}
    assert ran((*BASH, "\n".join(job["script"])), repository, variables).returncode == ExitCode.WAIVER


def hooks() -> list[dict[str, Any]]:
    found = yaml.safe_load(HOOKS.read_text())
    assert isinstance(found, list)
    return found


def test_a_hook_has_the_fields_that_hooks_have_and_installs_this_package() -> None:
    fields = {"id", "name", "description", "entry", "args", "language", "pass_filenames", "require_serial", "files"}
    for one in hooks():
        assert set(one) <= fields
        assert {"id", "name", "entry", "language"} <= set(one)
        assert one["language"] == "python"
    assert 'kube-keyctl = "keyctl.cli.main:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("name", "matches"),
    [("prod/enc.yaml", True), ("etcd.service", True), ("pki/ca.crt", True), ("a.yaml.j2", True), ("main.go", False)],
)
def test_the_hook_runs_for_files_that_the_audit_reads(name: str, matches: bool) -> None:
    (hook,) = hooks()
    assert bool(re.search(hook["files"], name)) is matches


def test_the_hook_runs_for_every_ending_that_the_audit_looks_at() -> None:
    (hook,) = hooks()
    assert [one for one in sorted(_SUFFIXES) if not re.search(hook["files"], f"args/file{one}")] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (None, ExitCode.FINDINGS),
        (["right"], ExitCode.OK),
        (["empty"], ExitCode.UNEVALUATED),
        (["right", "--waivers", "waivers.yaml"], ExitCode.WAIVER),
    ],
)
def test_the_hook_ends_with_keyctls_own_code(
    arguments: list[str] | None, code: ExitCode, repository: Path, environment: dict[str, str]
) -> None:
    (hook,) = hooks()
    words = (*shlex.split(hook["entry"]), *(hook["args"] if arguments is None else arguments))
    assert ran(words, repository, environment).returncode == code


def models(manifest: Path) -> dict[str, Any]:
    found = yaml.safe_load(manifest.read_text())
    assert isinstance(found, dict)
    return found


def unknown_fields(value: object, kind: str, at: str = "") -> Iterator[str]:
    """What is in `value` that the API's type `kind` does not have, or has in another type."""
    if inner := re.fullmatch(r"[Ll]ist\[(.*)\]", kind):
        items = value if isinstance(value, list) else []
        yield from () if isinstance(value, list) else (f"{at} is no list",)
        for number, one in enumerate(items):
            yield from unknown_fields(one, inner[1], f"{at}[{number}]")
    elif inner := re.fullmatch(r"[Dd]ict[\[(]str, (.*)[\])]", kind):
        for key, one in value.items() if isinstance(value, dict) else ():
            yield from unknown_fields(one, inner[1], f"{at}.{key}")
    elif hasattr(client, kind):
        model = getattr(client, kind)
        names = {written: name for name, written in model.attribute_map.items()}
        if not isinstance(value, dict):
            yield f"{at} is no {kind}"
            return
        for key, one in value.items():
            if key in names:
                yield from unknown_fields(one, model.openapi_types[names[key]], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    elif kind == "object":
        # What may be a number or a name, as a port.
        yield from () if isinstance(value, int | str) else (f"{at} is neither a number nor a name",)
    elif type(value) is not {"str": str, "int": int, "bool": bool}[kind]:
        yield f"{at} is no {kind}"


def pod_of(manifest: Path) -> dict[str, Any]:
    document = models(manifest)
    job = document["spec"]["jobTemplate"] if document["kind"] == "CronJob" else document
    spec = job["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def test_a_field_that_the_api_does_not_have_is_seen() -> None:
    good = models(MANIFESTS[0])
    assert list(unknown_fields(good, "V1CronJob")) == []
    pod = good["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["readonlyRootFilesystem"] = True
    pod["volumes"] = {"name": "x"}
    assert [one.rpartition(".")[2] for one in unknown_fields(good, "V1CronJob")] == [
        "readonlyRootFilesystem",
        "volumes is no list",
    ]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_has_the_fields_and_types_of_the_api(manifest: Path) -> None:
    document = models(manifest)
    assert (document["apiVersion"], document["kind"]) in {("batch/v1", "CronJob"), ("batch/v1", "Job")}
    assert list(unknown_fields(document, f"V1{document['kind']}")) == []


def test_there_is_a_job_and_a_cron_job_with_one_and_the_same_pod() -> None:
    assert {models(one)["kind"] for one in MANIFESTS} == {"CronJob", "Job"}
    first, second = (pod_of(one) for one in MANIFESTS)
    assert first == second


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_pod_has_no_right_that_it_does_not_need(manifest: Path) -> None:
    pod = pod_of(manifest)
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(one["readOnly"] is True for one in container["volumeMounts"])
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(pod)
    assert [set(one) for one in pod["volumes"]] == [{"name", "configMap"}]
    assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in container["volumeMounts"]}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("folder", "code"), [("right", ExitCode.OK), ("wrong", ExitCode.FINDINGS), ("empty", ExitCode.UNEVALUATED)]
)
def test_the_pod_audits_and_does_nothing_else(
    folder: str, code: ExitCode, manifest: Path, repository: Path, environment: dict[str, str]
) -> None:
    (container,) = pod_of(manifest)["containers"]
    (mount,) = container["volumeMounts"]
    words = [str(repository / folder) if one == mount["mountPath"] else one for one in container["args"]]
    assert words[0] == "audit"
    assert words != container["args"]
    before = sorted(repository.rglob("*"))
    done = ran((*container["command"], *words), Path("/"), environment)
    assert (done.returncode, json.loads(done.stdout)["exitCode"]) == (code, code)
    assert sorted(repository.rglob("*")) == before


def test_files_as_a_config_map_is_mounted_are_each_read_once(tmp_path: Path, environment: dict[str, str]) -> None:
    """The kubelet puts the files into a hidden directory and links to them."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "enc.yaml").write_text(PLAIN)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "enc.yaml").symlink_to("..data/enc.yaml")
    done = ran(("kube-keyctl", "audit", str(tmp_path), "-o", "json"), tmp_path, environment)
    failed = [one for one in json.loads(done.stdout)["findings"] if one["id"] == "KC-ENC-007"]
    assert [one["location"]["file"] for one in failed] == [str(tmp_path / "enc.yaml")]
