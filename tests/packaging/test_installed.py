"""The built wheel and sdist, and what of them is installed by the steps of the Containerfile: it works by itself."""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

import keyctl
from keyctl.keys.key import Key, Provider
from tests.packaging import bill, distribution
from tests.packaging.image import ROOT, Image, carry_out
from tests.support import seal
from tests.support.debian import do_without
from tests.support.encryption_file import write_config
from tests.unit.backup.databases import snapshot

EPOCH = 1_700_000_000
INFO = f"kube_keyctl-{keyctl.__version__}.dist-info"
DATA = f"kube_keyctl-{keyctl.__version__}.data"
COMMANDS = ("keyctl", "kube-keyctl", "kubectl-keyctl")
KEY, OTHER = seal.key("key1"), seal.key("key2", fill=2)
AT = b"/registry/secrets/default/a"
SEALED, PLAIN = seal.seal(KEY, AT, seal.secret("a")), seal.secret("a")


def copied_tree(target: Path) -> Path:
    """What a build reads of this work tree, as files of their own."""
    for folder in ("data", "keyctl", "requirements"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "Containerfile"):
        shutil.copy(ROOT / name, target)
    return target


def files_of(tree: Path, folder: str) -> set[str]:
    """Every file of a folder, by its path from the root of the repository."""
    return {path.relative_to(tree).as_posix() for path in (tree / folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return distribution.build(tree, tmp_path_factory.mktemp("dist"), EPOCH)


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    if not Image.can_run():
        do_without("what is installed is run in name spaces of its own, and unshare may make none here")
    return carry_out(tmp_path_factory.mktemp("image"), tree, EPOCH)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_config(tmp_path / "enc.yaml", KEY)
    return tmp_path


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built: tuple[Path, Path], tree: Path) -> None:
    names = set(zipfile.ZipFile(built[1]).namelist())
    own = {name for name in names if not name.startswith(INFO.removesuffix("dist-info"))}
    assert own == files_of(tree, "keyctl")
    assert {
        "keyctl/etcd/api.binpb",
        "keyctl/hosts/remote.sh",
        "keyctl/lab/modules/etcd/go.sum",
        "keyctl/py.typed",
    } < own
    data = {name for name in names if name.startswith(f"{DATA}/")}
    assert {name.replace(f"{DATA}/", "", 1) for name in data} == files_of(tree, "data")
    about = {name.removeprefix(f"{INFO}/") for name in names - own - data}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheel_names_its_commands_its_licence_and_what_it_needs(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"{INFO}/METADATA"))
        commands = wheel.read(f"{INFO}/entry_points.txt").decode()
        assert wheel.read(f"{INFO}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert (metadata["Name"], metadata["Version"]) == ("kube-keyctl", keyctl.__version__)
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert {"etcd3==0.12.0", "kubernetes>=31"} <= set(metadata.get_all("Requires-Dist") or ())
    assert re.findall(r"^([\w-]+)=keyctl\.cli\.main:main$", commands, re.MULTILINE) == sorted(COMMANDS)


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_tests(built: tuple[Path, Path], tree: Path) -> None:
    top = f"kube_keyctl-{keyctl.__version__}/"
    with tarfile.open(built[0]) as sdist:
        names = {member.name.removeprefix(top) for member in sdist.getmembers()}
    assert names == files_of(tree, "keyctl") | files_of(tree, "data") | {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "PKG-INFO",
    }


def test_the_wheel_out_of_the_sdist_the_one_of_the_tree_and_the_one_in_the_image_are_one(
    built: tuple[Path, Path], tree: Path, image: Image, tmp_path: Path
) -> None:
    of_tree = distribution.by_backend("build_wheel", tree, tmp_path, EPOCH)
    (in_image,) = image.place("/wheels").glob("kube_keyctl-*.whl")
    assert of_tree.read_bytes() == built[1].read_bytes()
    assert in_image.read_bytes() == built[1].read_bytes()


def test_the_image_has_the_locked_packages_and_no_other(image: Image) -> None:
    lock = (ROOT / "requirements" / "run.lock").read_text()
    locked = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+==\S+)", lock, re.MULTILINE)}
    assert len(locked) > 30
    assert installed_in(image) == locked | {canonicalize_name(f"kube-keyctl=={keyctl.__version__}")}


def installed_in(image: Image) -> set[str]:
    """Name and version of every package of the image."""
    listing = "import importlib.metadata as m; print(*(f'{one.name}=={one.version}' for one in m.distributions()))"
    return {canonicalize_name(one) for one in image.run("-I", "-c", listing, program="python").stdout.split()}


