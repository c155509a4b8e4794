"""The example cluster file and the page that lists the fields, against the parser: none may drift away from it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyctl.cluster_file.read import load, parse
from keyctl.cluster_file.settings import ClusterSettings, LocalHostSettings, SshHostSettings, StaticPodActivation
from keyctl.errors import UnusableInputError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "keyctl.yaml"
PAGE = ROOT / "docs" / "cluster-file.md"

_CP1 = {"name": "cp1", "url": "https://10.0.0.1:6443", "encryptionConfig": "/enc.yaml"}
_SMALL = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "small", "etcd": {}, "apiServers": [_CP1]}
_BY_COMMAND: dict[str, object] = {"type": "command", "read": ["r"], "write": ["w"]}
_CERTIFICATES: dict[str, object] = {"folder": "/etc/etcd/tls", "restart": {"command": ["restart-it"]}}
# What a section, or one field of it, needs around it before it can stand in a file.
_AROUND: dict[str, dict[str, object]] = {
    "etcd.members[]": {"name": "m1", "endpoint": "https://10.0.0.1:2379"},
    "etcd.overrides[]": {"resources": ["events"], "endpoints": ["https://10.0.0.9:2379"]},
    "apiServers[].host.sudo": {"type": "ssh", "address": "cp1"},
    "etcd.members[].host.sudo": {"type": "ssh", "address": "cp1"},
    **{f"{of}.host.wait": _BY_COMMAND for of in ("apiServers[]", "etcd.members[]")},
    "apiServers[].activation.restart": {"command": ["restart-it"]},
    **{f"{of}.certificates": _CERTIFICATES for of in ("apiServers[]", "etcd.members[]")},
    "keys.auth": {},
    **{f"keys.{field}": {"store": "vault"} for field in ("mount", "timeout")},
    "keys.auth.wrapped": {"method": "approle"},
    "policy.window": {"from": "02:00", "to": "05:00", "timezone": "UTC"},
}
_BESIDE = {"keys.auth": ("keys", {"store": "vault"})}


def documented() -> dict[str, dict[str, str]]:
    """Section → field → its default, as the page's tables say; the section of the file itself is ""."""
    found: dict[str, dict[str, str]] = {}
    sections: list[str] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            sections = re.findall(r"`([^`]+)`", line) or [""]
        elif row := re.match(r"\| `(\w+)` \| (.*?) \| ", line):
            for section in sections:
                found.setdefault(section, {})[row[1]] = row[2]
    return found


DOCUMENTED = documented()
FIELDS = [(section, field, default) for section, fields in DOCUMENTED.items() for field, default in fields.items()]


def section_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The mapping at `path` of `document`, made where it is missing, with what it needs around it."""
    here, gone = document, ""
    for part in path.split(".") if path else ():
        gone = f"{gone}.{part}".lstrip(".")
        if gone in _BESIDE:
            here.update(_BESIDE[gone][1])
        around = copy.deepcopy(_AROUND.get(gone, {}))
        name = part.removesuffix("[]")
        here = here.setdefault(name, [around])[0] if part.endswith("[]") else here.setdefault(name, around)
    return here


def small_file(section: str, field: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A small file that has the section, and the section in it."""
    document = copy.deepcopy(_SMALL)
    part = section_of(document, section)
    part.update(_AROUND.get(f"{section}.{field}", {}))
    return document, part


def settings(document: dict[str, Any]) -> ClusterSettings:
    return parse(yaml.safe_dump(document).encode(), name="keyctl.yaml", directory=Path("/clusters"))


@pytest.mark.parametrize("section", DOCUMENTED)
def test_the_page_lists_exactly_the_fields_that_the_parser_knows(section):
    document, part = small_file(section)
    part["zzz"] = "unknown"
    with pytest.raises(UnusableInputError, match='unknown field "zzz"') as refused:
        settings(document)
    known = refused.value.hints[0].removeprefix("known here: ").split(", ")
    assert sorted(known) == sorted(DOCUMENTED[section])


