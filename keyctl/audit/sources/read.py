"""One file → what stands in it. The table of formats is here; each format is a file beside this one.

Raises nothing for bad input: a text that may hold something and cannot be read is a fact of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from keyctl.audit.facts import About, Fact, Unread
from keyctl.audit.sources import (
    alert_rules,
    audit_policy,
    embedded,
    encryption_configuration,
    etcd_config,
    kops,
    kubeadm,
    kubespray,
    microk8s,
    operated,
    pods,
    rancher,
    systemd,
    talos,
)
from keyctl.audit.sources.fragments import Fragment
from keyctl.audit.sources.text import Doc, Source, Text
from keyctl.document_text import Problem, UnreadableDocumentError
from keyctl.documents import parse
from keyctl.hosts.pod import field_of, items_of

# What reads a YAML or JSON document. Each says by itself whether the document is one of its own.
DOCUMENT_SOURCES: Mapping[str, Source] = {
    "pods and workloads": pods.read,
    "kubeadm": kubeadm.read,
    "etcd's configuration file": etcd_config.read,
    "audit policies": audit_policy.read,
    "k3s and RKE2": rancher.read,
    "kubespray": kubespray.read,
    "kops": kops.read,
    "Talos": talos.read,
    "managed control planes and OpenShift": operated.read,
    "alert rules": alert_rules.read,
    "texts inside documents": embedded.read,
}

# Without one of these words a text holds nothing of use.
_WORDS = re.compile(
    rb"kube-apiserver|etcd|ETCD_|EncryptionConfig|EncryptionSecret|ClusterConfiguration|Kubeadm|audit\.k8s\.io|kops\.k8s\.io"
    rb"|secrets-encryption|datastore-endpoint|kube_encrypt_secret_data|kube_kubeadm_apiserver_extra_args|cluster-init"
    rb"|listen-client-urls|kind\.x-k8s\.io|#cloud-config|write_files|eksctl\.io|ManagedControlPlane|:eks:|databaseEncryption"
    rb"|container\.cnrm\.cloud|(?i:Microsoft\.ContainerService)|config\.openshift\.io"
)
# By these a text that cannot be parsed looks like one that sets something up, not like one that only speaks of it.
_HINTS: Mapping[About, re.Pattern[bytes]] = {
    About.API_SERVER: re.compile(
        rb"--?(?:encryption-provider-config|etcd-servers|authorization-mode|service-account-issuer)\b|ClusterConfiguration"
        rb"|KubeadmControlPlane|secrets-encryption|kube-apiserver-arg|kube_encrypt_secret_data|boxEncryptionSecret"
        rb"|eksctl\.io/v|kind[\"']?[ \t]*:[ \t]*[\"']?(?:(?:AWS|Azure)ManagedControlPlane|ContainerCluster|APIServer)\b"
    ),
    About.ETCD: re.compile(
        rb"listen-client-urls|client-cert-auth|ETCD_LISTEN|ClusterConfiguration|KubeadmControlPlane|peer-transport-security"
    ),
    About.CONFIGURATION: re.compile(rb"kind[\"']?[ \t]*:[ \t]*[\"']?EncryptionConfig"),
    About.AUDIT_POLICY: re.compile(rb"audit\.k8s\.io"),
    About.ALERT_RULE: re.compile(rb"\b(?:alert|record)[\"']?[ \t]*:(?s:.){1,4000}?\bexpr[\"']?[ \t]*:"),
}
# Texts may hold texts; a cloud-init file in a Secret with a ConfigMap in it is three deep.
_DEEPEST = 4
_ENCODED = re.compile(rb"kind[\"']?[ \t]*:[ \t]*[\"']?Secret\b|binaryData|encoding[\"']?[ \t]*:")
# A condition that a comment hides from YAML: what stands behind it may be left out.
_CONDITION = re.compile(rb"^[^#\n]*#[^\n]*(?:\{%|%\{|\{\{-?[ \t]*(?:if|else|end|range|with)\b)", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"


def hints(content: bytes) -> frozenset[About]:
    """What a text may be about, by its words."""
    return frozenset(about for about, words in _HINTS.items() if words.search(content))


def is_worth_reading(content: bytes) -> bool:
    """Whether anything in it may be of use: most files of a repository are not looked at any further."""
    return _WORDS.search(content) is not None or bool(hints(content)) or _ENCODED.search(content) is not None


def read(text: Text) -> Iterator[Fact | Fragment]:
    """Everything that the text says, with what could not be read of it."""
    text = replace(text, content=text.content.removeprefix(_BOM))
    if b"\0" in text.content[:4]:
        # UTF-16 or UTF-32, of which every second byte or more is nought in what tells.
        about = hints(text.content.replace(b"\0", b""))
        if about:
            yield Unread("it is not UTF-8", about, text.at(1))
    elif microk8s.is_one(text):
        yield from _inner(microk8s.read(text))
    elif systemd.is_unit(text):
        yield from systemd.read_unit(text)
    elif systemd.is_variables(text):
        yield from systemd.read_variables(text)
    elif is_worth_reading(text.content) or rancher.is_placed(text.path):
        documents = text.documents()
        for number, one in enumerate(documents):
            # kube-apiserver reads the first document of its file and passes over the rest, which is worth a finding.
            whole = text if number == 0 else one
            if encryption_configuration.is_one(one):
                yield from _inner(encryption_configuration.read(whole))
            else:
                yield from _document(one, whole)
            about = hints(one.content)
            if about and _CONDITION.search(one.content):
                yield Unread("parts of it are put in or left out later", about, one.at(1))


def _document(text: Text, whole: Text) -> Iterator[Fact | Fragment]:
    try:
        doc = Doc(text, parse(text.content, name=text.name))
    except UnreadableDocumentError as error:
        about = hints(text.content)
        if about and error.problem is not Problem.EMPTY:
            yield Unread(error.message, about, text.at(error.line, error.column))
        return
    if encryption_configuration.is_parsed_one(doc):
        yield from _inner(encryption_configuration.read(whole))
        return
    for one in _items(doc):
        for source in DOCUMENT_SOURCES.values():
            yield from _inner(source(one))


def _items(doc: Doc) -> Iterator[Doc]:
    """The document, or what a list of objects holds, as kubectl prints it."""
    if doc.is_kind("v1", "List", "PodList", "ConfigMapList", "SecretList"):
        yield from (Doc(doc.text, replace(doc.document, root=item)) for item in items_of(field_of(doc.root, "items")))
    else:
        yield doc


def _inner(found: Iterator[Fact | Fragment | Text]) -> Iterator[Fact | Fragment]:
    for one in found:
        if not isinstance(one, Text):
            yield one
        elif one.depth <= _DEEPEST:
            yield from read(one)
