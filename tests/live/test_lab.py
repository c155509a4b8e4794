"""The lab itself, with real servers: what it starts is a control plane, and nothing of it stays."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest
import yaml

from keyctl.cli.commands.lab import lab as lab_command
from keyctl.cluster_file import read as cluster_file
from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.lab import plane, processes
from keyctl.lab.bring_up import Origin
from keyctl.lab.bring_up import bring_up as bring_up_for_real
from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.layout import Layout
from keyctl.lab.network import get
from keyctl.lab.plane import Lab
from keyctl.lab.processes import ProcessId
from keyctl.lab.readiness import PortTakenError
from keyctl.lab.topology import EtcdAccess, Server, Settings, Topology
from tests.support.binaries import binary, servers
from tests.support.plane import ControlPlanes

pytestmark = pytest.mark.live

OWNER = """
import sys, time
from pathlib import Path
from keyctl.lab.plane import running_lab
from keyctl.lab.topology import Settings
programs = {path.name: path for path in map(Path, sys.argv[2:])}
with running_lab(Settings(name="owned", apiservers=1), directory=Path(sys.argv[1]), programs=programs, progress=print):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of labs of its own, so that labs of the user and of other tests are not touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(own_state: Path) -> Iterator[Callable[..., click.testing.Result]]:
    """Run `keyctl lab …`; whatever is up in the end is taken down."""
    runner = click.testing.CliRunner()

    def invoke(*arguments: str) -> click.testing.Result:
        return runner.invoke(lab_command, arguments)

    yield invoke
    for entry in (own_state / "keyctl" / "labs").glob("*"):
        invoke("down", "--name", entry.name)


def body(lab: Lab, server: Server, path: str) -> str:
    answer = get(f"{server.url}{path}", admin_credentials(lab.layout).context())
    assert answer.status == 200, answer
    return answer.text


def endpoints(lab: Lab, server: Server) -> set[str]:
    (subset,) = json.loads(body(lab, server, "/api/v1/namespaces/default/endpoints/kubernetes"))["subsets"]
    return {address["ip"] for address in subset["addresses"]}


