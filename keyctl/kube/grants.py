"""Who may get at every Secret by way of the API: roles and bindings in, grants out. Pure.

Only what RBAC says: other authorizers are not seen here, nor the group system:masters, which may do everything without
a binding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from keyctl.kube import fields
from keyctl.kube.interface import Grant, Power

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLUSTER_ROLES = f"{_RBAC}/clusterroles"
CLUSTER_BINDINGS = f"{_RBAC}/clusterrolebindings"
ROLES = f"{_RBAC}/namespaces/kube-system/roles"
BINDINGS = f"{_RBAC}/namespaces/kube-system/rolebindings"

_KUBE_SYSTEM = "kube-system"
_ANY = "*"
# The resource, its forms with a wildcard beside "*", and the verbs that do it. A watch begins with a list; exec over a
# WebSocket is a get; every verb of nodes/proxy reaches the kubelet, which runs commands in any Pod.
_NEEDS: Mapping[Power, tuple[frozenset[str], frozenset[str]]] = {
    Power.SECRETS: (frozenset({"secrets"}), frozenset({"get", "list", "watch"})),
    Power.EXEC: (frozenset({"pods/exec", "*/exec"}), frozenset({"get", "create"})),
    Power.NODES: (frozenset({"nodes/proxy", "*/proxy"}), frozenset({"get", "create", "update", "patch", "delete"})),
}
_DEFAULTS = ("kubernetes.io/bootstrapping", "rbac-defaults")
# Of these names everybody is, or everybody who has logged in.
_EVERYBODY = ("system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts")


def grants(
    cluster_roles: Sequence[object],
    cluster_bindings: Iterable[object],
    roles: Sequence[object],
    bindings: Iterable[object],
) -> Iterator[Grant]:
    """What the bindings of the whole cluster, and those of kube-system, grant."""
    everywhere = {("ClusterRole", _name(role)): powers(role) for role in cluster_roles}
    here = everywhere | {("Role", _name(role)): powers(role) for role in roles}
    for binding in cluster_bindings:
        yield from _granted(binding, everywhere, f"ClusterRoleBinding {_name(binding)}", frozenset(Power))
    for binding in bindings:
        # A binding in one namespace opens no node, and no other namespace's Secrets.
        yield from _granted(binding, here, f"RoleBinding {_KUBE_SYSTEM}/{_name(binding)}", frozenset({Power.EXEC}))


def powers(role: object) -> frozenset[Power]:
    """What a role allows for all objects, not for some by name."""
    return frozenset(power for rule in fields.items(role, "rules") for power in Power if _allows(rule, power))


def _allows(rule: object, power: Power) -> bool:
    resources, verbs = _NEEDS[power]
    return (
        bool(_said(rule, "apiGroups") & {"", _ANY})
        and bool(_said(rule, "resources") & (resources | {_ANY}))
        and bool(_said(rule, "verbs") & (verbs | {_ANY}))
        and not fields.items(rule, "resourceNames")
    )


def _granted(
    binding: object, roles: Mapping[tuple[str, str], frozenset[Power]], name: str, counting: frozenset[Power]
) -> Iterator[Grant]:
    kind, role = fields.text(binding, "roleRef", "kind"), fields.text(binding, "roleRef", "name")
    made_by_kubernetes = fields.text(fields.find(binding, "metadata", "labels"), _DEFAULTS[0]) == _DEFAULTS[1]
    for power in sorted(roles.get((kind, role), frozenset()) & counting):
        for subject in fields.items(binding, "subjects"):
            yield Grant(power, _subject(subject), name, made_by_kubernetes and _is_kubernetes(subject))


def _is_kubernetes(subject: object) -> bool:
    """Whether it is a part of Kubernetes: anybody may be added to a binding that Kubernetes has made."""
    if fields.text(subject, "kind") == "ServiceAccount":
        return fields.text(subject, "namespace") == _KUBE_SYSTEM
    name = fields.text(subject, "name")
    return name.startswith("system:") and not name.startswith(_EVERYBODY)


def _subject(subject: object) -> str:
    kind, name = fields.text(subject, "kind"), fields.text(subject, "name")
    return f"{kind} {fields.text(subject, 'namespace')}/{name}" if kind == "ServiceAccount" else f"{kind} {name}"


def _said(rule: object, field: str) -> frozenset[str]:
    return frozenset(one for one in fields.items(rule, field) if isinstance(one, str))


def _name(item: object) -> str:
    return fields.text(item, "metadata", "name")
