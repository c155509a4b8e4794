"""A secret of the file for a name: not read, and shown by nothing that keyctl says."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from keyctl.cli.main import run
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.unread import NAME_IS_KEY
from keyctl.errors import ExitCode, UnusableInputError

KEY = bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b05d27fb9c3164a88e07d2b5194fca3fe")
OTHER = bytes.fromhex("3ab6e1048f5d92c7106be95b2a7df4837c21d80e5496bf63a71f0cd84be9325a")
SECRET = base64.b64encode(KEY).decode()
TEXT = b"Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3P"
RANDOM_16 = KEY[:16]

SPELLED = {
    "as it stands": SECRET,
    "with blanks around": f" {SECRET}\n",
    "in two lines": f"{SECRET[:20]}\n{SECRET[20:]}",
    "without padding": SECRET.rstrip("="),
    "for URLs": base64.urlsafe_b64encode(KEY).decode(),
    "hex": KEY.hex(),
    "capital hex": KEY.hex().upper(),
    "hex of a program": f"0x{KEY.hex()}",
    "hex in pairs": KEY.hex(":"),
    "behind a word": f"key1:{SECRET}",
    "behind a hyphen": f"key-{KEY.hex()}-old",
    "in capitals between hyphens": f"KEY-{KEY.hex().upper()}-OLD",
    "with an equals sign": f"secret={SECRET}",
}


def configuration(name: str, key: bytes, *, second: bytes = OTHER) -> bytes:
    providers = [
        {"aescbc": {"keys": [{"name": "first", "secret": base64.b64encode(key).decode()}]}},
        {"aesgcm": {"keys": [{"name": name, "secret": base64.b64encode(second).decode()}]}},
        {"identity": {}},
    ]
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return json.dumps(head | {"resources": [{"resources": ["secrets"], "providers": providers}]}, indent=1).encode()


@pytest.mark.parametrize("form", SPELLED)
def test_a_key_for_a_name_is_not_read_and_not_repeated(form: str) -> None:
    content = configuration(SPELLED[form], KEY)
    judged = judge(content, name="enc.yaml")
    assert (judged.accepted, judged.decoded) == (None, None)
    (found,) = judged.findings
    assert found.id == NAME_IS_KEY.id
    assert found.message == "resources[0].providers[1].aesgcm.keys[0].name: the name is a key of this file"
    line = content.decode().split("\n")[(found.location.line or 0) - 1]
    assert '"name": ' in line[: found.location.column]
    with pytest.raises(UnusableInputError) as refused:
        decode(content, name="enc.yaml")
    assert refused.value.rule == NAME_IS_KEY.id
    said = repr(judged) + repr(refused.value) + str(refused.value.hints) + str(refused.value.cause)
    assert not any(part in said for part in (SECRET[:8], SECRET[8:16], KEY.hex()[:8], KEY.hex().upper()[:8]))


@pytest.mark.parametrize("key", [TEXT, TEXT[:16]])
def test_the_characters_of_a_key_that_is_text_are_no_name(key: bytes) -> None:
    (found,) = judge(configuration(key.decode(), key), name="enc.yaml").findings
    assert found.id == NAME_IS_KEY.id


def test_the_text_of_a_secret_that_is_refused_is_no_name() -> None:
    content = configuration("hunter2", KEY).replace(base64.b64encode(OTHER), b"hunter2")
    judged = judge(content, name="enc.yaml")
    assert judged.accepted is False
    assert NAME_IS_KEY.id in [one.id for one in judged.findings]


@pytest.mark.parametrize(
    "name",
    [
        "first",
        "secrets",
        "AescbcKey",
        base64.b64encode(bytes(range(16))).decode(),
        SECRET[:20],
        bytes(range(32)).hex(),
        "key-20261121t100000z-ab12",
    ],
)
def test_another_name_is_read(name: str) -> None:
    assert judge(configuration(name, KEY), name="enc.yaml").accepted is True


def test_a_short_refused_secret_in_a_longer_name_says_nothing() -> None:
    content = configuration("my-key", KEY).replace(base64.b64encode(OTHER), b"key")
    assert NAME_IS_KEY.id not in [one.id for one in judge(content, name="enc.yaml").findings]


def test_a_resource_that_is_the_hex_of_a_key_is_told() -> None:
    content = configuration("key1", KEY).replace(b'"secrets"', f'"{KEY.hex()}"'.encode())
    (found,) = judge(content, name="enc.yaml").findings
    assert found.message.startswith("resources[0].resources[0]: ")


@pytest.mark.parametrize("output", [[], ["-o", "json"]])
@pytest.mark.parametrize(
    "command",
    [
        ["validate", "enc.yaml"],
        ["show", "enc.yaml"],
        ["diff", "enc.yaml", "other.yaml"],
        ["diff", "other.yaml", "enc.yaml"],
        ["fix", "enc.yaml"],
    ],
)
def test_no_command_shows_a_resource_that_reads_like_a_key(
    command: list[str],
    output: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "5ce1" * 12
    for file, key in (("enc.yaml", "first"), ("other.yaml", "other")):
        content = configuration("key1", KEY).replace(b'"secrets"', f'"secrets", "{name}", "*.{name}"'.encode())
        Path(file).write_bytes(content.replace(b'"first"', f'"{key}"'.encode()))
    run(["config", *command, *(output if command[0] != "fix" else [])])
    out = "".join(capsys.readouterr())
    assert out
    assert name[:8] not in out


@pytest.mark.parametrize("name", [SECRET, KEY.hex(), base64.b64encode(RANDOM_16 + OTHER[:16]).decode()])
@pytest.mark.parametrize(
    "command",
    [
        ["validate", "enc.yaml"],
        ["validate", "enc.yaml", "-o", "json"],
        ["show", "enc.yaml"],
        ["show", "enc.yaml", "-o", "json"],
        ["explain", "secrets", "--encryption-config", "enc.yaml"],
        ["explain", "secrets", "--encryption-config", "enc.yaml", "-o", "json"],
        ["diff", "enc.yaml", "other.yaml"],
        ["diff", "other.yaml", "enc.yaml", "-o", "json"],
        ["fix", "enc.yaml"],
        ["migrate", "enc.yaml"],
    ],
)
def test_no_command_shows_a_key_that_stands_for_a_name(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("enc.yaml").write_bytes(configuration(name, KEY))
    Path("other.yaml").write_bytes(configuration("key1", KEY))
    code = run(["config", *command])
    out = "".join(capsys.readouterr())
    assert out
    assert not any(name[start : start + 8] in out for start in range(len(name) - 7))
    # Only what is known to be a key of this file keeps keyctl from reading it.
    assert (code == ExitCode.UNUSABLE) is (name in (SECRET, KEY.hex()))


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "secrets", "--encryption-config", "good.yaml", "--key", f"aescbc={SECRET}"],
        ["explain", "secrets", "--encryption-config", "good.yaml", "--key", f"aescbc:{SECRET}"],
        ["fix", "enc.yaml", "--reencode", SECRET],
        ["fix", "enc.yaml", "--generate", SECRET],
    ],
)
def test_a_key_that_was_typed_for_a_name_is_not_repeated(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("enc.yaml").write_bytes(configuration("key1", KEY).replace(base64.b64encode(OTHER), b"-"))
    Path("good.yaml").write_bytes(configuration("key1", KEY))
    run(["config", *command])
    out = "".join(capsys.readouterr())
    assert out
    assert SECRET[8:16] not in out


def test_a_name_that_may_be_a_key_is_in_no_command_that_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = bytes(range(160, 192)).hex()
    Path("enc.yaml").write_bytes(configuration(name, KEY).replace(base64.b64encode(OTHER), b"-"))
    assert run(["config", "fix", "enc.yaml"]) == ExitCode.UNUSABLE
    out = "".join(capsys.readouterr())
    assert "--supply NAME=KEYFILE" in out
    assert name[:8] not in out
