from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.stored.paths import PathKind, StoredPath, directory_of, parse, prefix_of


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("secrets/default/demo", StoredPath("secrets", "default", "demo", PathKind.BUILT_IN)),
        ("minions/cp1", StoredPath("nodes", None, "cp1", PathKind.BUILT_IN)),
        ("services/specs/default/web", StoredPath("services", "default", "web", PathKind.BUILT_IN)),
        ("services/endpoints/default/web", StoredPath("endpoints", "default", "web", PathKind.BUILT_IN)),
        ("controllers/default/rc", StoredPath("replicationcontrollers", "default", "rc", PathKind.BUILT_IN)),
        ("ingress/default/i", StoredPath("ingresses.networking.k8s.io", "default", "i", PathKind.BUILT_IN)),
        ("deployments/default/d", StoredPath("deployments.apps", "default", "d", PathKind.BUILT_IN)),
        ("leases/kube-system/l", StoredPath("leases.coordination.k8s.io", "kube-system", "l", PathKind.BUILT_IN)),
        (
            "clusterroles/system:node",
            StoredPath("clusterroles.rbac.authorization.k8s.io", None, "system:node", PathKind.BUILT_IN),
        ),
        ("events/default/e", StoredPath("events", "default", "e", PathKind.BUILT_IN)),
        (
            "apiextensions.k8s.io/customresourcedefinitions/w.e.io",
            StoredPath("customresourcedefinitions.apiextensions.k8s.io", None, "w.e.io", PathKind.BUILT_IN),
        ),
        (
            "apiregistration.k8s.io/apiservices/v1.apps",
            StoredPath("apiservices.apiregistration.k8s.io", None, "v1.apps", PathKind.BUILT_IN),
        ),
        ("e.io/widgets/default/w", StoredPath("widgets.e.io", "default", "w", PathKind.CUSTOM)),
        ("e.io/widgets/w", StoredPath("widgets.e.io", None, "w", PathKind.CUSTOM)),
        ("masterleases/10.0.0.1", StoredPath("masterleases", None, "10.0.0.1", PathKind.INFRASTRUCTURE)),
        ("peerserverleases/x", StoredPath("peerserverleases", None, "x", PathKind.INFRASTRUCTURE)),
        ("ranges/serviceips", StoredPath("ranges", None, "serviceips", PathKind.INFRASTRUCTURE)),
        ("health", StoredPath("/", None, "health", PathKind.INFRASTRUCTURE)),
        ("novelties/default/n", StoredPath("novelties", "default", "n", PathKind.UNKNOWN)),
        ("stray", StoredPath("/", None, "stray", PathKind.INFRASTRUCTURE)),
        ("e.io/w", StoredPath("e.io", None, "w", PathKind.UNKNOWN)),
        ("secrets/a/b/c", StoredPath("secrets", "a/b", "c", PathKind.UNKNOWN)),
        ("services/other", StoredPath("services", None, "other", PathKind.UNKNOWN)),
    ],
)
def test_each_path_names_its_resource(key: str, path: StoredPath) -> None:
    assert parse(b"/registry", b"/registry/" + key.encode()) == path


@pytest.mark.parametrize("prefix", [b"/registry", b"/registry/", b"registry"])
def test_the_prefix_may_be_written_as_the_flag_allows(prefix: bytes) -> None:
    assert parse(prefix, b"/registry/secrets/a/b") == StoredPath("secrets", "a", "b", PathKind.BUILT_IN)


@pytest.mark.parametrize("key", [b"/registry-2/secrets/a/b", b"/other", b"compact_rev_key", b""])
def test_a_key_outside_the_prefix_has_no_path(key: bytes) -> None:
    assert parse(b"/registry", key) is None


def test_an_empty_prefix_is_the_root() -> None:
    assert parse(b"", b"/secrets/a/b") == StoredPath("secrets", "a", "b", PathKind.BUILT_IN)


@pytest.mark.parametrize(
    ("resource", "prefix"),
    [
        ("secrets", b"/registry/secrets/"),
        ("nodes", b"/registry/minions/"),
        ("services", b"/registry/services/specs/"),
        ("deployments.apps", b"/registry/deployments/"),
        ("widgets.e.io", b"/registry/e.io/widgets/"),
        ("apiservices.apiregistration.k8s.io", b"/registry/apiregistration.k8s.io/apiservices/"),
    ],
)
def test_a_resource_names_its_directory(resource: str, prefix: bytes) -> None:
    assert prefix_of(b"/registry", resource) == prefix


@given(
    st.sampled_from(["secrets", "nodes", "services", "jobs.batch", "widgets.e.io", "ingresses.networking.k8s.io"]),
    st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
)
def test_a_directory_names_its_resource_back(resource: str, name: str) -> None:
    path = parse(b"/registry", prefix_of(b"/registry", resource) + name.encode())
    assert path is not None
    assert (path.resource, path.name) == (resource, name)


@given(st.binary(), st.binary(), st.binary())
def test_all_keys_of_a_directory_belong_to_one_resource(directory: bytes, one: bytes, other: bytes) -> None:
    shared = b"/registry/" + directory
    first, second = (parse(b"/registry", shared + b"/" + name.replace(b"/", b"")) for name in (one, other))
    assert first is not None
    assert second is not None
    assert (first.resource, first.namespace, first.kind) == (second.resource, second.namespace, second.kind)


@given(st.binary())
def test_no_key_raises(key: bytes) -> None:
    assert parse(b"/registry", b"/registry/" + key) is not None


def test_the_directory_is_all_but_the_last_part() -> None:
    assert directory_of(b"/registry/secrets/a/b") == b"/registry/secrets/a/"
    assert directory_of(b"stray") == b""
