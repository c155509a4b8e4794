"""Completion in real shells: bash of this machine, zsh and fish of Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debian import debian_packages, do_without
from tests.support.typing_shell import PROMPT, TypingShell, typing_shell

pytestmark = pytest.mark.live

_SCRIPTS = Path(sys.executable).parent


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Of a user who has installed keyctl, and no configuration of a shell."""
    path = os.pathsep.join((str(_SCRIPTS), os.environ["PATH"]))
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "KEYCTL_TESTS"))}
    return {**kept, "PATH": path, "HOME": str(directory), "TERM": "vt100", "LANG": "C.UTF-8", "COLUMNS": "200", **more}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory with one file to complete."""
    (tmp_path / "backup-of-monday.db").touch()
    return tmp_path


@pytest.fixture
def bash(there: Path) -> Iterator[TypingShell]:
    program = shutil.which("bash")
    assert program is not None
    command = [program, "--norc", "--noprofile", "-i"]
    with typing_shell(command, environment=environment(there, PS1=PROMPT), directory=there) as shell:
        shell.wait(PROMPT)
        shell.type("bind 'set enable-bracketed-paste off'; bind 'set bell-style none'\n", until=PROMPT)
        shell.type("source <(keyctl completion bash); echo sour''ced\n", until="sourced")
        yield shell


@pytest.fixture
def zsh(there: Path) -> Iterator[TypingShell]:
    program = shutil.which("zsh")
    functions = ""
    if program is None:
        root = debian_packages("zsh", ("zsh", "zsh-common"))
        if root is None:
            do_without("zsh is not here and cannot be fetched")
        program = str(next(path for path in (root / "bin" / "zsh", root / "usr" / "bin" / "zsh") if path.exists()))
        share = root / "usr" / "share" / "zsh" / "functions"
        functions = f"fpath=({' '.join(str(path) for path in (share, *share.rglob('*')) if path.is_dir())}); "
        modules = next((root / "usr" / "lib").rglob("zle.so")).parent.parent
        functions += f"module_path=({modules}); "
    with typing_shell([program, "-f", "-i"], environment=environment(there, PS1=PROMPT), directory=there) as shell:
        shell.wait(PROMPT)
        shell.type(f"{functions}autoload -Uz compinit; compinit -u -D; echo rea''dy\n", until="ready\n")
        shell.type("source <(keyctl completion zsh); echo sour''ced\n", until="sourced")
        yield shell


# What is typed up to the tabulator key, and what then stands in the line.
CASES = {
    "a command": ("keyctl verify-sec\t", "keyctl verify-secrets "),
    "a command of a group": ("keyctl config vali\t", "keyctl config validate "),
    "an option": ("keyctl verify-secrets --resid\t", "--residue "),
    "a value": ("keyctl enable --provider secretb\t", "--provider secretbox "),
    "a value behind =": ("keyctl rotate --dry-run=ser\t", "--dry-run=server "),
    "a format": ("keyctl verify-secrets -o js\t", "-o json "),
    "a format of a report, which a path follows": ("keyctl audit --report ju\tX", "--report junit=X"),
    "a file behind a format": ("keyctl audit --report json=backup-\t", "json=backup-of-monday.db"),
    "a profile": ("keyctl audit --profile min\t", "--profile minimal "),
    "a finding": ("keyctl explain KC-ME\t", "keyctl explain KC-META-"),
    "a file": ("keyctl config validate backup-\t", "validate backup-of-monday.db"),
    "a snapshot": ("keyctl snapshot verify backup-\t", "verify backup-of-monday.db"),
}


@pytest.mark.parametrize("case", CASES)
def test_bash_completes(case: str, bash: TypingShell) -> None:
    keys, line = CASES[case]
    bash.type(keys, until=line)


@pytest.mark.parametrize("case", CASES)
def test_zsh_completes(case: str, zsh: TypingShell) -> None:
    keys, line = CASES[case]
    zsh.type(keys, until=line)


# fish is asked what it would offer; what comes behind an offer's tabulator is its description.
FISH_CASES = {
    "a command": ("keyctl verify-sec", ["verify-secrets"]),
    "an option": ("keyctl verify-secrets --resid", ["--residue"]),
    "a value": ("keyctl enable --provider secretb", ["secretbox"]),
    "a value behind =": ("keyctl rotate --dry-run=ser", ["--dry-run=server"]),
    "a format of a report, which a path follows": ("keyctl audit --report ju", ["junit="]),
    "a profile": ("keyctl audit --profile min", ["minimal"]),
    "a file": ("keyctl config validate backup-", ["backup-of-monday.db"]),
}


@pytest.mark.parametrize("case", FISH_CASES)
def test_fish_completes(case: str, there: Path) -> None:
    line, offers = FISH_CASES[case]
    program, more, functions = fish()
    script = f"{functions}keyctl completion fish | source; complete -C {line!r}"
    ended = subprocess.run(
        [program, "--no-config", "-c", script],
        cwd=there,
        env=environment(there, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert [offer.partition("\t")[0] for offer in ended.stdout.splitlines()] == offers, ended.stderr


def fish() -> tuple[str, dict[str, str], str]:
    """fish, the environment that it needs, and what must be said before anything else."""
    program = shutil.which("fish")
    if program is not None:
        return program, {}, ""
    root = debian_packages("fish", ("fish", "fish-common", "libpcre2-32-0"))
    if root is None:
        do_without("fish is not here and cannot be fetched")
    libraries = str(next((root / "usr" / "lib").rglob("libpcre2-32.so.0")).parent)
    functions = root / "usr" / "share" / "fish" / "functions"
    return str(root / "usr" / "bin" / "fish"), {"LD_LIBRARY_PATH": libraries}, f"set fish_function_path {functions}; "
