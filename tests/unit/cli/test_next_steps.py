"""The commands that go on from here: a shell takes them as they are printed, and they lead to the same cluster."""

from __future__ import annotations

import shlex

import click
import pytest

from keyctl.cli import main
from keyctl.cli.main import cli
from keyctl.errors import ExitCode, UnreachableError
from tests.support import seal
from tests.unit.cli.test_snapshot import Scene, add_override, save, scene

__all__ = ["scene"]

FLAGS = (
    *("--cluster", "my cluster.yaml", "--endpoints", "https://127.0.0.1:2379", "--cacert", "c a.crt"),
    *("--cert", "c.crt", "--key", "k.key", "--etcd-prefix", "/registry", "--encryption-config", "my enc.yaml"),
)


def printed(text: str, what: str) -> list[list[str]]:
    """The words of each command in `text` that begins with `what`, as a shell splits them."""
    return [
        shlex.split(what + rest.splitlines()[0].partition("    ")[0].partition("; ")[0])
        for rest in text.split(what)[1:]
    ]


def parsed(words: list[str]) -> dict[str, object]:
    """What keyctl makes of the command `words`. Fails for one that it does not take."""
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None
        command, rest = found, rest[1:]
    return command.make_context("keyctl", rest).params


@pytest.fixture
def two(scene: Scene) -> Scene:
    """Two etcds, a cluster file, a configuration and a folder whose names have a space."""
    add_override(scene)
    (scene.folder / "keyctl.yaml").rename(scene.folder / "my cluster.yaml")
    (scene.folder / "enc.yaml").rename(scene.folder / "my enc.yaml")
    (scene.folder / "bk up").mkdir()
    return scene


def break_second(scene: Scene, error: BaseException) -> None:
    """Let the second snapshot fail."""
    count: list[str] = []

    def fail(what: str) -> None:
        count.append(what)
        if len(count) > 1:
            raise error

    scene.cluster.before = fail


def check(words: list[str]) -> None:
    found = parsed(words)
    assert (str(found["file"]), found["wanted"]) == ("bk up/two.events.db", "events")
    assert words[words.index("--etcd") + 2 :] == list(FLAGS)


def test_what_was_not_saved_is_saved_by_the_command_as_it_is_printed(
    two: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    break_second(two, UnreachableError("etcd does not answer"))
    assert save("bk up/two.db", *FLAGS) == ExitCode.STOPPED
    commands = printed(capsys.readouterr().out, "keyctl snapshot save")
    assert len(commands) == 2, "as a finding's fix and as a next step"
    for words in commands:
        check(words)


def test_a_saved_snapshot_is_verified_by_the_command_as_it_is_printed(
    two: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save("bk up/two.db", *FLAGS) == ExitCode.OK
    (words,) = printed(capsys.readouterr().out, "keyctl snapshot verify")
    files = parsed(words)["files"]
    assert isinstance(files, tuple)
    assert list(map(str, files)) == ["bk up/two.db", "bk up/two.events.db"]


def test_what_an_interrupt_left_out_is_saved_by_the_command_as_it_is_printed(
    two: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    break_second(two, KeyboardInterrupt())
    assert save("bk up/two.db", *FLAGS) == ExitCode.STOPPED
    (words,) = printed(capsys.readouterr().err, "keyctl snapshot save")
    check(words)


def test_a_sanitize_that_stopped_is_begun_anew_by_the_command_as_it_is_printed(
    two: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(what: str) -> None:
        if what.startswith("delete"):
            raise UnreachableError("etcd does not answer")

    two.cluster.before = fail
    assert main.run(["sanitize", "--yes", *FLAGS]) == ExitCode.STOPPED
    (words,) = printed(capsys.readouterr().err, "keyctl sanitize")
    assert words[2:] == list(FLAGS)
    assert str(parsed(words)["cluster"]) == "my cluster.yaml"


def test_members_of_two_clusters_that_are_called_the_same_are_told_apart(
    two: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    for member in two.cluster.members.values():
        member.live[b"/registry/secrets/default/p"] = seal.secret("p")
    assert main.run(["sanitize", "--yes", *FLAGS]) == ExitCode.PLAINTEXT
    told = capsys.readouterr().out
    assert [word in told for word in ("m0 of etcd: plaintext", "m0 of etcd of https://10.0.0.9:2379: plaintext")] == [
        True,
        True,
    ]
