"""The throw-away control plane: what is asked before it is started, and how long a definition may take to be served."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import pytest

from keyctl.backup.restore_test import Trial
from keyctl.cli import restored_plane
from keyctl.errors import RefusedError, UnreachableError
from keyctl.kube.interface import ApiServer, Listed
from keyctl.lab import build
from keyctl.lab.versions import SERVERS


class Usage(NamedTuple):
    free: int


class LateServer:
    """Serves everything only from the second time on that it is asked for `slow`."""

    def __init__(self, slow: str, *, ever: bool = True) -> None:
        self.slow, self.ever, self.asked = slow, ever, list[str]()

    def list_metadata(self, resource: str) -> Listed:
        self.asked.append(resource)
        if resource == self.slow and (not self.ever or self.asked.count(resource) < 2):
            return Listed(resource, 0, f"no API serves {resource}")
        return Listed(resource, 3)


def test_where_the_copy_does_not_fit_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "s.db"
    snapshot.write_bytes(bytes(5000))
    monkeypatch.setattr(build, "at_hand", lambda names: {name: Path(name) for name in names})
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free=300_009_999))
    monkeypatch.setattr(restored_plane, "running_lab", lambda *_, **__: pytest.fail("something was started"))
    tried = restored_plane.plane(lambda _: None, scratch=tmp_path, may_build=False)
    assert tried is not None
    with pytest.raises(RefusedError, match="no room"):
        tried(Trial(snapshot, "/registry", b"", {}, digest=True))
    assert list(tmp_path.iterdir()) == [snapshot]


def test_what_a_killed_run_leaves_lies_where_the_next_one_erases_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "s.db"
    snapshot.write_bytes(bytes(5000))
    monkeypatch.setattr(build, "at_hand", lambda names: {name: Path(name) for name in names})
    places: list[Path] = []

    def started(*_: object, directory: Path, **__: object) -> None:
        places.append(directory.relative_to(tmp_path))
        raise UnreachableError("it does not come up")

    monkeypatch.setattr(restored_plane, "running_lab", started)
    tried = restored_plane.plane(lambda _: None, scratch=tmp_path, may_build=False)
    assert tried is not None
    with pytest.raises(UnreachableError):
        tried(Trial(snapshot, "/registry", b"", {}, digest=True))
    (place,) = places
    assert place.parts[0].startswith("keyctl-scratch-")
    assert list(tmp_path.iterdir()) == [snapshot]


def test_without_programs_there_is_no_plane_and_they_are_built_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(build, "at_hand", lambda names: None)

    def binaries(names: tuple[str, ...], *, progress: object) -> dict[str, Path]:
        built.extend(names)
        return {}

    monkeypatch.setattr(build, "binaries", binaries)
    assert restored_plane.plane(lambda _: None, scratch=None, may_build=False) is None
    assert built == []
    assert restored_plane.plane(lambda _: None, scratch=None, may_build=True) is not None
    assert built == list(SERVERS)


def test_a_resource_that_is_served_late_is_asked_for_again_and_one_that_never_is_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restored_plane, "_POLL_SECONDS", 0.0)
    wanted = {"secrets": 3, "widgets.example.com": 2}
    served = restored_plane._served(cast("ApiServer", LateServer("widgets.example.com")), wanted)
    assert [(one.resource, one.good) for one in served] == [("secrets", True), ("widgets.example.com", True)]
    monkeypatch.setattr(restored_plane, "_PATIENCE_SECONDS", 0.0)
    never = restored_plane._served(cast("ApiServer", LateServer("secrets", ever=False)), wanted)
    assert [one.good for one in never] == [False, True]
