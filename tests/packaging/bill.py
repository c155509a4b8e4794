"""The bill of materials of what is installed: `make sbom`. CycloneDX 1.6, the same bytes for the same commit.

`python -m tests.packaging.bill DIRECTORY` carries out the Containerfile in a scratch folder and describes the
environment that came of it: every package with version, licence, the SHA-256 of the very file it was installed from,
and what needs what. The base image is not in it: its own publisher describes that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import keyctl
from tests.packaging import distribution
from tests.packaging.image import Image, carry_out

NAME = f"kube-keyctl-{keyctl.__version__}.cdx.json"
_SECONDS = 300.0


class InvalidBillError(Exception):
    """What was written is no valid CycloneDX."""


def bill(image: Image, epoch: int) -> bytes:
    """The bill of what is installed in `image`, at `epoch`. Raises `InvalidBillError` when it is against the schema."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--spec-version", "1.6"]
    command += ["--pyproject", str(image.place("/src/pyproject.toml")), "--mc-type", "application"]
    command += ["--output-format", "JSON"]
    ran = subprocess.run(
        [*command, str(image.place("/opt/keyctl/bin/python"))],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        check=True,
        timeout=_SECONDS,
    )
    document = json.loads(ran.stdout)
    for component in document["components"]:
        for reference in component.get("externalReferences", ()):
            # NOTE: packages were installed from files of a folder that nobody else has; the name and the hash count.
            if reference["url"].startswith("file:"):
                reference["url"] = PurePosixPath(reference["url"]).name
    content = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"
    check(content)
    return content


def check(content: bytes) -> None:
    """Raise `InvalidBillError` where `content` does not hold to the schema of CycloneDX 1.6."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode())
    if error is not None:
        raise InvalidBillError(str(error))


def main(arguments: list[str]) -> int:
    """Write the bill of the last commit into the directory named; returns the exit code."""
    if len(arguments) != 1:
        sys.stdout.write("usage: python -m tests.packaging.bill DIRECTORY\n")
        return 2
    target = Path(arguments[0])
    target.mkdir(parents=True, exist_ok=True)
    commit = distribution.last_commit()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        distribution.export(commit, tree)
        content = bill(carry_out(Path(scratch) / "image", tree, commit.epoch), commit.epoch)
    (target / NAME).write_bytes(content)
    sys.stdout.write(f"{target / NAME}: {len(json.loads(content)['components'])} packages of commit {commit.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
