"""keyctl as a plugin of the real kubectl: found, run, named in its own help, and completed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from keyctl.errors import ExitCode
from tests.support.binaries import binary

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
NAMES = ("kubectl-keyctl", "kubectl_complete-keyctl")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the two programs, as the scripts that pyproject.toml names."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name in NAMES:
        module, _, function = scripts[name].partition(":")
        program = tmp_path / name
        program.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        program.chmod(0o755)
    return tmp_path


def kubectl(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(installed), os.environ["PATH"]))
    command = [str(binary("kubectl")), *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_kubectl_runs_it_and_its_exit_code_is_kept(installed: Path) -> None:
    assert kubectl(installed, "keyctl", "explain", "13").stdout.startswith("exit code 13: ")
    assert kubectl(installed, "keyctl", "explain", "nonsense").returncode == ExitCode.USAGE


def test_its_help_calls_it_as_the_user_does(installed: Path) -> None:
    shown = kubectl(installed, "keyctl", "config", "validate", "--help").stdout
    assert shown.startswith("Usage: kubectl keyctl config validate [OPTIONS] FILE\n")


@pytest.mark.parametrize(
    ("words", "offers", "directive"),
    [
        pytest.param(["verify-sec"], ["verify-secrets"], 4, id="a command"),
        pytest.param(["enable", "--provider", "secretb"], ["secretbox"], 4, id="a value"),
        pytest.param(["rotate", "--dry-run=ser"], ["--dry-run=server"], 4, id="a value behind ="),
        pytest.param(["audit", "--report", "ju"], ["junit="], 6, id="what something has to follow"),
        pytest.param(["config", "validate", ""], [], 0, id="a file"),
        pytest.param(["certs", "init", ""], [], 16, id="a directory"),
        pytest.param(["show", "verify"], ["verify-secrets"], 4, id="behind a verb of the kernel's keyring tool"),
    ],
)
def test_kubectl_completes_it(installed: Path, words: list[str], offers: list[str], directive: int) -> None:
    *lines, last = kubectl(installed, "__complete", "keyctl", *words).stdout.strip().splitlines()
    assert [line.partition("\t")[0] for line in lines] == offers
    assert last == f":{directive}"
