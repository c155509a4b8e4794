"""What the Containerfile promises, read from its own lines; its steps are carried out in `test_installed.py`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.image import CONTAINERFILE, ROOT, instructions

TEXT = CONTAINERFILE.read_text()
IGNORE = (ROOT / ".dockerignore").read_text()


def faults(text: str, ignore: str = IGNORE) -> list[str]:
    """The promises that a Containerfile breaks."""
    said = instructions(text)
    last = [one for one in said if one.stage == max(other.stage for other in said)]
    users = [one.words for one in last if one.name == "USER"]
    entries = [one.words for one in last if one.name in {"ENTRYPOINT", "CMD"}]
    steps = [step for one in said if one.name == "RUN" for step in one.words.split("&&")]
    installs = [step for step in steps if "-m pip " in step]
    sources = [one.words.split()[:-1] for one in said if one.name == "COPY" and not one.words.startswith("--from")]
    let_in = {line[1:] for line in ignore.splitlines() if line.startswith("!")}
    broken = {
        "a base that is not named by the builder": any(
            one.words.split()[0] != "${BASE}" for one in said if one.name == "FROM"
        ),
        "a base with a default": [one.words for one in said if one.name == "ARG" and one.stage == 0] != ["BASE"],
        "root": not users or not re.fullmatch(r"[1-9]\d+:[1-9]\d+", users[-1]),
        "a shell in the image": any(one.name in {"RUN", "SHELL"} for one in last)
        or not all(entry.startswith("[") and json.loads(entry) for entry in entries)
        or len(entries) != 2,
        "something fetched past the locks": any(one.name == "ADD" for one in said)
        or not installs
        or not all("--require-hashes" in one or "--no-deps" in one for one in installs),
        "a context that is not spelled out": "*" not in ignore.splitlines()
        or {name for names in sources for name in names} != let_in,
    }
    return [what for what, is_broken in broken.items() if is_broken]


def test_the_containerfile_keeps_its_promises() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("FROM ${BASE}\n", "FROM python:3.13\n", "a base that is not named by the builder"),
        ("ARG BASE\n", "ARG BASE=python:3.13\n", "a base with a default"),
        ("USER 65532:65532\n", "", "root"),
        ("USER 65532:65532\n", "USER keyctl\n", "root"),
        ("USER 65532:65532\n", "USER 65532:65532\nUSER 0:0\n", "root"),
        ('CMD ["--help"]\n', "CMD --help\n", "a shell in the image"),
        ("WORKDIR /\n", "WORKDIR /\nRUN true\n", "a shell in the image"),
        (" --require-hashes --requirement requirements/build", " --requirement requirements/build", "locks"),
        (" --quiet --no-deps --no-build-isolation", " --quiet --no-build-isolation", "locks"),
        ("COPY keyctl keyctl\n", "ADD keyctl keyctl\n", "locks"),
        ("COPY keyctl keyctl\n", "COPY keyctl tests ./\n", "a context that is not spelled out"),
    ],
)
def test_a_broken_promise_is_seen(old: str, new: str, what: str) -> None:
    assert TEXT.count(old) >= 1
    assert what in " ".join(faults(TEXT.replace(old, new, 1) if "FROM" not in old else TEXT.replace(old, new)))


@pytest.mark.parametrize("ignore", [IGNORE.replace("*\n", "", 1), f"{IGNORE}!.git\n"])
def test_a_context_that_lets_more_in_is_seen(ignore: str) -> None:
    assert faults(TEXT, ignore) == ["a context that is not spelled out"]


def test_every_copied_file_is_there() -> None:
    assert [line for line in IGNORE.splitlines() if line.startswith("!") and not (ROOT / line[1:]).exists()] == []


def test_the_linter_has_nothing_to_say_and_speaks_up_where_it_should(tmp_path: Path) -> None:
    broken = tmp_path / "Containerfile"
    broken.write_text(f"{TEXT}RUN cd /src && sudo true\n")
    hadolint = Path(sys.executable).with_name("hadolint")
    for file, code in ((CONTAINERFILE, 0), (broken, 1)):
        ran = subprocess.run(
            [hadolint, "--failure-threshold", "info", file], capture_output=True, text=True, check=False
        )
        assert ran.returncode == code, ran.stdout + ran.stderr


ENTRY = re.compile(r"^([\w.-]+)==(\S+) \\\n(?: +--hash=\S+(?: \\)?\n)+", re.MULTILINE)


def locked(name: str) -> tuple[set[str], dict[str, str]]:
    """The entries of a lock with their hashes, as they stand there; and version by package of all that it names."""
    text = (ROOT / "requirements" / name).read_text()
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    return {found[0] for found in ENTRY.finditer(text)}, {canonicalize_name(one): versions[one] for one in versions}


def test_the_lock_of_what_runs_is_part_of_the_lock_of_what_was_tested() -> None:
    (run, versions), (dev, _) = locked("run.lock"), locked("dev.lock")
    assert len(run) == len(versions) > 30
    assert run < dev
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [Requirement(text) for text in asked]
    assert [one.name for one in wanted if versions.get(canonicalize_name(one.name), "0") not in one.specifier] == []
