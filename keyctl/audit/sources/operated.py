"""Managed control planes and OpenShift: objects that order one, and what the providers' command lines print of one.

Whether Secrets are under a key of the owner's is in them; nothing here asks a provider. Fields as in the APIs of
eksctl v1alpha5, Cluster API's providers for AWS and Azure, Config Connector, Amazon EKS DescribeCluster,
google.container.v1.DatabaseEncryption, Microsoft.ContainerService/managedClusters, and config.openshift.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyctl.audit.facts import TEMPLATE, About, Absent
from keyctl.audit.operated import MANAGED, ManagedPlane, OperatorEncryption
from keyctl.audit.sources.text import Doc, Found, path, plain
from keyctl.documents import Node
from keyctl.hosts.pod import field_of, items_of

_SECRETS = "secrets"
_ENCRYPTED = frozenset({"ENCRYPTED", "ALL_OBJECTS_ENCRYPTION_ENABLED"})
_DONE = frozenset({"", "CURRENT_STATE_ENCRYPTED", "CURRENT_STATE_ALL_OBJECTS_ENCRYPTION_ENABLED"})
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
        if one.is_kind("config.openshift.io/", "APIServer"):
            yield _operator(one)
        told = _ordered(one) or _described(one)
        if told is not None:
            yield from _plane(one, told)


def _ordered(doc: Doc) -> _Told | None:
    """Of an object that somebody applies."""
    spec, name = field_of(doc.root, "spec"), path(doc.root, "metadata", "name")
    if doc.is_kind("eksctl.io/", "ClusterConfig"):
        return _Told("EKS", name, path(doc.root, "secretsEncryption", "keyARN"))
    if doc.is_kind("controlplane.cluster.x-k8s.io/", "AWSManagedControlPlane"):
        encryption = field_of(spec, "encryptionConfig")
        return _Told("EKS", name, field_of(encryption, "provider"), on=_covers_secrets(encryption))
    if doc.is_kind("infrastructure.cluster.x-k8s.io/", "AzureManagedControlPlane"):
        return _azure(spec, name, "keyID")
    if doc.is_kind("container.cnrm.cloud.google.com/", "ContainerCluster"):
        return _google(spec, name)
    return None


def _described(doc: Doc) -> _Told | None:
    """Of what aws eks describe-cluster, gcloud container clusters describe and az aks show print."""
    cluster = field_of(doc.root, "cluster")
    if ":eks:" in plain(field_of(cluster, "arn")):
        configs = items_of(field_of(cluster, "encryptionConfig"))
        config = next((one for one in configs if _covers_secrets(one)), None)
        return _Told("EKS", field_of(cluster, "name"), path(config, "provider", "keyArn"))
    name = field_of(doc.root, "name")
    if "container.googleapis.com" in plain(field_of(doc.root, "selfLink")):
        return _google(doc.root, name)
    if plain(field_of(doc.root, "type")).lower() == "microsoft.containerservice/managedclusters":
        return _azure(doc.root, name, "keyId")
    return None


def _covers_secrets(encryption: Node | None) -> bool:
    return any(plain(one) == _SECRETS for one in items_of(field_of(encryption, "resources")))


def _azure(node: Node | None, name: Node | None, key: str) -> _Told:
    kms = path(node, "securityProfile", "azureKeyVaultKms")
    enabled = plain(field_of(kms, "enabled"))
    doubt = "whether it is enabled is put in later" if TEMPLATE.search(enabled) else ""
    return _Told("AKS", name, field_of(kms, key), on=enabled == "true", doubt=doubt)


def _google(node: Node | None, name: Node | None) -> _Told:
    encryption = field_of(node, "databaseEncryption")
    state, current = plain(field_of(encryption, "state")), plain(field_of(encryption, "currentState"))
    on, doubt = state in _ENCRYPTED, ""
    if TEMPLATE.search(state):
        doubt = "the state is put in later"
    elif on and current not in _DONE:
        doubt = f"the provider says {current}"
    return _Told("GKE", name, field_of(encryption, "keyName"), on=on, doubt=doubt)


def _plane(doc: Doc, told: _Told) -> Iterator[Found]:
    key = plain(told.key)
    doubt = told.doubt or ("the key is put in later" if TEMPLATE.search(key) else "")
    at = doc.at(told.key if told.key is not None else doc.root)
    name = plain(told.name) or told.product
    yield ManagedPlane(told.product, name, key if told.on else "", at, doubt)
    for about in _THEIRS:
        yield Absent(about, MANAGED, f"{told.product} runs the control plane of {name}", at)


def _operator(doc: Doc) -> OperatorEncryption:
    node = path(doc.root, "spec", "encryption", "type")
    doubt = "the type is put in later" if TEMPLATE.search(plain(node)) else ""
    return OperatorEncryption(plain(node), doc.at(node if node is not None else doc.root), doubt)