def test_the_bill_of_materials_names_every_package_with_its_file_its_licence_and_what_it_needs(
    image: Image, built: tuple[Path, Path]
) -> None:
    content = bill.bill(image, EPOCH)
    document = json.loads(content)
    parts = {part["name"]: part for part in document["components"]}
    # The package itself is what the bill is about.
    assert document["metadata"]["component"]["name"] == "kube-keyctl"
    assert len(parts) == len(document["components"]) == len(installed_in(image)) - 1
    # These two tell none in their metadata.
    assert {name for name, part in parts.items() if not part.get("licenses")} <= {"protobuf", "pyrage"}
    files = {one["url"]: one["hashes"][0]["content"] for part in parts.values() for one in archives(part)}
    wheels = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in image.place("/wheels").iterdir()}
    assert {**files, built[1].name: hashlib.sha256(built[1].read_bytes()).hexdigest()} == wheels
    needs = {one["ref"].partition("==")[0]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert any(ref.startswith("tenacity==") for ref in needs["etcd3"])
    assert len(needs["root-component"]) >= 14
    assert b"file:" not in content
    assert str(image.root).encode() not in content
    # Nothing of the moment is in it.
    assert (document["metadata"]["timestamp"], "serialNumber" in document) == ("2023-11-14T22:13:20+00:00", False)


def archives(part: dict[str, object]) -> list[dict[str, Any]]:
    """The files that a component was installed from."""
    references = part.get("externalReferences", [])
    assert isinstance(references, list)
    return [one for one in references if one["type"] == "distribution" and "hashes" in one]


def test_a_bill_that_is_against_the_schema_is_refused() -> None:
    with pytest.raises(bill.InvalidBillError):
        bill.check(b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "component": []}')


def test_it_runs_as_nobody_without_rights_and_cannot_write(image: Image, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getuid(), os.getgid()); open(sys.argv[1], 'w')"
    for place in (image.place("/opt/keyctl/x"), tmp_path / "x", Path("/keyctl-was-here")):
        tried = image.run("-I", "-c", code, place, program="python")
        assert tried.stdout.split() == ["65532", "65532"]
        assert "Read-only file system" in tried.stderr
    status = image.run("-I", "-c", "print(open('/proc/self/status').read())", program="python").stdout
    assert re.findall(r"^Cap(?:Eff|Prm):\s+(\S+)$", status, re.MULTILINE) == ["0" * 16] * 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_version_and_its_help(image: Image, command: str) -> None:
    told = image.run("--version", program=command)
    assert told.returncode == 0, told.stderr
    assert keyctl.__version__ in told.stdout
    page = image.run("--help", program=command)
    assert page.returncode == 0
    assert "verify-secrets" in page.stdout


def test_the_versions_that_matter_are_told(image: Image) -> None:
    told = image.run("version")
    assert (told.returncode, told.stderr) == (0, "")
    assert "etcd3 0.12.0" in told.stdout


@pytest.mark.parametrize(("value", "code"), [(SEALED, 0), (PLAIN, 13), (seal.seal(OTHER, AT, PLAIN), 12)])
def test_a_snapshot_is_judged(image: Image, site: Path, value: bytes, code: int) -> None:
    snapshot(site / "backup.db", [(AT, value, 2)])
    told = image.run("verify-secrets", "--snapshot", site / "backup.db", "--encryption-config", site / "enc.yaml")
    assert told.returncode == code, told.stdout + told.stderr
    whole = image.run("snapshot", "verify", site / "backup.db")
    assert whole.returncode == 0, whole.stdout + whole.stderr


def test_a_configuration_is_validated_and_explained(image: Image, site: Path) -> None:
    write_config(site / "enc.yaml", Key(Provider.SECRETBOX, "key1", os.urandom(32)))
    right = image.run("config", "validate", site / "enc.yaml")
    assert right.returncode == 0, right.stdout
    (site / "enc.yaml").write_text("apiVersion: v1\n")
    assert image.run("config", "validate", site / "enc.yaml").returncode == 3
    assert image.run("explain", "KC-CFG-001").stdout


def test_a_directory_is_audited_by_a_profile(image: Image, site: Path) -> None:
    write_config(site / "enc.yaml")
    told = image.run("audit", site, "--profile", "ci-static", "-o", "json")
    assert told.returncode == 20, told.stdout + told.stderr
    assert '"profile"' in told.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("kms", "check", "unix:///nowhere.sock"),
        ("verify-secrets", "--endpoints", "https://127.0.0.1:1", "--cacert", "ca.crt"),
    ],
)
def test_what_speaks_to_others_is_whole_too(image: Image, words: tuple[str, ...]) -> None:
    told = image.run(*words)
    assert told.returncode in (2, 3, 4), told.stdout + told.stderr
    assert "error:" in told.stderr


def test_the_apis_that_it_speaks_come_with_it(image: Image) -> None:
    code = "import keyctl.etcd.rpc, keyctl.kms.client; from keyctl.lab.versions import ETCD; print(ETCD.go_version())"
    told = image.run("-I", "-c", code, program="python")
    assert told.returncode == 0, told.stderr
