"""A real kube-apiserver takes the Job and the CronJob that run an audit, field by field."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support.binaries import binary
from tests.support.plane import control_planes

pytestmark = pytest.mark.live

MANIFESTS = sorted((Path(__file__).parents[2] / "examples" / "ci" / "kubernetes").glob("*.yaml"))


@pytest.fixture(scope="module")
def lab(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with control_planes(etcd_server, tmp_path_factory.mktemp("manifests")) as start:
        yield start(1)


def created(lab: Lab, manifest: str) -> subprocess.CompletedProcess[str]:
    """What the server says to the manifest, of which nothing is kept."""
    words = ["create", "--dry-run=server", "--validate=strict", "--filename=-"]
    command = [str(binary("kubectl")), "--kubeconfig", str(lab.layout.kubeconfig), *words]
    return subprocess.run(command, input=manifest, capture_output=True, text=True, check=False, timeout=60)


def test_the_server_takes_the_examples(lab: Lab) -> None:
    assert len(MANIFESTS) == 2
    for manifest in MANIFESTS:
        done = created(lab, manifest.read_text())
        assert (done.returncode, "created (server dry run)" in done.stdout) == (0, True), done.stderr


def test_the_server_refuses_a_field_that_it_does_not_know(lab: Lab) -> None:
    done = created(lab, MANIFESTS[0].read_text().replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    assert done.returncode != 0
    assert "readonlyRootFilesystem" in done.stderr
