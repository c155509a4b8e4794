"""Carry out the Containerfile without a container engine: its own steps, in a folder instead of an image.

What this cannot show: the base image, layers, and what an engine does with USER, ENTRYPOINT and labels. COPY and RUN
are done as written, with the image's folders below `root`; `run` is the entry point in a name space of its own, as
the user of the image without any capability, with every file system read-only.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "Containerfile"
_OWN = ("unshare", "--user", "--map-root-user", "--mount")
# NOTE: the inner name space has another user than the outer one, and so no capability left over what is mounted.
_SEALED = (
    "mount --make-rprivate / && mount -o remount,bind,ro / && cd / && "
    'exec unshare --user --map-user="$0" --map-group="$1" "${@:2}"'
)
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a Containerfile, continued lines joined; `stage` counts FROM lines, 0 before the first."""

    name: str
    words: str
    stage: int


def instructions(text: str) -> tuple[Instruction, ...]:
    """What a Containerfile says, without comments."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")).replace("\\\n", " ")
    found: list[Instruction] = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, _, words = line.partition(" ")
        stage = (found[-1].stage if found else 0) + (name == "FROM")
        found.append(Instruction(name, " ".join(words.split()), stage))
    return tuple(found)


@dataclass
class Image:
    """What came of the steps: the image's folders are below `root`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()

    def place(self, path: str) -> Path:
        """Where a path of the image is."""
        return self.root / path.lstrip("/")

    def mapped(self, text: str) -> str:
        """`text` with the folders that the Containerfile makes replaced by theirs below `root`."""
        return re.sub(r"(?<![\w.-])/(?=(?:src|build|wheels|opt/keyctl|state)\b)", f"{self.root}/", text)

    @staticmethod
    def can_run() -> bool:
        """Whether this machine lets us have name spaces of our own."""
        return subprocess.run([*_OWN, "true"], capture_output=True, check=False, timeout=60).returncode == 0

    def run(self, *arguments: str | Path, program: str = "") -> subprocess.CompletedProcess[str]:
        """The entry point, or another `program` beside it, as the image's user, unable to write anywhere."""
        user, _, group = self.user.partition(":")
        command = [*self.entrypoint[:-1], Path(self.entrypoint[-1]).with_name(program or "kube-keyctl"), *arguments]
        return subprocess.run(
            [*_OWN, "bash", "-c", _SEALED, user, group, *command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )


def carry_out(root: Path, context: Path, epoch: int) -> Image:
    """Do what the Containerfile says, below `root`, copying from `context`; `CalledProcessError` if a step fails."""
    image, here, variables = Image(root), root, {"SOURCE_DATE_EPOCH": str(epoch)}
    said = instructions((context / CONTAINERFILE.name).read_text())
    last = max(one.stage for one in said)
    for one in said:
        match one.name:
            case "WORKDIR":
                here = image.place(one.words)
                here.mkdir(parents=True, exist_ok=True)
            case "COPY" if not one.words.startswith("--from"):
                _copy(one.words.split(), context, here)
            case "RUN":
                _run(image.mapped(one.words), here, variables)
            case "ENV" if one.stage == last:
                image.environment |= dict(_pairs(image.mapped(one.words)))
            case "USER":
                image.user = one.words
            case "ENTRYPOINT":
                image.entrypoint = tuple(image.mapped(word) for word in json.loads(one.words))
    return image


def _copy(words: list[str], context: Path, here: Path) -> None:
    """COPY from the context, a file into a folder or a folder as one."""
    *sources, target = words
    for source in (context / name for name in sources):
        if source.is_dir():
            shutil.copytree(source, here / target)
        else:
            (here / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, here / target)


def _run(command: str, here: Path, variables: dict[str, str]) -> None:
    # NOTE: the interpreter below the one of these tests is what an image has as python3: nothing is installed in it.
    python = Path(sys.base_prefix) / "bin"
    settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "SSL_"))}
    environment = {**settings, **variables, "PATH": f"{python}:/usr/bin:/bin"}
    subprocess.run(["sh", "-ec", command], cwd=here, env=environment, check=True, timeout=_SECONDS)


def _pairs(words: str) -> Iterator[tuple[str, str]]:
    for word in shlex.split(words):
        name, _, value = word.partition("=")
        yield name, value
