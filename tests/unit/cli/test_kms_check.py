"""`keyctl kms check` beside a real plugin: every lie is found, and the truth is believed."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyctl.cli.main import cli
from keyctl.errors import ExitCode, KeyctlError, RefusedError, UnreachableError
from keyctl.kms import rules
from tests.support.kms_plugin import FAULTS, Keys, Service, running_plugin, serve

FOUND = {
    "unhealthy": (rules.HEALTH,),
    "hang-encrypt": (rules.HONEST,),
    "hang-decrypt": (rules.HONEST,),
    "lies-ok": (rules.HONEST,),
    "no-decrypt": (rules.HONEST,),
    "other-key-id": (rules.SAME_KEY_ID, rules.HONEST),
    "empty-key-id": (rules.KEY_ID, rules.SAME_KEY_ID),
    "long-key-id": (rules.KEY_ID, rules.SAME_KEY_ID),
    "restless-key-id": (rules.SAME_KEY_ID, rules.STEADY_KEY_ID),
    "two-key-ids": (rules.SAME_KEY_ID, rules.STEADY_KEY_ID),
    "version-v1": (rules.VERSION,),
    "long-ciphertext": (rules.SIZE, rules.HONEST),
    "empty-ciphertext": (rules.SIZE, rules.HONEST),
    "plain-annotation": (rules.SECRET,),
    "bad-annotation": (rules.ANNOTATIONS,),
    "big-annotation": (rules.ANNOTATIONS,),
    "wrong-plaintext": (rules.ROUND_TRIP, rules.ALTERED),
    "unauthenticated": (rules.ALTERED,),
    "slow": (rules.SLOW,),
    "forgets": (),
}
CODES = {"unauthenticated": ExitCode.FINDINGS, "slow": ExitCode.OK, "forgets": ExitCode.OK}


@contextlib.contextmanager
def served(folder: Path, fault: str = "") -> Generator[str]:
    """The endpoint of a plugin in this process."""
    socket = folder / "kms.sock"
    server = serve(socket, Service(Keys(folder / "kms.keys"), fault))
    try:
        yield f"unix://{socket}"
    finally:
        server.stop(None).wait()
        socket.unlink(missing_ok=True)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose name is short enough for a socket."""
    return tmp_path_factory.mktemp("kms")


def check(endpoint: str, *options: str) -> Result:
    return CliRunner().invoke(cli, ["kms", "check", endpoint, "--calls", "3", *options])


def code(result: Result) -> int:
    error = result.exception
    return error.exit_code if isinstance(error, KeyctlError) else result.exit_code


@pytest.mark.parametrize("fault", FOUND)
def test_a_plugin_that_lies_is_found_out(fault: str, folder: Path) -> None:
    with served(folder, fault) as endpoint:
        result = check(endpoint, "--timeout", "0.1" if fault == "slow" else "0.5", "-o", "json")
    report = json.loads(result.stdout)
    failed = [finding["id"] for finding in report["findings"] if finding["status"] == "fail"]
    assert set(failed) == {rule.id for rule in FOUND[fault]}
    assert code(result) == report["exitCode"] == CODES.get(fault, ExitCode.UNUSABLE)
    assert report["usable"] is (fault in CODES)


def test_every_fault_of_the_plugin_is_tried() -> None:
    assert set(FAULTS) == {*FOUND, "hang-status"}


def test_an_honest_plugin_passes(folder: Path) -> None:
    with served(folder) as endpoint:
        result = check(endpoint)
        quiet = check(endpoint, "-q")
    assert code(result) == ExitCode.OK
    assert "USABLE: the plugin keeps the contract of KMS v2" in result.stdout
    assert (code(quiet), quiet.stdout) == (ExitCode.OK, "")


def test_a_plugin_that_hangs_is_not_waited_for_without_end(folder: Path) -> None:
    started = time.monotonic()
    with served(folder, "hang-status") as endpoint:
        result = check(endpoint, "--timeout", "0.3", "--calls", "1000")
        assert time.monotonic() - started < 10
    assert isinstance(result.exception, UnreachableError)
    assert result.exception.cause == "no answer within 0.3 s"


def test_nobody_behind_a_socket_is_exit_4(folder: Path) -> None:
    with served(folder) as endpoint:
        pass
    assert code(check(endpoint)) == ExitCode.UNREACHABLE
    assert code(check("unix:///@keyctl-nobody-is-here")) == ExitCode.UNREACHABLE


def test_a_wrong_endpoint_is_wrong_usage() -> None:
    assert code(check("unix:@kms")) == ExitCode.USAGE


def test_a_value_that_was_kept_opens_until_the_plugin_forgets_its_key(folder: Path) -> None:
    kept = folder / "kept.json"
    with served(folder) as endpoint:
        assert code(check(endpoint, "--keep", str(kept))) == ExitCode.OK
        assert kept.stat().st_mode & 0o777 == 0o600
        before = kept.read_bytes()
        again = check(endpoint, "--keep", str(kept))
        assert isinstance(again.exception, RefusedError)
        assert kept.read_bytes() == before
    Keys(folder / "kms.keys").rotate()
    with served(folder) as endpoint:
        assert code(check(endpoint, "--old", str(kept))) == ExitCode.OK
    with served(folder, "forgets") as endpoint:
        result = check(endpoint, "--old", str(kept), "-o", "json")
    assert code(result) == ExitCode.UNUSABLE
    assert rules.OLD.id in result.stdout


def test_nothing_is_kept_of_a_plugin_that_opens_nothing(folder: Path) -> None:
    with served(folder, "no-decrypt") as endpoint:
        result = check(endpoint, "--keep", str(folder / "kept.json"))
    assert not (folder / "kept.json").exists()
    assert "nothing was kept" in result.stdout


def test_a_file_that_is_no_kept_value_is_exit_3_before_the_plugin_is_asked(folder: Path) -> None:
    (folder / "kept.json").write_text("{}")
    assert code(check("unix:///nowhere.sock", "--old", str(folder / "kept.json"))) == ExitCode.UNUSABLE


def test_an_open_socket_is_exit_20(folder: Path) -> None:
    with served(folder) as endpoint:
        (folder / "kms.sock").chmod(0o666)
        searchable = all(parent.stat().st_mode & 0o001 for parent in (folder / "kms.sock").parents)
        expected = ExitCode.FINDINGS if searchable else ExitCode.OK
        assert code(check(endpoint)) == expected


def test_the_plugin_of_the_tests_rotates_its_key_at_a_signal_and_still_opens_old_values(folder: Path) -> None:
    kept = folder / "kept.json"
    with running_plugin(folder) as plugin:
        first = json.loads(check(plugin.endpoint, "--keep", str(kept), "-o", "json").stdout)
        plugin.rotate()
        deadline = time.monotonic() + 10
        while True:
            second = json.loads(check(plugin.endpoint, "--old", str(kept), "-o", "json").stdout)
            if second["keyId"] != first["keyId"] or time.monotonic() > deadline:
                break
    assert first["keyId"] != second["keyId"]
    assert [f["status"] for f in second["findings"] if f["id"] == rules.OLD.id] == ["pass"]
    assert plugin.process.returncode in (0, -signal.SIGTERM)
