"""The search for key bytes over a run of tests: it finds what is planted, in every form and place, and says where."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import leak_watch, transcripts
from tests.support.leak_needles import Needles, is_secret
from tests.support.leak_places import PLACES
from tests.support.leak_search import Place, Searched, search
from tests.support.process_samples import Sampler, Samples

ROOT = Path(__file__).parents[2]


def fresh_key(length: int = 32) -> bytes:
    """A key whose base64 differs between the two alphabets, whatever stands before it."""
    while True:
        key = secrets.token_bytes(length)
        texts = [base64.b64encode(bytes(before) + key)[4:] for before in range(3)]
        if is_secret(key) and all(set(b"+/") & set(text[:-4]) for text in texts):
            return key


def found(content: bytes, *keys: bytes) -> list[tuple[str, int]]:
    return sorted((hit.encoding, hit.offset) for hit in Needles(keys).found_in(memoryview(content)))


def searched(folder: Path, *keys: bytes, places: tuple[Place, ...] = ()) -> Searched:
    return search([folder], Needles(keys), places)


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("before", range(17))
@pytest.mark.parametrize("form", ["raw", "hex", "hex in capitals"])
def test_a_key_is_found_wherever_it_stands(length: int, before: int, form: str) -> None:
    key = fresh_key(length)
    text = {"raw": key, "hex": key.hex().encode(), "hex in capitals": key.hex().upper().encode()}[form]
    assert found(b"\x07" * before + text, key) == [(form, before)]
    assert found(b"\x07" * before + text + b"\x07" * 9, key) == [(form, before)]


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("before", range(12))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_is_found_in_the_middle_of_a_text_that_is_base64(length: int, before: int, encode) -> None:
    key = fresh_key(length)
    ((form, offset),) = found(encode(secrets.token_bytes(before) + key + secrets.token_bytes(5)), key)
    alphabet = "base64" if encode is base64.b64encode else "base64url"
    assert form == (f"{alphabet} after {before % 3} other bytes" if before % 3 else alphabet)
    assert offset == -(-before * 8 // 6)


def test_a_key_is_found_across_the_pieces_that_are_read_at_a_time_and_among_many() -> None:
    keys = [fresh_key() for _ in range(200)]
    content = bytearray((1 << 18) * 3)
    for place in ((1 << 18) - 15, (2 << 18) - 1, (3 << 18) - 32):
        content[place : place + 32] = keys[7]
    assert [offset for _, offset in found(bytes(content), *keys)] == [(1 << 18) - 15, (2 << 18) - 1, (3 << 18) - 32]


def test_half_a_key_and_another_key_are_none() -> None:
    key = fresh_key()
    assert found(key[:31] + secrets.token_bytes(64) + key[1:], key) == []


@pytest.mark.parametrize("key", [bytes(32), b"k" * 16, bytes(range(32)), b"secret is secure", bytes(range(64, 32, -1))])
def test_what_proves_nothing_is_left_out_and_counted(key: bytes) -> None:
    needles = Needles([key, fresh_key()])
    assert (needles.keys, needles.left_out) == (1, 1)
    assert list(needles.found_in(memoryview(key * 3))) == []


def test_every_file_is_searched_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    key = fresh_key()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "journal.jsonl").write_text(json.dumps({"note": key.hex()}))
    (deep / "empty").touch()
    os.mkfifo(deep / "pipe")
    (deep / "link").symlink_to(deep / "journal.jsonl")
    (deep / "second name").hardlink_to(deep / "journal.jsonl")
    result = searched(tmp_path, key)
    (leak,) = result.leaks
    assert (leak.path.parent, leak.encoding, leak.offset) == (deep, "hex", 10)
    assert key.hex() not in f"{leak} {leak!r} {result!r}"
    assert (result.files, result.size, result.unread) == (2, 76, [])
    assert searched(tmp_path / "gone", key).unread != []


def test_holes_are_passed_over_and_what_lies_behind_them_is_found(tmp_path: Path) -> None:
    key, far = fresh_key(), 1 << 40
    with (tmp_path / "sparse.db").open("wb") as file:
        file.seek(far)
        file.write(key)
    began = time.monotonic()
    result = searched(tmp_path, key)
    assert [leak.offset for leak in result.leaks] == [far]
    assert time.monotonic() - began < 10


def test_a_key_may_be_where_it_belongs_and_only_in_that_form_and_file(tmp_path: Path) -> None:
    key = fresh_key()
    text = base64.b64encode(key)
    (tmp_path / "enc.yaml").write_bytes(b"    secret: " + text + b"\n")
    (tmp_path / "aescbc.k.key.json").write_bytes(b'{"material": "' + text + b'"}')
    (tmp_path / "aescbc.k.key.json").chmod(0o600)
    result = searched(tmp_path, key, places=PLACES)
    assert (result.leaks, sum(result.allowed.values())) == ([], 2)
    (tmp_path / "aescbc.k.key.json").chmod(0o644)
    (tmp_path / "report.yaml").write_bytes(b"fingerprint: " + text)
    (tmp_path / "journal.jsonl").write_bytes(b"secret: " + text)
    (tmp_path / "hex.yaml").write_bytes(b"secret: " + key.hex().encode())
    (tmp_path / "1.said").write_bytes(b"secret: " + text)
    (tmp_path / "verify.json").write_bytes(b'{"apiVersion": "keyctl/v1", "secret": "' + text + b'"}')
    leaks = {leak.path.name for leak in searched(tmp_path, key, places=PLACES).leaks}
    assert leaks == {"aescbc.k.key.json", "report.yaml", "journal.jsonl", "hex.yaml", "1.said", "verify.json"}


def test_what_is_planted_in_every_run_is_found_in_every_form(tmp_path: Path) -> None:
    key = leak_watch.plant(tmp_path / "planted")
    assert len({leak.encoding for leak in searched(tmp_path, key).leaks}) == leak_watch.PLANTED_FORMS


def test_a_key_in_the_arguments_or_the_environment_of_a_process_is_noted(tmp_path: Path) -> None:
    argument, variable = fresh_key(), fresh_key()
    samples = Samples(tmp_path / "processes.said")
    environment = os.environ | {"LEAKED": base64.b64encode(variable).decode()}
    with subprocess.Popen([sys.executable, "-c", "input()", argument.hex()], stdin=-1, env=environment) as child:
        samples.look()
        child.communicate(b"\n")
    assert {leak.encoding for leak in searched(tmp_path, argument, variable).leaks} == {"hex", "base64"}


def test_the_sampler_looks_by_itself_until_it_is_stopped(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "processes.said")
    deadline = time.monotonic() + 60
    while not (tmp_path / "processes.said").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sampler.stop()
    with pytest.raises(RuntimeError, match="nobody looked"):
        sampler.stop()


RUN = """
import base64, shutil, subprocess, sys
from pathlib import Path
from datetime import UTC, datetime
from click.testing import CliRunner
import click
from keyctl.keys.generate import generate
from keyctl.keys.key import Provider
from tests.support import leak_watch

