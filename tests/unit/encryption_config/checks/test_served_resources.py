from __future__ import annotations

import pytest

from keyctl.encryption_config.checks.served_resources import unknown_resource

_ASK = "write resource.group as kubectl api-resources prints them"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        pytest.param("secret", "write secrets", id="singular"),
        pytest.param("configmap", "write configmaps", id="singular of another"),
        pytest.param("sercets", "write secrets", id="letters swapped"),
        pytest.param("deployments", "write deployments.apps", id="group left out"),
        pytest.param("deployments.", "write deployments.apps", id="core group by a trailing dot"),
        pytest.param("deployment.apps", "write deployments.apps", id="singular in a group"),
        pytest.param("deployment", "write deployments.apps", id="singular and without group"),
        pytest.param("jobs.apps", "write jobs.batch", id="another built-in group"),
        pytest.param("secrets.v1", "write secrets", id="version taken for a group"),
        pytest.param("secrets.v1.", "write secrets", id="kubectl notation of the core group"),
        pytest.param("deployments.v1.apps", "write deployments.apps", id="kubectl notation of a group"),
        pytest.param("*.v1.apps", "write *.apps", id="version in a wildcard"),
        pytest.param("secrets.core", "write secrets", id="a core group by name"),
        pytest.param("pods/status", "write pods", id="subresource"),
        pytest.param("secrets ", "write secrets", id="space behind"),
        pytest.param("cm", "write configmaps", id="short name"),
        pytest.param("netpol", "write networkpolicies.networking.k8s.io", id="short name with a group"),
        pytest.param("ingress", "write ingresses.networking.k8s.io", id="singular ending in s"),
        pytest.param("networkpolicy.networking.k8s.io", "write networkpolicies.networking.k8s.io", id="ending in y"),
        pytest.param("secrets.apps", "write secrets", id="core resource with a group"),
        pytest.param("*.app", "write *.apps", id="wildcard of a misspelt group"),
        pytest.param("*.foo", _ASK, id="wildcard of no group"),
        pytest.param("widgets.foo", _ASK, id="no group without a dot but the built-in ones"),
        pytest.param("widgets.apps", _ASK, id="no custom resource in a built-in group"),
        pytest.param("widgets.example.com.", _ASK, id="no group ends in a dot"),
        pytest.param("", _ASK, id="null"),
        pytest.param("*.authentication.k8s.io", "delete the line", id="group without anything stored"),
        pytest.param("tokenreviews.authentication.k8s.io", "delete the line", id="a request, not an object"),
        pytest.param("bindings", "delete the line", id="core request"),
        pytest.param("reviews.authorization.k8s.io", _ASK, id="unknown in a group without anything stored"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_the_likely_one(text: str, fix: str) -> None:
    found = unknown_resource(text)
    assert found is not None
    assert found.fix == fix
    assert found.reason


@pytest.mark.parametrize(
    "text",
    [
        "secrets",
        "secrets.",
        "events",
        "deployments.apps",
        "leases.coordination.k8s.io",
        "storageversions.internal.apiserver.k8s.io",
        "resourceclasses.resource.k8s.io",
        "*.",
        "*.*",
        "*.apps",
        "*.networking.k8s.io",
        "pandas.awesome.bears.example",
        "*.example.com",
        "volumesnapshots.snapshot.storage.k8s.io",
        "widgets.v1.example.com",
        "widgets.v1.apps",
    ],
)
def test_what_may_exist_is_not_judged(text: str) -> None:
    assert unknown_resource(text) is None


@pytest.mark.parametrize(
    "text", ["*", "events.events.k8s.io", "deployments.extensions", "*.extensions", "secrets.*", "serviceipallocations"]
)
def test_what_the_server_refuses_is_left_to_the_rules(text: str) -> None:
    assert unknown_resource(text) is None
