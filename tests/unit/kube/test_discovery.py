"""What a server serves, and where."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.kube.discovery import collection_path, is_discovery, object_path, served_resources, split
from keyctl.kube.interface import ObjectRef


def _group(name: str, *versions: tuple[str, dict[str, list[str]]]) -> dict[str, object]:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {"version": version, "resources": [{"resource": r, "verbs": verbs} for r, verbs in resources.items()]}
            for version, resources in versions
        ],
    }


_ALL = ["get", "list", "patch", "watch"]


def test_core_and_grouped_resources_are_keyed_as_in_a_configuration() -> None:
    document = {"items": [_group("", ("v1", {"secrets": _ALL})), _group("apps", ("v1", {"deployments": _ALL}))]}
    assert served_resources(document) == {"secrets": "v1", "deployments.apps": "apps/v1"}


def test_the_first_version_that_has_a_resource_is_the_preferred_one() -> None:
    versions = ("v2", {"new": _ALL}), ("v1", {"new": _ALL, "old": _ALL})
    assert served_resources({"items": [_group("g.io", *versions)]}) == {"new.g.io": "g.io/v2", "old.g.io": "g.io/v1"}


@pytest.mark.parametrize("verbs", [["create"], ["list"], ["patch", "get"]])
def test_what_cannot_be_listed_and_patched_is_left_out(verbs: list[str]) -> None:
    assert served_resources({"items": [_group("", ("v1", {"bindings": verbs}))]}) == {}


def test_a_version_in_which_a_resource_cannot_be_patched_is_passed_over() -> None:
    versions = ("v2", {"things": ["list"]}), ("v1", {"things": _ALL})
    assert served_resources({"items": [_group("g.io", *versions)]}) == {"things.g.io": "g.io/v1"}


def test_the_old_discovery_document_is_not_taken_for_an_empty_one() -> None:
    assert not is_discovery({"kind": "APIGroupList", "groups": []})
    assert is_discovery({"kind": "APIGroupDiscoveryList", "items": []})


def test_only_the_first_dot_parts_a_resource_from_its_group() -> None:
    assert split("widgets.example.com") == ("example.com", "widgets")
    assert split("secrets") == ("", "secrets")


@pytest.mark.parametrize(
    ("ref", "group_version", "path"),
    [
        (ObjectRef("secrets", "ns", "a", "u"), "v1", "/api/v1/namespaces/ns/secrets/a"),
        (ObjectRef("widgets.example.com", None, "w", "u"), "example.com/v1", "/apis/example.com/v1/widgets/w"),
        (ObjectRef("roles.g", "n", "system:x/y", "u"), "g/v1", "/apis/g/v1/namespaces/n/roles/system%3Ax%2Fy"),
    ],
)
def test_paths_of_objects(ref: ObjectRef, group_version: str, path: str) -> None:
    assert object_path(ref, group_version) == path


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_leaves_its_place_in_the_path(namespace: str, name: str) -> None:
    path = object_path(ObjectRef("secrets", namespace, name, "u"), "v1")
    assert [unquote(part) for part in path.split("/")] == ["", "api", "v1", "namespaces", namespace, "secrets", name]
    assert path.isascii()
    assert not set(path) & set(" ?#\r\n")


def test_a_collection_is_of_all_namespaces_unless_one_is_named() -> None:
    assert collection_path("secrets", "v1") == "/api/v1/secrets"
    assert collection_path("secrets", "v1", "ns") == "/api/v1/namespaces/ns/secrets"
