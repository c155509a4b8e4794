"""The endpoint of a plugin, and its socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError, WrongUsageError
from keyctl.kms.endpoint import parse
from keyctl.kms.socket_file import look_at


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A socket that only its owner reaches, in a directory that all may search."""
    folder = tmp_path_factory.mktemp("s")
    folder.chmod(0o755)
    path = folder / "kms.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "target"),
    [("unix:///run/kms.sock", "unix:/run/kms.sock"), ("unix:///@kms", "unix-abstract:kms")],
    ids=["a file", "an abstract socket"],
)
def test_what_kube_apiserver_takes_is_taken(text: str, target: str) -> None:
    assert parse(text).target == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/kms.sock",
        "unix:@kms",
        "unix://@kms",
        "unix://run/kms.sock",
        "unix:/run/kms.sock",
        "unix:///run/a b",
        "unix:///run/a%20b",
        "unix:///run/a?b",
        "unix:///run/a#b",
        "unix:///@",
        "unix:///" + "x" * 108,
        "http://localhost",
        "unix:///run/kms.sock\n",
    ],
)
def test_what_it_would_find_no_plugin_at_is_refused(text: str) -> None:
    with pytest.raises(WrongUsageError):
        parse(text)


@pytest.mark.parametrize(("text", "meant"), [("unix:@kms", "unix:///@kms"), ("/run/kms.sock", "unix:///run/kms.sock")])
def test_the_hint_says_how_to_write_it(text: str, meant: str) -> None:
    with pytest.raises(WrongUsageError) as caught:
        parse(text)
    assert caught.value.hints[0].endswith(f"keyctl kms check {meant}")
    parse(meant)


def test_a_private_socket_is_reached_by_nobody_else(place: Path) -> None:
    found = look_at(str(place))
    assert (found.mode, found.connectable, found.replaceable) == (0o600, False, None)


def test_a_socket_that_all_may_write_to_is_reached(place: Path) -> None:
    place.chmod(0o666)
    # Where the tests' own directories are closed nobody else gets to it, and that is right, too.
    searchable = all(parent.stat().st_mode & 0o001 for parent in place.parents)
    assert look_at(str(place)).connectable is searchable


def test_a_closed_directory_keeps_others_from_an_open_socket(place: Path) -> None:
    place.chmod(0o666)
    place.parent.chmod(0o700)
    assert not look_at(str(place)).connectable


def test_a_directory_that_all_may_write_to_lets_the_socket_be_replaced(place: Path) -> None:
    place.parent.chmod(0o777)
    searchable = all(parent.stat().st_mode & 0o001 for parent in place.parents)
    assert look_at(str(place)).replaceable == (str(place.parent) if searchable else None)
    place.parent.chmod(0o1777)
    assert look_at(str(place)).replaceable is None, "only the owner replaces what is his in a sticky directory"


def test_a_link_in_such_a_directory_can_be_replaced_as_well(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    open_to_all = tmp_path_factory.mktemp("l")
    link = open_to_all / "kms.sock"
    link.symlink_to(place)
    open_to_all.chmod(0o755)
    assert look_at(str(link)).replaceable is None
    open_to_all.chmod(0o777)
    searchable = all(parent.stat().st_mode & 0o001 for parent in link.parents)
    assert look_at(str(link)).replaceable == (str(open_to_all) if searchable else None)


def test_a_plain_file_and_nothing_at_all_are_no_sockets(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (("file", "is no socket"), ("nothing", "there is no socket")):
        with pytest.raises(UnreachableError, match=said):
            look_at(str(tmp_path / path))
