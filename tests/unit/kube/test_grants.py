"""Who gets at every Secret by way of the API: what roles and bindings give, and to whom."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube import grants
from keyctl.kube.interface import Grant, Power
from keyctl.kube.servers import HttpApiServer
from tests.support.scripted_api import Reply, Request, reply, scripted_api, status_reply

ALL = frozenset(Power)
READ, EXEC, NODES = frozenset({Power.SECRETS}), frozenset({Power.EXEC}), frozenset({Power.NODES})


def role(name: str, *rules: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(resources: str, verbs: str, groups: str = "", **more: object) -> dict[str, object]:
    return {"apiGroups": groups.split(","), "resources": resources.split(","), "verbs": verbs.split(","), **more}


def binding(name: str, to: str, *subjects: dict[str, str], default: bool = False, kind: str = "ClusterRole") -> object:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"} if default else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "roleRef": {"kind": kind, "name": to},
        "subjects": list(subjects),
    }


def named(kind: str, name: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "name": name, **more}


@pytest.mark.parametrize(
    ("given", "powers"),
    [
        (rule("*", "*", "*"), ALL),
        (rule("secrets", "get"), READ),
        (rule("pods,secrets", "watch", "apps,"), READ),
        (rule("secrets", "list", "*"), READ),
        (rule("secrets", "create,delete"), frozenset()),
        (rule("secrets", "get", "apps"), frozenset()),
        (rule("secrets", "get", resourceNames=["one"]), frozenset()),
        (rule("pods/exec", "create"), EXEC),
        (rule("pods/exec", "get"), EXEC),
        (rule("*/exec", "*"), EXEC),
        (rule("pods", "*"), frozenset()),
        (rule("nodes/proxy", "get"), NODES),
        (rule("*/proxy", "create"), NODES),
        (rule("nodes", "*"), frozenset()),
        ({"nonResourceURLs": ["*"], "verbs": ["*"]}, frozenset()),
        ({"apiGroups": 3, "resources": "secrets", "verbs": None}, frozenset()),
    ],
)
def test_a_rule_gives_what_it_says_for_all_objects(given: dict[str, object], powers: frozenset[Power]) -> None:
    assert grants.powers(role("r", given)) == powers


EVERYTHING = role("admin", rule("*", "*", "*"))
NOTHING = role("view", rule("pods", "get"))


def found(**lists: list[object]) -> set[tuple[Power, str, str, bool]]:
    names = ("cluster_roles", "cluster_bindings", "roles", "bindings")
    return {
        (one.power, one.subject, one.binding, one.default)
        for one in grants.grants(*(lists.get(name, []) for name in names))
    }


def test_a_binding_in_kube_system_gives_only_what_is_in_it() -> None:
    subject = named("User", "ops")
    local = role("exec", rule("pods/exec", "create"), rule("secrets", "get"))
    given = found(
        cluster_roles=[EVERYTHING, NOTHING],
        roles=[local],
        bindings=[binding("a", "admin", subject), binding("b", "exec", subject, kind="Role"), binding("c", "exec")],
    )
    assert given == {
        (Power.EXEC, "User ops", "RoleBinding kube-system/a", False),
        (Power.EXEC, "User ops", "RoleBinding kube-system/b", False),
    }


def test_a_binding_of_the_cluster_takes_no_role_of_a_namespace() -> None:
    local = role("admin", rule("*", "*", "*"))
    assert found(roles=[local], cluster_bindings=[binding("a", "admin", named("User", "x"), kind="Role")]) == set()


@pytest.mark.parametrize(
    ("subject", "default", "own"),
    [
        (named("Group", "system:masters"), True, True),
        (named("ServiceAccount", "job-controller", namespace="kube-system"), True, True),
        (named("Group", "system:masters"), False, False),
        (named("ServiceAccount", "ci", namespace="default"), True, False),
        (named("User", "mallory"), True, False),
        (named("Group", "system:authenticated"), True, False),
        (named("Group", "system:serviceaccounts:default"), True, False),
        (named("User", "system:anonymous"), True, False),
    ],
)
def test_only_what_kubernetes_gave_to_a_part_of_itself_is_its_own(
    subject: dict[str, str], default: bool, own: bool
) -> None:
    given = found(cluster_roles=[EVERYTHING], cluster_bindings=[binding("b", "admin", subject, default=default)])
    assert {one[3] for one in given} == {own}
    assert {one[0] for one in given} == ALL


def _server(tmp_path: Path, answers: dict[str, Reply]) -> tuple[Grant, ...]:
    def answer(asked: Request) -> Reply:
        return answers.get(urlsplit(asked.path).path, reply({"items": []}))

    with scripted_api(tmp_path, answer) as api:
        return HttpApiServer("cp1", api.connect()).grants()


def test_a_server_tells_the_grants_of_its_roles_and_bindings(tmp_path: Path) -> None:
    bound = binding("b", "reader", named("ServiceAccount", "ci", namespace="build"))
    answers = {
        grants.CLUSTER_ROLES: reply({"items": [role("reader", rule("secrets", "list"))]}),
        grants.CLUSTER_BINDINGS: reply({"items": [bound]}),
    }
    expected = Grant(Power.SECRETS, "ServiceAccount build/ci", "ClusterRoleBinding b", default=False)
    assert _server(tmp_path, answers) == (expected,)


@pytest.mark.parametrize("hidden", [grants.CLUSTER_ROLES, grants.CLUSTER_BINDINGS, grants.ROLES, grants.BINDINGS])
def test_what_is_not_shown_to_us_is_not_nobody(tmp_path: Path, hidden: str) -> None:
    with pytest.raises(UnreachableError):
        _server(tmp_path, {hidden: status_reply(403, "Forbidden")})