def test_no_section_of_the_page_is_missing():
    nested = {"etcd", "kubernetes", "keys", "policy", "backups", "etcd.members[]", "etcd.overrides[]", "keys.auth"}
    nested |= {"policy.window", "etcd.members[].certificates"}
    server = {
        "certificates",
        "tls",
        "credentials",
        "identity",
        "host",
        "activation",
        "activation.reload",
        "activation.restart",
    }
    expected = {"", "apiServers[]", "etcd.members[].host", *nested, *(f"apiServers[].{name}" for name in server)}
    assert set(DOCUMENTED) == expected


DEFAULTS = [(section, field, default.strip("`")) for section, field, default in FIELDS if default.startswith("`")]


@pytest.mark.parametrize(("section", "field", "default"), DEFAULTS)
def test_a_documented_default_is_what_leaving_the_field_out_means(section, field, default):
    without, _ = small_file(section, field)
    said, part = small_file(section, field)
    part[field] = yaml.safe_load(default)
    assert settings(said) == settings(without)


REQUIRED = [(section, field) for section, field, default in FIELDS if default == "required"]


@pytest.mark.parametrize(("section", "field"), REQUIRED)
def test_a_required_field_cannot_be_left_out(section, field):
    document, part = small_file(section)
    settings(document)
    del part[field]
    with pytest.raises(UnusableInputError):
        settings(document)


def test_defaults_and_required_fields_were_found_on_the_page():
    assert ("policy", "settle", "60s") in DEFAULTS
    assert ("apiServers[]", "encryptionConfig") in REQUIRED


def test_the_example_describes_three_nodes_with_stacked_etcd():
    example = load(EXAMPLE)
    assert example.distribution == "kubeadm"
    assert [server.name for server in example.api_servers] == ["cp1", "cp2", "cp3"]
    hosts = [server.url.removesuffix(":6443") for server in example.api_servers]
    assert example.etcd.connection.endpoints == tuple(f"{host}:2379" for host in hosts)
    assert [f"https://{server.identity.advertise_address}" for server in example.api_servers] == hosts
    assert [type(server.host) for server in example.api_servers] == [LocalHostSettings, *[SshHostSettings] * 2]
    assert {(server.encryption_config, server.manifest) for server in example.api_servers} == {
        ("/etc/kubernetes/enc/enc.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml")
    }


def test_the_example_over_ssh_needs_nothing_of_this_machine_but_ssh():
    example = load(ROOT / "examples" / "keyctl-ssh.yaml")
    assert [type(server.host) for server in example.api_servers] == [SshHostSettings] * 3
    assert [type(server.activation) for server in example.api_servers] == [StaticPodActivation] * 3
    assert all(server.manifest for server in example.api_servers)


@pytest.mark.parametrize("field", sorted({field for _, field, _ in FIELDS}))
def test_the_example_shows_every_field(field):
    assert re.search(rf"(^|[ #{{]){field}:", EXAMPLE.read_text(), re.MULTILINE)


ALTERNATIVES = [number for number, line in enumerate(EXAMPLE.read_text().splitlines()) if re.match(r" *#[\w-]", line)]


@pytest.mark.parametrize("number", ALTERNATIVES)
def test_every_commented_setting_of_the_example_works_when_it_is_uncommented(number):
    lines = EXAMPLE.read_text().splitlines()
    indent, setting = re.fullmatch(r"( *)#(.*)", lines[number]).groups()  # type: ignore[union-attr]  # ALTERNATIVES
    name = indent + setting.partition(":")[0] + ":"
    for above in range(number - 1, -1, -1):
        if not lines[above].lstrip().startswith("#"):
            # An item of a list comes in addition, another way to write a field instead.
            if not setting.startswith("-") and lines[above].startswith(name):
                lines[above] = ""
            break
    lines[number] = indent + setting
    changed = parse("\n".join(lines).encode(), name="keyctl.yaml", directory=EXAMPLE.parent)
    assert changed != load(EXAMPLE)
