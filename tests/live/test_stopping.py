"""A change that cannot go on: refused before anything is touched (5), stopped by the user (130, 6), by a server that
loads nothing or an object that nobody may write (6). Always safe, always with a way on that is then taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.lab.topology import EtcdAccess
from tests.support import by_hand, seal
from tests.support.cluster_copy import ClusterFile, cluster_copy, untouched
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import control_planes
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import create_secret, refusing_webhook
from tests.support.seeded import Answered, Seeded, seed
from tests.support.shell import Shell

pytestmark = pytest.mark.live

ROTATE = ("rotate", "--yes", "--allow-downtime")
RESUME = ("rotate", "--resume")


def settling(seconds: int, *, restart: list[str] | None = None):
    """An edit of the cluster file: another settle time, another restart command that is waited for 2 s."""

    def edit(cluster: ClusterFile) -> None:
        cluster["policy"]["settle"] = f"{seconds}s"
        if restart:
            cluster["apiServers"][0]["activation"] = {"restart": {"command": restart, "wait": "2s"}}

    return edit


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def plane(etcd_server: EtcdAccess, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """One API server, encrypted by `enable`. Every test leaves it with a finished rotation."""
    with control_planes(etcd_server, tmp_path_factory.mktemp("plane")) as start:
        lab = start(1)
        seeded = seed(lab, home / "state", 6)
        file = cluster_copy(lab, home / "keyctl.yaml", settling(10))
        enabled = Shell(home).keyctl("enable", "--yes", "--allow-downtime", "--cluster", file)
        assert enabled.code == 0, enabled.stderr
        yield seeded


@pytest.fixture
def shell(plane: Seeded, home: Path) -> Iterator[Shell]:
    """At home, where the cluster file is; nothing that a test makes keyctl say or write has a key in it."""
    shell = Shell(home)
    yield shell
    config = plane.lab.layout.server("cp1").encryption_config
    journals = home.rglob("journal.jsonl")
    assert leaks(key_texts([config]), shell.said, journals) == []
    assert not any(secret.password in text for secret in plane.secrets for text in shell.said)
    assert wrong_hints(shell.said) == []
    assert shell.keyctl("verify-secrets").code == 0
    assert plane.changed() == {}


def variant(plane: Seeded, home: Path, seconds: int, *, restart: list[str] | None = None) -> str:
    return str(cluster_copy(plane.lab, home / "variant.yaml", settling(seconds, restart=restart)))


def keys_of(plane: Seeded) -> list[str]:
    """The names of the keys in the server's file, the writing one first."""
    return re.findall(r"name: (\S+)", plane.lab.layout.server("cp1").encryption_config.read_text())


def told(answer: Answered, code: int, *parts: str) -> None:
    assert answer.code == code, answer.stderr
    assert "hint: " in answer.stderr
    assert "Traceback" not in answer.stderr
    for part in parts:
        assert part in answer.stderr


def test_a_value_that_cannot_be_decrypted_stops_rotate_before_anything_is_touched(plane: Seeded, shell: Shell) -> None:
    key = f"{plane.lab.topology.settings.prefix}/configmaps/default/orphan"
    sealed = seal.seal(seal.key("gone"), key.encode(), seal.config_map("orphan"))
    by_hand.put(plane.lab.etcd, key, sealed)
    try:
        with untouched(plane.lab, shell.state):
            for command in (("rotate", "--dry-run", "--allow-downtime"), ROTATE):
                told(shell.keyctl(*command), 5, key, "cannot be decrypted", "[R10]")
    finally:
        by_hand.delete(plane.lab.etcd, key)


def test_an_invalid_file_on_a_server_stops_rotate_before_anything_is_touched(plane: Seeded, shell: Shell) -> None:
    file = plane.lab.layout.server("cp1").encryption_config
    before = file.read_bytes()
    file.write_bytes(before.replace(b"identity", b"identety"))
    try:
        with untouched(plane.lab, shell.state):
            told(shell.keyctl(*ROTATE), 3, f"cp1:{file}:")
    finally:
        file.write_bytes(before)