CHILD = '''
import sys
from datetime import UTC, datetime
from keyctl.keys.generate import generate
from keyctl.keys.key import Provider
key = generate(Provider.SECRETBOX, now=datetime.now(UTC))
{said}
'''

def made():
    return generate(Provider.AESCBC, now=datetime.now(UTC))

@click.command()
@click.argument("text")
def tell(text):
    click.echo(text)

def test_the_one(tmp_path):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("made()", None),
        ("(tmp_path / 'x.log').write_bytes(b'..' + made().material)", "x.log: a key, raw, at byte 2"),
        (
            "d = tmp_path / 'd'; d.mkdir(); (d / 'x.log').write_bytes(made().material); shutil.rmtree(d); "
            "assert not d.exists()",
            "x.log: a key, raw, at byte 0",
        ),
        (
            "d = tmp_path / 'd'; d.mkdir(); (d / 'x.log').write_bytes(made().material); "
            "subprocess.run([sys.executable, '-c', f'import shutil; shutil.rmtree({str(d)!r})'], check=True); "
            "assert not d.exists()",
            "x.log: a key, raw, at byte 0",
        ),
        ("print(made().material.hex())", "a key, hex, at byte"),
        ("CliRunner().invoke(tell, [made().material.hex().upper()])", "a key, hex in capitals, at byte"),
        ("subprocess.run([sys.executable, '-c', CHILD.format(said='')], check=True)", None),
        (
            "subprocess.run([sys.executable, '-c', CHILD.format(said='print(key.material.hex())')], "
            "check=True, capture_output=True)",
            "a key, hex, at byte",
        ),
    ],
    ids=["clean", "file", "removed", "removed by a child", "printed", "command", "clean child", "child"],
)
def test_a_run_that_leaks_a_key_fails_and_says_where(tmp_path: Path, body: str, told: str | None) -> None:
    code, said = run_of(body, tmp_path)
    leaks = [line for line in said.splitlines() if "LEAK" in line]
    assert (code, bool(leaks)) == ((0, False) if told is None else (1, True)), said
    assert told is None or told in leaks[0]


def test_a_run_of_which_something_was_not_searched_fails(tmp_path: Path) -> None:
    noted = "(Path(__import__('os').environ['RECORDED_KEYS']) / 'unsearched.txt').write_text('a disk: gone')"
    code, said = run_of(noted, tmp_path)
    assert code == 1
    assert "key search: not searched: a disk: gone" in said


def test_a_long_run_in_which_hardly_a_key_was_noted_fails(tmp_path: Path) -> None:
    many = "made()\n\nimport pytest\n\n@pytest.mark.parametrize('number', range(1000))\ndef test_another(number): pass"
    code, said = run_of(many, tmp_path)
    assert code == 1
    assert "1001 tests, and only 2 keys were noted" in said


def run_of(body: str, tmp_path: Path) -> tuple[int, str]:
    """The exit code and the words of a run of tests with `body` in one of them."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "test_it.py").write_text(RUN.replace("{body}", body))
    (inner / "conftest.py").write_text("from tests.conftest import _watched_folder, pytest_configure  # noqa: F401\n")
    (inner / "pytest.ini").write_text("[pytest]\n")
    own = {name: value for name, value in os.environ.items() if name != transcripts.FOLDER}
    modules = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'run'}", str(inner)],
        env=own | {"PYTHONPATH": modules},
        cwd=inner,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert " passed" in ran.stdout, ran.stdout + ran.stderr
    assert "keys in" in ran.stdout
    return ran.returncode, ran.stdout
