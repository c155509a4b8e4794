"""What is asked of a KV engine, word by word, where a policy goes by the words; the rest: contract/test_key_values."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from keyctl.errors import UnreachableError
from keyctl.keys.vault.client import VaultClient
from keyctl.keys.vault.login import Login
from keyctl.keys.vault.settings import VaultAuth, VaultServer
from keyctl.keys.vault.transport import Answer, Transport

_ENGINE = {"data": {"type": "kv", "options": {"version": "2"}}}


class Asked(Transport):
    """A server that says yes to whatever is asked but what is in `answers`, by the end of its path."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__(VaultServer("https://vault:8200"))
        self.answers = answers
        self.asked: list[tuple[str, str, Mapping[str, object] | None]] = []

    def send(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
    ) -> Answer:
        if path.startswith(("auth/", "sys/")):
            return Answer(200, (), _ENGINE)
        self.asked.append((method, path, body))
        return next((said for end, said in self.answers.items() if path.endswith(end)), Answer(200, (), {}))


def engine(**answers: Answer) -> tuple[VaultClient, Asked]:
    server = Asked(answers)
    login = Login(server, VaultAuth(), given=lambda: "token", monotonic=lambda: 0.0)
    return VaultClient(server, login, mount="kv", namespace=None), server


def test_of_what_is_to_keep_its_newest_version_exactly_that_is_asked_and_as_text() -> None:
    vault, server = engine()
    vault.keep_newest("clusters/prod/current")
    assert server.asked == [("POST", "kv/metadata/clusters/prod/current", {"max_versions": "1"})]


def test_a_list_that_is_denied_is_not_an_empty_one() -> None:
    vault, _ = engine(applied=Answer(403, ("permission denied",), {}))
    with pytest.raises(UnreachableError, match="permits this token not to list: clusters/prod/applied"):
        vault.names("clusters/prod/applied")


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (Answer(404, (), {}), ()),
        (Answer(200, (), {"data": {"keys": ["cp1", "below/", "cp2"]}}), ("cp1", "cp2")),
        (Answer(200, (), {"data": {}}), ()),
    ],
    ids=["absent", "some", "none"],
)
def test_entries_are_listed_without_the_folders_between_them(said: Answer, names: tuple[str, ...]) -> None:
    vault, server = engine(applied=said)
    assert vault.names("clusters/prod/applied") == names
    assert server.asked == [("LIST", "kv/metadata/clusters/prod/applied", None)]
