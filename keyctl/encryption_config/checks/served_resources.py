"""The resources that kube-apiserver itself stores, and what is wrong with the name of one that it does not.

kube-apiserver never compares an EncryptionConfiguration's names with what it serves: a wrong one encrypts nothing.
Pure; asks no server. Resources of CustomResourceDefinitions cannot be known here and are never judged. Names that
kube-apiserver refuses (a bare *, capitals, the groups extensions and events.k8s.io) are told by `rules`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from keyctl.encryption_config.effective import ANYTHING, GroupResource

# From discovery of kube-apiserver 1.37.1 with every API version and feature gate on; and, of 1.27 to 1.36, the
# alpha resources that were given up.
_STORED: dict[str, frozenset[str]] = {
    group: frozenset(resources.split())
    for group, resources in {
        "": "configmaps endpoints events limitranges namespaces nodes persistentvolumeclaims persistentvolumes pods "
        "podtemplates replicationcontrollers resourcequotas secrets serviceaccounts services",
        "admissionregistration.k8s.io": "mutatingadmissionpolicies mutatingadmissionpolicybindings "
        "mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings "
        "validatingwebhookconfigurations",
        "apiextensions.k8s.io": "customresourcedefinitions",
        "apiregistration.k8s.io": "apiservices",
        "apps": "controllerrevisions daemonsets deployments replicasets statefulsets",
        "autoscaling": "horizontalpodautoscalers",
        "batch": "cronjobs jobs",
        "certificates.k8s.io": "certificatesigningrequests clustertrustbundles podcertificaterequests",
        "coordination.k8s.io": "leasecandidates leases",
        "discovery.k8s.io": "endpointslices",
        "flowcontrol.apiserver.k8s.io": "flowschemas prioritylevelconfigurations",
        "internal.apiserver.k8s.io": "storageversions",
        "lifecycle.k8s.io": "evictionrequests evictions",
        "networking.k8s.io": "clustercidrs ingressclasses ingresses ipaddresses networkpolicies servicecidrs",
        "node.k8s.io": "runtimeclasses",
        "policy": "poddisruptionbudgets",
        "rbac.authorization.k8s.io": "clusterrolebindings clusterroles rolebindings roles",
        "resource.k8s.io": "deviceclasses devicetaintrules podschedulingcontexts resourceclaimparameters "
        "resourceclaims resourceclaimtemplates resourceclasses resourceclassparameters resourcepoolstatusrequests "
        "resourceslices",
        "scheduling.k8s.io": "compositepodgroups podgroups priorityclasses workloads",
        "storage.k8s.io": "csidrivers csinodes csistoragecapacities storageclasses volumeattachments "
        "volumeattributesclasses",
        "storagemigration.k8s.io": "storageversionmigrations",
    }.items()
}
# Answered by kube-apiserver while it is asked; etcd holds nothing of them.
_NEVER_STORED: dict[str, frozenset[str]] = {
    "": frozenset({"bindings", "componentstatuses"}),
    "authentication.k8s.io": frozenset({"selfsubjectreviews", "tokenreviews"}),
    "authorization.k8s.io": frozenset(
        {"localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"}
    ),
}
_REFUSED_GROUPS = frozenset({"*", "events.k8s.io", "extensions"})
_REFUSED_RESOURCES = frozenset({"*", "apiserveripinfo", "serviceipallocations", "servicenodeportallocations"})

_GROUPS_OF: dict[str, tuple[str, ...]] = {
    resource: tuple(group for group, resources in _STORED.items() if resource in resources)
    for resource in sorted(frozenset().union(*_STORED.values()))
}
# kubectl's short names: people write what they type every day.
_SHORT = {
    "cm": "configmaps",
    "crd": "customresourcedefinitions",
    "crds": "customresourcedefinitions",
    "cj": "cronjobs",
    "csr": "certificatesigningrequests",
    "deploy": "deployments",
    "ds": "daemonsets",
    "ep": "endpoints",
    "ev": "events",
    "hpa": "horizontalpodautoscalers",
    "ing": "ingresses",
    "limits": "limitranges",
    "netpol": "networkpolicies",
    "no": "nodes",
    "ns": "namespaces",
    "pc": "priorityclasses",
    "pdb": "poddisruptionbudgets",
    "po": "pods",
    "pv": "persistentvolumes",
    "pvc": "persistentvolumeclaims",
    "quota": "resourcequotas",
    "rc": "replicationcontrollers",
    "rs": "replicasets",
    "sa": "serviceaccounts",
    "sc": "storageclasses",
    "sts": "statefulsets",
    "svc": "services",
}
# What apiextensions-apiserver demands of a CustomResourceDefinition's group: an RFC 1123 subdomain with a dot in it.
_CUSTOM_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_ASK = "write resource.group as kubectl api-resources prints them"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Why a name stands for nothing that is stored, and what to do about it; `fix` names the likely resource."""

    reason: str
    fix: str


def is_built_in(text: str) -> bool:
    """Whether `text` names what kube-apiserver itself stores, or a wildcard over some of it."""
    name = GroupResource.parse(text)
    if name == ANYTHING:
        return True
    return name.group in _STORED and (name.is_wildcard or name.resource in _STORED[name.group])


def unknown_resource(text: str) -> Suggestion | None:
    """What is wrong with the resource `text` of an EncryptionConfiguration; None when it may exist.

    Wildcards are judged by their group.
    """
    name = GroupResource.parse(text)
    if name.group in _REFUSED_GROUPS or (not name.group and name.resource in _REFUSED_RESOURCES):
        return None
    if name.group in _NEVER_STORED and (name.is_wildcard or name.resource in _NEVER_STORED[name.group]):
        return Suggestion("nothing of it is ever stored", "delete the line")
    if name.group in _STORED:
        if name.is_wildcard or name.resource in _STORED[name.group]:
            return None
        which = f"the group {name.group}" if name.group else "the core group"
        return Suggestion(f"{which} has no such resource", _fix(name))
    group = _without_version(name.group)
    if group is not None and (name.is_wildcard or name.resource in _STORED[group]):
        return Suggestion("a version is no part of the name", f"write {GroupResource(name.resource, group)}")
    if _CUSTOM_GROUP.fullmatch(name.group) and name.group not in _NEVER_STORED:
        return None
    return Suggestion("there is no such group, and custom groups have a dot inside", _fix(name))


def _without_version(group: str) -> str | None:
    """The built-in group behind a version, as in kubectl's notation resource.version.group."""
    version, _, rest = group.partition(".")
    return rest if _VERSION.fullmatch(version) and rest in _STORED else None


def _fix(name: GroupResource) -> str:
    if name.is_wildcard:
        near = difflib.get_close_matches(name.group, [group for group in _STORED if group], n=1)
        return f"write *.{near[0]}" if near else _ASK
    resource = _nearest(name)
    if resource is None:
        return _ASK
    groups = _GROUPS_OF[resource]
    return f"write {GroupResource(resource, name.group if name.group in groups else groups[0])}"


def _nearest(name: GroupResource) -> str | None:
    """The stored resource that `name` most likely means: one of its own group before those of others."""
    # A subresource, such as pods/status, is stored with its resource.
    word = name.resource.partition("/")[0].strip()
    word = _SHORT.get(word, word)
    if word in _GROUPS_OF:
        return word
    for candidates in (_STORED.get(name.group, frozenset()), _GROUPS_OF.keys()):
        near = difflib.get_close_matches(word, sorted(candidates), n=1, cutoff=0.75)
        if near:
            return near[0]
    return None
