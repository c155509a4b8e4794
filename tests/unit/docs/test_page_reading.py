"""How pages are read: what counts as a command, what as its output, and what keyctl would not take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.page_runs import Terminal, allowed, assented, follow, shows
from tests.support.pages import Block, Step, blocks, invocations, mention_error, usage_error

PAGE = """
# A page

<!-- run: a lab -->
```console
$ keyctl status            # 20 when something is wrong
SERVER  FILE
$ echo $?
20
$ keyctl certs init pki --member m1=10.0.0.1 \\
    --client backup
```

- in a list

  <!-- not run: it needs a cluster of your own -->
  ```sh
  keyctl enable
  keyctl rotate
  ```

```yaml
a: field
```

    keyctl verify-secrets
"""


def test_commands_are_told_from_what_they_say() -> None:
    console, script, other, indented = blocks("page.md", PAGE)
    assert [step.command.splitlines()[0] for step in console.steps] == [
        "keyctl status            # 20 when something is wrong",
        "echo $?",
        "keyctl certs init pki --member m1=10.0.0.1 \\",
    ]
    assert [step.shown for step in console.steps] == [("SERVER  FILE",), ("20",), ()]
    assert [step.line for step in console.steps] == [6, 8, 10]
    assert (console.site, console.reason) == ("a lab", "")
    assert [step.command for step in script.steps] == ["keyctl enable", "keyctl rotate"]
    assert (script.site, script.reason) == ("", "it needs a cluster of your own")
    assert other.steps == ()
    assert indented.misplaced == ["    keyctl verify-secrets"]


def test_a_call_in_a_block_of_another_kind_is_seen() -> None:
    (block,) = blocks("page.md", "```\n$ sudo kube-keyctl rotate\nkeyctl: a word\n```\n")
    assert block.misplaced == ["$ sudo kube-keyctl rotate"]


def test_of_a_block_that_no_comment_speaks_of_nobody_said_anything() -> None:
    (block,) = blocks("page.md", "```sh\nkeyctl enable\n```\n<!-- run: a lab -->\n")
    assert (block.site, block.reason) == ("", "")


def test_a_block_without_an_end_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"page.md:1: the block has no end"):
        blocks("page.md", "```sh\nkeyctl enable\n")


def test_output_without_a_command_is_a_mistake() -> None:
    (block,) = blocks("page.md", "```console\nSERVER  FILE\n```\n")
    with pytest.raises(ValueError, match=r"page.md:2: output"):
        assert block.steps


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ("keyctl status -o json", [["status", "-o", "json"]]),
        ("sudo kube-keyctl status # how is it?", [["status"]]),
        ("A=1 B=2 /opt/x/bin/kube-keyctl status", [["status"]]),
        ("kubectl keyctl status && keyctl doctor; ls", [["status"], ["doctor"]]),
        ("keyctl keys policies rotator | bao policy write r -", [["keys", "policies", "rotator"]]),
        ("keyctl status -o json > status.json", [["status", "-o", "json"]]),
        ('eval "$(keyctl lab env --name x)"', [["lab", "env", "--name", "x"]]),
        ("keyctl snapshot verify a.db \\\n  b.db", [["snapshot", "verify", "a.db", "b.db"]]),
        ("kubectl get secrets", []),
        ("cat keyctl.yaml", []),
    ],
)
def test_every_call_of_keyctl_is_found(command: str, calls: list[list[str]]) -> None:
    assert invocations(command) == calls


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rotate", "--verify-evidence", "DIR"], ""),
        (["-v", "rotate", "--dry-run"], ""),
        (["rotate", "--help"], ""),
        (["rotate", "--forever"], "No such option"),
        (["rotate", "--provider", "enigma"], "is not one of"),
        (["certs", "check"], "Missing argument"),
        (["certs", "paint"], "no command 'paint'"),
        (["status", "x"], "unexpected extra argument"),
        (["certs"], "a group of commands"),
    ],
)
def test_a_usage_error_is_found_and_nothing_else_is_one(words: list[str], error: str) -> None:
    found = usage_error(words)
    assert error in found
    assert bool(found) == bool(error)


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        (["a  b"], "a b\n", True),
        (["a"], "a\nb\n", False),
        (["a", "b"], "a\n", False),
        (["a", "…"], "a\nb\nc\n", True),
        (["…", "c"], "a\nb\nc\n", True),
        (["…", "b"], "a\nb\nc\n", False),
        (["took … in all"], "took 3 turns in all\n", True),
        (["3 servers"], "4 servers\n", False),
        (["2 values of secrets"], "3 values of secrets\n", False),
        (["under key-20261121t141349z-600b"], "under key-20271121t141349z-1111\n", True),
        (["at revision 12"], "at revision 4711\n", True),
        (["read 208 values"], "read 209 values\n", True),
        (["✓ ok"], "✗ fail\n", False),
    ],
)
def test_what_differs_each_time_is_equal_and_nothing_else(shown: list[str], said: str, same: bool) -> None:
    assert shows(shown, said) is same


def test_a_command_ends_with_0_or_with_what_the_page_says() -> None:
    below = Step(2, "echo $?", ("13",))
    assert allowed(Step(1, "keyctl status", ()), None) == {0}
    assert allowed(Step(1, "keyctl status", ()), below) == {13}
    assert allowed(Step(1, "keyctl audit .   # right (0), wrong (20), in 30 days", ()), None) == {0, 20}
    assert allowed(Step(1, "keyctl status    # of 10.0.0.1 and the 3-node one", ()), None) == {0}
    assert allowed(Step(1, "keyctl audit .   # never a bug (1) nor a wrong call (2)", ()), None) == {0}


@pytest.mark.parametrize(
    ("words", "right"),
    [(["keys", "destroy"], True), (["audit", "--cluster"], True), (["keys", "burn"], False), (["status", "-z"], False)],
)
def test_a_sentence_may_leave_out_what_a_command_is_given_and_nothing_else(words: list[str], right: bool) -> None:
    assert (mention_error(words) == "") is right


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("kube-keyctl rotate --provider secretbox  # go", "kube-keyctl rotate --yes --provider secretbox  # go"),
        ("keyctl etcd-access apply --disable", "keyctl etcd-access apply --yes --disable"),
        ("keyctl rotate --dry-run", "keyctl rotate --dry-run"),
        ("keyctl rotate -y", "keyctl rotate -y"),
        ("keyctl verify-secrets", "keyctl verify-secrets"),
        ("kubectl get secrets", "kubectl get secrets"),
    ],
)
def test_where_keyctl_would_ask_the_reader_says_yes(command: str, typed: str) -> None:
    assert assented(command) == typed


def page_of(*lines: str) -> tuple[Block, ...]:
    return blocks("page.md", "\n".join(["<!-- run: a folder -->", "```console", *lines, "```", ""]))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with closing(Terminal(tmp_path, dict(os.environ))) as running:
        yield running


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["$ echo one", "two"], "the page shows:\ntwo\nit says:\none"),
        (["$ false"], "page.md:3: false\nends with 1"),
        (["$ false", "$ echo $?", "3"], "ends with 1"),
        (["$ echo one", "one", "$ echo two", "one"], "page.md:5: echo two"),
    ],
)
def test_a_page_that_is_wrong_fails_and_says_where(terminal: Terminal, lines: list[str], told: str) -> None:
    with pytest.raises(AssertionError) as failed:
        follow(page_of(*lines), terminal, {})
    assert told in str(failed.value)


def test_a_reader_stays_in_one_shell_and_means_the_site(terminal: Terminal, tmp_path: Path) -> None:
    lines = ["$ export A=3", '$ (exit "$A")', "$ echo $?", "3", "$ sudo echo /etc/x /home/you; cat", "/etc/x /home/you"]
    swaps = {" /etc/": f" {tmp_path}/site/etc/"}
    assert follow(page_of(*lines), terminal, swaps) == 4


def test_a_command_without_an_end_is_not_waited_for_for_ever(terminal: Terminal) -> None:
    with pytest.raises(AssertionError, match=r"(?s)sleep 60: no end; so far:\nbegun"):
        terminal.run("echo begun; sleep 60", seconds=1.0)
