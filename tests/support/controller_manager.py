"""A real kube-controller-manager on a lab, with nothing but what migrates stored values."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from keyctl.lab.plane import Lab
from tests.support.binaries import binary
from tests.support.etcd_process import free_port
from tests.support.real_kube import ask

_SECONDS = 60.0
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
MIGRATOR = "storage-version-migrator-controller"


@contextlib.contextmanager
def controller_manager(lab: Lab, folder: Path, *controllers: str) -> Iterator[None]:
    """It runs and leads while this lasts. `controllers`: the migrator and what it leans on, unless told otherwise."""
    wanted = controllers or (MIGRATOR, "garbage-collector-controller")
    kubeconfig, log = str(lab.layout.kubeconfig.resolve()), folder / "kube-controller-manager.log"
    command = (
        str(binary("kube-controller-manager")),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--controllers={','.join(wanted)}",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        f"--cert-dir={folder}",
        # It would give up, and end, when its only API server is restarted.
        "--leader-elect-lease-duration=60s",
        "--leader-elect-renew-deadline=50s",
        "--leader-elect-retry-period=1s",
    )
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_until_it_leads(lab, process, log)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
            ask(lab, "DELETE", _LEASE)


def _wait_until_it_leads(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while ask(lab, "GET", _LEASE)[0] != 200:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
