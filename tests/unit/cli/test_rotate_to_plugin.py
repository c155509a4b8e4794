"""`keyctl rotate --provider kms`: which flags go together, and what comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from keyctl.cli import changing
from keyctl.cli.changing import Change
from keyctl.cli.main import cli
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import WrongUsageError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish

GOOD = ("--provider", "kms", "--kms-name", "vault", "--kms-endpoint", "unix:///run/kms.sock")


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[Wish]:
    """What was to be begun."""
    seen: list[Wish] = []

    def start(_cluster: Path | None, _change: Change, wish: Wish) -> None:
        seen.append(wish)

    monkeypatch.setattr(changing, "start", start)
    return seen


def test_a_plugin_is_named_by_its_flags(wishes: list[Wish]) -> None:
    result = CliRunner().invoke(cli, ["rotate", *GOOD, "--kms-timeout", "5s", "--resources", "secrets"])
    assert result.exception is None
    plugin = Plugin("vault", "unix:///run/kms.sock", "5s")
    assert wishes == [Wish(Goal.ROTATE, Provider.KMS, ("secrets",), plugin=plugin)]


def test_a_leaked_key_can_give_way_to_a_plugin(wishes: list[Wish]) -> None:
    CliRunner().invoke(cli, ["rotate", *GOOD, "--compromised", "aescbc:key1"])
    (wish,) = wishes
    assert wish.plugin == Plugin("vault", "unix:///run/kms.sock")
    assert wish.compromised == KeyRef(Provider.AESCBC, "key1")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--provider", "kms"), id="no plugin"),
        pytest.param(GOOD[:4], id="no endpoint"),
        pytest.param((*GOOD[:2], *GOOD[4:]), id="no name"),
        pytest.param(GOOD[2:], id="no provider"),
        pytest.param(("--provider", "aescbc", *GOOD[2:]), id="another provider"),
        pytest.param(("--provider", "aescbc", "--kms-timeout", "3s"), id="a timeout alone"),
        pytest.param((*GOOD, "--kms-name", "a:b"), id="a colon"),
        pytest.param((*GOOD, "--kms-endpoint", "/run/kms.sock"), id="no URL"),
        pytest.param((*GOOD, "--kms-timeout", "0s"), id="no time"),
        pytest.param((*GOOD, "--kms-timeout", "soon"), id="no duration"),
        pytest.param((*GOOD, "--if-due"), id="by a timer"),
        pytest.param((*GOOD, "--rename-to", "other"), id="a new name"),
        pytest.param((*GOOD, "--remove-identity"), id="another change"),
        pytest.param((*GOOD, "--resume"), id="a rotation under way"),
    ],
)
def test_flags_that_name_no_plugin_or_do_not_go_together_are_wrong_usage(
    arguments: tuple[str, ...], wishes: list[Wish]
) -> None:
    result = CliRunner().invoke(cli, ["rotate", *arguments])
    assert isinstance(result.exception, WrongUsageError)
    assert wishes == []
