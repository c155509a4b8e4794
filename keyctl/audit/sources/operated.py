"""Managed control planes and OpenShift: objects that order one, and what the providers' command lines print of one.

Whether Secrets are under a key of the owner's is in them; nothing here asks a provider. Fields as in the APIs of
eksctl v1alpha5, Cluster API's providers for AWS and Azure, Config Connector, Amazon EKS DescribeCluster,
google.container.v1.DatabaseEncryption, Microsoft.ContainerService/managedClusters, and config.openshift.io/v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyctl.audit.facts import TEMPLATE, About, Absent
from keyctl.audit.operated import MANAGED, ManagedPlane, OperatorEncryption
from keyctl.audit.sources.text import Doc, Found, fields, path, plain
from keyctl.documents import Node, Scalar
from keyctl.hosts.pod import field_of, items_of
from keyctl.stored.display import display

_SECRETS = "secrets"
_ENCRYPTED = frozenset({"ENCRYPTED", "ALL_OBJECTS_ENCRYPTION_ENABLED"})
_DONE = frozenset({"", "CURRENT_STATE_ENCRYPTED", "CURRENT_STATE_ALL_OBJECTS_ENCRYPTION_ENABLED"})
_OF_EKS = re.compile(r"arn:[^:]+:eks:")
_OF_GKE = re.compile(r"https://container\.googleapis\.com/.*/clusters/[^/]+")
_OF_AKS = "microsoft.containerservice/managedclusters"
_KEYS = {
    "EKS": re.compile(r"arn:[^:]+:kms:.+"),
    "GKE": re.compile(r"projects/.+/cryptoKeys/.+"),
    "AKS": re.compile(r"https://[^/]+/keys/.+"),
}
# What is not to be found in files where somebody else runs the API servers and etcd.
_THEIRS = (About.API_SERVER, About.ETCD, About.PROGRAM, About.CONFIGURATION)


@dataclass(frozen=True, slots=True)
class _Told:
    """What an object says: the key, and whether it is switched on, as they are written; nodes may be None."""

    product: str
    name: Node | None
    key: Node | None
    on: bool = True
    doubt: str = ""


def read(doc: Doc) -> Iterator[Found]:
    """The control plane that the document orders or describes, and each one of a list of descriptions."""
    roots = items_of(doc.root) or (doc.root,)
    for root in roots:
        one = Doc(doc.text, replace(doc.document, root=root))
        # The operator looks at the object of this name and at no other.
        if one.is_kind("config.openshift.io/", "APIServer") and plain(path(root, "metadata", "name")) == "cluster":
            yield _operator(one)
        told = _ordered(one) or _described(one)
        if told is not None:
            yield from _plane(one, told)


def _ordered(doc: Doc) -> _Told | None:
    """Of an object that somebody applies."""
    spec, name = field_of(doc.root, "spec"), path(doc.root, "metadata", "name")
    if doc.is_kind("eksctl.io/", "ClusterConfig"):
        return _Told("EKS", name, _leaf(doc.root, "secretsEncryption", "keyARN"))
    if doc.is_kind("controlplane.cluster.x-k8s.io/", "AWSManagedControlPlane"):
        encryption = field_of(spec, "encryptionConfig")
        later = isinstance(encryption, Scalar) or any(TEMPLATE.search(one) for one in _resources(encryption))
        doubt = "which resources it covers is put in later" if later else ""
        return _Told("EKS", name, _leaf(encryption, "provider"), on=_SECRETS in _resources(encryption), doubt=doubt)
    if doc.is_kind("infrastructure.cluster.x-k8s.io/", "AzureManagedControlPlane"):
        return _azure(spec, name, "keyID")
    if doc.is_kind("container.cnrm.cloud.google.com/", "ContainerCluster"):
        return _google(spec, name)
    return None


def _described(doc: Doc) -> _Told | None:
    """Of what aws eks describe-cluster, gcloud container clusters describe and az aks show print."""
    cluster = field_of(doc.root, "cluster")
    # A cluster that is only registered there (connectorConfig) is run by somebody else.
    own = field_of(cluster, "connectorConfig") is None and field_of(cluster, "resourcesVpcConfig") is not None
    if own and _OF_EKS.match(plain(field_of(cluster, "arn"))):
        configs = items_of(field_of(cluster, "encryptionConfig"))
        config = next((one for one in configs if _SECRETS in _resources(one)), None)
        return _Told("EKS", field_of(cluster, "name"), _leaf(config, "provider", "keyArn"))
    name = field_of(doc.root, "name")
    if _OF_GKE.fullmatch(plain(field_of(doc.root, "selfLink"))):
        return _google(doc.root, name)
    # What lists resources of any type has the fields of its own below "properties", or leaves them out.
    if plain(field_of(doc.root, "type")).lower() == _OF_AKS and _has(doc.root, "agentPoolProfiles", "securityProfile"):
        return _azure(doc.root, name, "keyId")
    return None


def _has(node: Node | None, *names: str) -> bool:
    return any(key.text in names for key, _ in fields(node))


def _resources(encryption: Node | None) -> tuple[str, ...]:
    return tuple(plain(one) for one in items_of(field_of(encryption, "resources")))


def _leaf(node: Node | None, *names: str) -> Node | None:
    """The value of a field of a field; a scalar on the way is what stands in its place: a template, mostly."""
    for name in names:
        if isinstance(node, Scalar):
            return node
        node = field_of(node, name)
    return node


def _azure(node: Node | None, name: Node | None, key: str) -> _Told:
    kms = "securityProfile", "azureKeyVaultKms"
    enabled = plain(_leaf(node, *kms, "enabled"))
    doubt = "whether it is enabled is put in later" if TEMPLATE.search(enabled) else ""
    return _Told("AKS", name, _leaf(node, *kms, key), on=enabled.lower() == "true", doubt=doubt)


def _google(node: Node | None, name: Node | None) -> _Told:
    state, current, key = (_leaf(node, "databaseEncryption", one) for one in ("state", "currentState", "keyName"))
    on, doubt = plain(state) in _ENCRYPTED, ""
    if TEMPLATE.search(plain(state)):
        doubt = "the state is put in later"
    elif on and plain(current) not in _DONE:
        doubt = f"the provider says {display(plain(current))}"
    return _Told("GKE", name, key, on=on, doubt=doubt)


def _plane(doc: Doc, told: _Told) -> Iterator[Found]:
    key = plain(told.key)
    doubt = told.doubt or ("the key is put in later" if TEMPLATE.search(key) else "")
    given = key or (told.key is not None and not isinstance(told.key, Scalar))
    if not doubt and given and told.on and not _KEYS[told.product].fullmatch(key):
        doubt = "what stands in its place names no key there"
    at = doc.at(told.key if told.key is not None else doc.root)
    name = plain(told.name) or told.product
    yield ManagedPlane(told.product, name, key if told.on else "", at, doubt)
    for about in _THEIRS:
        yield Absent(about, MANAGED, f"{told.product} runs the control plane of {name}", at)


def _operator(doc: Doc) -> OperatorEncryption:
    node = _leaf(doc.root, "spec", "encryption", "type")
    doubt = "the type is put in later" if TEMPLATE.search(plain(node)) else ""
    if plain(node) == "KMS" and path(doc.root, "spec", "encryption", "kms") is None:
        doubt = "type KMS without a kms"
    return OperatorEncryption(plain(node), doc.at(node if node is not None else doc.root), doubt)
