"""Where the server of the key store is: from cluster file and environment, by its name and every address of that."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from keyctl.cli import wiring
from keyctl.kube.servers import HttpApiServer
from keyctl.rotation.world import NetworkPlace, StoreServer
from tests.unit.cli.test_wiring import settings


def store_server(folder: Path, **keys: str) -> StoreServer | None:
    return wiring.rotation_parts(settings(folder, keys=keys)).world.store_server


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[tuple[str, int]]:
    """A resolver that knows one name; what it is asked is collected."""
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append((host, port))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_store_on_a_disk_has_no_server(tmp_path: Path) -> None:
    assert store_server(tmp_path, store="file", directory="keys") is None


@pytest.mark.parametrize(
    ("address", "port"), [("https://vault.example.com:8200", 8200), ("https://vault.example.com", 443)]
)
def test_a_vault_is_told_by_its_name_and_every_address_of_that_and_looked_up_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, port: int
) -> None:
    asked = answering(monkeypatch, "192.0.2.7", "192.0.2.8", "192.0.2.7")
    found = store_server(tmp_path, store="vault", address=address)
    assert found is not None
    assert asked == []
    assert found.locate() == NetworkPlace("vault.example.com", port, ("192.0.2.7", "192.0.2.8"))
    assert asked == [("vault.example.com", port)]
    assert isinstance(found.network, HttpApiServer)


def test_the_address_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "192.0.2.9")
    monkeypatch.setenv("VAULT_ADDR", "https://elsewhere.example.com:8200")
    found = store_server(tmp_path, store="vault")
    assert found is not None
    assert found.locate() == NetworkPlace("elsewhere.example.com", 8200, ("192.0.2.9",))


def test_a_name_that_nobody_knows_has_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    found = store_server(tmp_path, store="vault", address="https://vault.example.com:8200")
    assert found is not None
    assert found.locate() == NetworkPlace("vault.example.com", 8200, ())