def identity_leases(lab: Lab, server: Server) -> set[str]:
    text = body(lab, server, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")
    names = {lease["metadata"]["name"] for lease in json.loads(text)["items"]}
    return {name for name in names if name.startswith("apiserver-")}


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def processes_below(directory: Path) -> list[int]:
    """Every process whose command line names `directory`, however it came to be."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(directory).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def etcd_keys(lab: Lab, prefix: str) -> list[str]:
    etcd = lab.etcd
    flags = [f"--endpoints={etcd.endpoints[0]}", f"--cacert={etcd.cacert}", f"--cert={etcd.cert}", f"--key={etcd.key}"]
    command = [str(binary("etcdctl")), *flags, "get", prefix, "--prefix", "--keys-only"]
    answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)
    return answer.stdout.split()


def test_up_starts_ready_servers_env_finds_them_and_down_leaves_nothing(
    run: Callable[..., click.testing.Result], own_state: Path
) -> None:
    up = run("up", "--etcd", "3")
    assert up.exit_code == 0, up.output
    started = plane.find("lab")
    root = started.layout.root

    status = run("status")
    assert status.exit_code == 0
    assert len(re.findall(r"^(?:etcd|cp)[123] .* yes ", status.stdout, re.MULTILINE)) == 6

    script = run("env").stdout + 'etcdctl endpoint health && cat "$KEYCTL_CLUSTER" && which kube-apiserver'
    answer = subprocess.run(["/bin/sh", "-ec", script], capture_output=True, check=True, text=True, timeout=30)
    assert str(root / "bin" / "kube-apiserver") in answer.stdout

    names = [path.name for path in (root / "run").iterdir()]
    ids = [process for name in names if (process := ProcessId.read(root / "run" / name))]
    assert len(ids) == 6
    assert run("down").exit_code == 0
    assert not any(process.alive() for process in ids)
    assert processes_below(root) == []
    assert [path for path in own_state.rglob("*") if not path.is_dir()] == []
    assert run("down").exit_code != 0


def test_every_server_is_itself_with_its_own_identity(control_plane: ControlPlanes) -> None:
    lab = control_plane(3)
    servers = lab.topology.servers
    assert endpoints(lab, servers[2]) == {"10.99.0.1", "10.99.0.2", "10.99.0.3"}
    assert len({ssl.get_server_certificate((item.address, item.port), timeout=5) for item in servers}) == 3
    expected = 3 if processes.own_hostname_command() else 1
    assert eventually(lambda: len(identity_leases(lab, servers[0])) == expected)


def test_the_cluster_file_is_one_that_keyctl_reads(control_plane: ControlPlanes) -> None:
    lab = control_plane(2, reload=True)
    settings = cluster_file.load(lab.cluster_file)
    assert [server.name for server in settings.api_servers] == ["cp1", "cp2"]
    assert lab.layout.cluster_file.stat().st_mode & 0o777 == 0o600


def test_planes_share_an_etcd_under_prefixes_of_their_own(control_plane: ControlPlanes) -> None:
    first, second = control_plane(1), control_plane(1)
    for lab in (first, second):
        assert f"{lab.topology.settings.prefix}/namespaces/kube-system" in etcd_keys(lab, lab.topology.settings.prefix)
    assert first.topology.settings.prefix != second.topology.settings.prefix
    assert {row.ready for lab in (first, second) for row in plane.status(lab)} == {True}


def test_without_reload_a_server_has_no_encryption_flag_and_no_file(control_plane: ControlPlanes) -> None:
    lab = control_plane(1)
    files = lab.layout.server("cp1")
    assert "--encryption-provider-config" not in files.manifest.read_text()
    assert not files.encryption_config.exists()


def test_with_reload_a_server_runs_with_its_own_private_file(control_plane: ControlPlanes) -> None:
    lab = control_plane(1, reload=True)
    file = lab.layout.server("cp1").encryption_config
    assert file.stat().st_mode & 0o777 == 0o600
    metrics = body(lab, lab.topology.servers[0], "/metrics")
    assert "apiserver_encryption_config_controller_last_config_info{" in metrics


def test_an_edited_manifest_and_a_restart_change_the_flags(control_plane: ControlPlanes) -> None:
    lab = control_plane(1)
    manifest = lab.layout.server("cp1").manifest
    before = lab.process("cp1")
    edited = manifest.read_text().replace("--request-timeout=10s", "--request-timeout=11s")
    manifest.write_text(edited)
    after = lab.restart("cp1")
    assert before is not None
    assert before.pid != after.pid
    assert not before.alive()
    assert b"--request-timeout=11s" in Path(f"/proc/{after.pid}/cmdline").read_bytes().split(b"\0")


def test_a_server_whose_manifest_mounts_no_config_does_not_start(control_plane: ControlPlanes) -> None:
    lab = control_plane(1)
    files = lab.layout.server("cp1")
    files.encryption_config.parent.mkdir()
    files.encryption_config.write_text("")
    document = yaml.safe_load(files.manifest.read_text())
    document["spec"]["containers"][0]["command"].append(f"--encryption-provider-config={files.encryption_config}")
    files.manifest.write_text(yaml.safe_dump(document))
    with pytest.raises(UnusableInputError, match=r"would not see .*enc\.yaml"):
        lab.restart("cp1")


def test_a_server_that_refuses_its_keys_fails_without_showing_them(control_plane: ControlPlanes) -> None:
    lab = control_plane(1, reload=True)
    key = "MDEyMzQ1Njc4OTAxMjM0NQ=="
    providers = f"- aescbc: {{keys: [{{name: a, secret: {key}}}]}}\n    aesgcm: {{keys: [{{name: b, secret: {key}}}]}}"
    file = lab.layout.server("cp1").encryption_config
    file.write_text(file.read_text().replace("- identity: {}", providers))
    with pytest.raises(UnreachableError, match="cp1 ended") as caught:
        lab.restart("cp1")
    assert key in lab.layout.server("cp1").log.read_text()  # the server itself prints it: what is guarded against
    assert key not in f"{caught.value} {caught.value.cause} {caught.value.hints}"
    assert str(lab.layout.server("cp1").log) in caught.value.hints[0]


def test_a_stopped_server_is_seen_as_such_and_started_again_by_restart(control_plane: ControlPlanes) -> None:
    lab = control_plane(1)
    lab.stop("cp1")
    assert [row.ready for row in plane.status(lab)] == [False]
    lab.restart("cp1")
    assert [row.ready for row in plane.status(lab)] == [True]


def test_a_lab_whose_owner_was_killed_is_cleaned_by_the_next(own_state: Path, tmp_path: Path) -> None:
    root = tmp_path / "owned"
    command = [sys.executable, "-c", OWNER, str(root), *map(str, servers().values())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as owner:
        try:
            assert owner.stdout is not None
            assert any(line == "up\n" for line in owner.stdout)
        finally:
            owner.send_signal(signal.SIGKILL)
    assert len(processes_below(root)) == 2
    settings = Settings(name="next", apiservers=0)
    said: list[str] = []
    with plane.running_lab(settings, programs=servers(), progress=said.append):
        assert processes_below(root) == []
        assert not root.exists()
    assert any(line.startswith("cleaned lab owned") for line in said)


def test_two_labs_run_at_once_and_one_going_down_does_not_touch_the_other(own_state: Path) -> None:
    first, second = (Settings(name=name, apiservers=1) for name in ("first", "second"))
    with plane.running_lab(first, programs=servers(), progress=print) as staying:
        with plane.running_lab(second, programs=servers(), progress=print) as going:
            assert {row.ready for lab in (staying, going) for row in plane.status(lab)} == {True}
        assert {row.ready for row in plane.status(staying)} == {True}


def test_etcd_refuses_a_client_without_a_certificate(etcd_server: EtcdAccess) -> None:
    context = ssl.create_default_context(cafile=etcd_server.cacert)
    assert get(f"{etcd_server.endpoints[0]}/readyz", context).status == 0


def test_a_port_taken_in_between_is_retried(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([True])
    original = bring_up_for_real

    def bring_up(
        settings: Settings,
        layout: Layout,
        programs: dict[str, Path],
        progress: plane.Progress,
        origin: Origin | None = None,
    ) -> Topology:
        if next(taken, False):
            raise PortTakenError("etcd1 ended", hint="none")
        return original(settings, layout, programs, progress, origin)

    monkeypatch.setattr(plane, "bring_up", bring_up)
    said: list[str] = []
    with plane.running_lab(Settings(apiservers=0), programs=servers(), progress=said.append) as lab:
        assert [row.ready for row in plane.status(lab)] == [True]
    assert "somebody took a port meanwhile; trying others" in said


def test_a_failed_start_leaves_no_process_and_no_file(own_state: Path, tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho unknown flag\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UnreachableError, match="cp1 ended") as caught:
        plane.up(
            Settings(apiservers=1), directory=None, programs={**servers(), "kube-apiserver": broken}, progress=print
        )
    assert "unknown flag" in (caught.value.cause or "")
    assert [path for path in own_state.rglob("*") if not path.is_dir()] == []
    assert processes_below(own_state) == []
    assert list((own_state / "keyctl" / "labs").iterdir()) == []
