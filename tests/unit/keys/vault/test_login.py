"""A token that somebody gave us and that has ended: another one is looked for, and no other login is made up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from keyctl.errors import UnreachableError
from keyctl.keys.vault.login import Login
from keyctl.keys.vault.settings import VaultAuth, VaultServer
from keyctl.keys.vault.transport import Answer, Transport


class Telling(Transport):
    """A server that knows the tokens in `valid`."""

    def __init__(self) -> None:
        super().__init__(VaultServer("https://vault:8200"))
        self.valid = {"first"}
        self.used = ""

    def use(self, token: str) -> None:
        self.used = token

    def send(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
    ) -> Answer:
        if self.used not in self.valid:
            return Answer(403, ("permission denied",), {})
        return Answer(200, (), {"data": {"ttl": 3600, "renewable": True}})


def test_a_given_token_that_has_ended_is_looked_for_again() -> None:
    given, server = ["first"], Telling()
    login = Login(server, VaultAuth(), given=lambda: given[0], monotonic=lambda: 0.0)
    login.ensure()
    assert login.denied() is None
    server.valid = {"second"}
    assert not login.again()
    assert "does not accept the token" in str(login.denied())
    with pytest.raises(UnreachableError, match="does not accept the token"):
        login.ensure()
    given[0] = "second"
    login.ensure()
    assert server.used == "second"
    assert login.denied() is None