def test_ctrl_c_before_anything_was_changed_is_130(plane: Seeded, shell: Shell) -> None:
    with untouched(plane.lab, shell.state):
        with shell.running(*ROTATE) as rotating:
            rotating.wait_for("== preflight")
            rotating.interrupt()
            checking = rotating.end()
        with shell.asked("rotate", "--allow-downtime") as rotating:
            rotating.wait_for("Go on?")
            rotating.interrupt()
            asked = rotating.end()
        with shell.asked("rotate", "--allow-downtime") as rotating:
            rotating.wait_for("Go on?")
            rotating.type("n\n")
            declined = rotating.end()
    for answer in (checking, asked, declined):
        assert answer.code == 130
        assert "nothing was changed" in answer.stdout


def test_ctrl_c_at_any_later_moment_is_6_and_resume_goes_on(plane: Seeded, home: Path, shell: Shell) -> None:
    first, *_ = keys_of(plane)
    # While a restart goes on, which must not be cut off; while a file is placed; while requests run out.
    moments = ((ROTATE, "   cp1: restarting\n"), (RESUME, "== promoting"), (RESUME, "settling: "))
    slow = variant(plane, home, 120)
    with shell.running(*ROTATE) as rotating:
        rotating.wait_for("saving a snapshot")
        rotating.interrupt()
        told(rotating.end(), 6, "no server was touched yet; begin again with the same command")
    for command, moment in moments:
        with shell.running(*command, "--cluster", slow) as rotating:
            rotating.wait_for(moment)
            if moment == "settling: ":
                _second_runs_are_refused(plane, home, shell)
            rotating.interrupt()
            told(
                rotating.end(),
                6,
                "interrupted part-way",
                "this state is safe",
                f"keyctl rotate --cluster {slow} --resume",
            )
        assert plane.changed() == {}
        told(shell.keyctl(*ROTATE), 5, "under way", "keyctl rotate --resume", "[R8]")
    finished = shell.keyctl(*RESUME)
    assert finished.code == 0, finished.stderr
    assert first not in keys_of(plane)
    told(shell.keyctl(*RESUME), 5, "no rotation of this cluster is under way here")


def _second_runs_are_refused(plane: Seeded, home: Path, shell: Shell) -> None:
    here = shell.keyctl(*ROTATE)
    told(here, 5, "another keyctl is changing this cluster's key", "[R8]")
    with untouched(plane.lab, home / "elsewhere"):
        there = shell.keyctl(*ROTATE, XDG_STATE_HOME=str(home / "elsewhere"))
    told(there, 5, "another rotation of this cluster is under way", "keyctl-rotation", "[R8]")


def test_a_server_that_never_loads_the_new_file_is_6_with_both_keys_there(
    plane: Seeded, home: Path, shell: Shell
) -> None:
    before = keys_of(plane)
    stuck = variant(plane, home, 10, restart=["true"])
    told(
        shell.keyctl(*ROTATE, "--cluster", stuck),
        6,
        "cp1 has not loaded the new configuration after",
        "it is ready with another configuration",
        "this state is safe",
    )
    writer, reader, *_ = keys_of(plane)
    assert writer == before[0]
    assert reader not in before
    assert heads_of(plane.lab, "secrets") == {f"k8s:enc:aescbc:v1:{writer}:".encode()}
    finished = shell.keyctl(*RESUME)
    assert finished.code == 0, finished.stderr
    assert keys_of(plane) == [reader]


def test_a_secret_that_a_webhook_refuses_to_update_is_named_and_the_old_key_stays(
    plane: Seeded, home: Path, shell: Shell, tmp_path: Path
) -> None:
    old, *_ = keys_of(plane)
    create_secret(plane.lab, "default", "stubborn", labels={"keep": "as-it-is"})
    with refusing_webhook(plane.lab, tmp_path):
        stopped = shell.keyctl(*ROTATE)
        told(stopped, 6, "1 value could not be rewritten", "default/stubborn: ", "label owner missing", "[R15]")
        assert shell.keyctl("verify-secrets").code == 11
        again = shell.keyctl(*RESUME)
        told(again, 6, "default/stubborn: ")
    assert old in keys_of(plane)
    finished = shell.keyctl(*RESUME)
    assert finished.code == 0, finished.stderr
    assert heads_of(plane.lab, "secrets") == {f"k8s:enc:aescbc:v1:{keys_of(plane)[0]}:".encode()}
