"""What each printed policy permits, and by which parameters; what a server denies: live/test_vault_policies."""

from __future__ import annotations

import re

import pytest

from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace

PLACE = VaultPlace("kv", "clusters/prod")
_PATH = re.compile(r'path "(?P<path>[^"]+)" *\{(?P<body>(?:[^{}]|\{[^{}]*\})*)\}')
_LIST = re.compile(r'"([a-z-]+)"')


def rules(role: Role) -> dict[str, tuple[set[str], str]]:
    """By path: the capabilities, and what is said of parameters, without blanks."""
    found = {}
    for match in _PATH.finditer(policy(role, PLACE)):
        capabilities, _, parameters = match["body"].partition("]")
        found[match["path"]] = (set(_LIST.findall(capabilities)), "".join(parameters.split()))
    return found


def test_a_node_reads_the_newest_rendition_alone_and_nothing_else() -> None:
    found = rules(Role.NODE_READER)
    assert found["kv/data/clusters/prod/current"] == ({"read"}, 'denied_parameters={"version"=[]}')
    assert {path for path, (capabilities, _) in found.items() if {"read", "list"} & capabilities} == {
        "kv/data/clusters/prod/current",
        "auth/token/lookup-self",
    }
    assert found["kv/data/clusters/prod/applied/*"] == ({"create", "update"}, "")
    assert found["kv/metadata/clusters/prod/applied/*"][1] == 'allowed_parameters={"max_versions"=["1"]}'


def test_a_rotator_writes_a_key_once_and_has_no_side_door_to_destroy_it() -> None:
    found = rules(Role.ROTATOR)
    assert found["kv/data/clusters/prod/keys/*"] == ({"create", "read"}, "")
    assert found["kv/metadata/clusters/prod/keys/*"][1] == (
        'allowed_parameters={"custom_metadata"=[]"cas_required"=[true]}'
    )
    for entry in ("current", "applied/*"):
        assert found[f"kv/metadata/clusters/prod/{entry}"][1] == 'allowed_parameters={"max_versions"=["1"]}'


@pytest.mark.parametrize("role", [Role.ROTATOR, Role.NODE_READER, Role.AUDITOR])
def test_nobody_but_the_destroyer_may_erase_anything(role: Role) -> None:
    found = rules(role)
    assert found
    assert not [path for path in found if "/destroy/" in path or "/delete/" in path]
    assert not [path for path, (capabilities, _) in found.items() if {"delete", "sudo", "patch"} & capabilities]


def test_an_auditor_reads_no_key_and_writes_nothing() -> None:
    found = rules(Role.AUDITOR)
    assert {path for path in found if "/data/" in path} == {"kv/data/clusters/prod/ledger"}
    ours = [capabilities for path, (capabilities, _) in found.items() if path.startswith("kv/")]
    assert set().union(*ours) == {"read", "list"}
