"""kubespray's group_vars: whether Secrets are encrypted, and extra arguments. The inventory may say more elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.facts import About, Program, Setting
from keyctl.audit.sources.kubeadm import extra_args
from keyctl.audit.sources.text import Doc, Found, plain
from keyctl.findings import Evidence
from keyctl.hosts.pod import field_of

_SWITCH = "kube_encrypt_secret_data"
_ARGUMENTS = "kube_kubeadm_apiserver_extra_args"
_TRUE = frozenset({"true", "yes", "on", "y", "1"})


def read(doc: Doc) -> Iterator[Found]:
    """The API server that the variables describe."""
    switch, arguments = field_of(doc.root, _SWITCH), field_of(doc.root, _ARGUMENTS)
    if switch is None and arguments is None:
        return
    settings: tuple[Setting, ...] = ()
    if switch is not None:
        value = plain(switch)
        on = "/etc/kubernetes/ssl/secrets_encryption.yaml" if value.lower() in _TRUE else value if "{{" in value else ""
        settings = (Setting("encryption-provider-config", on, doc.at(switch), _SWITCH, Evidence.E0),)
    hidden = "kubespray's defaults and other variables may give it"
    place = switch if switch is not None else arguments
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        doc.at(place if place is not None else doc.root),
        (*settings, *extra_args(doc, arguments)),
        hidden=hidden,
    )
