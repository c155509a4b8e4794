"""Pods, and what makes pods: the programs of the control plane with the flags in command and args of each container."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from keyctl.audit.facts import About, Mount, Program, Setting
from keyctl.audit.sources.flags import environment_settings, flag_settings
from keyctl.audit.sources.text import Doc, Found, path, plain
from keyctl.documents import Mapping
from keyctl.findings import Location
from keyctl.hosts.pod import CONTROL_PLANE, Pod, field_of, items_of, text_of

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
_PROGRAMS = "|".join(CONTROL_PLANE)
_IN_A_SCRIPT = re.compile(rf"(?:^|[\s/;&|\"'])({_PROGRAMS})(?=\s|$)")
_TAG = re.compile(r":v?([0-9]+\.[0-9]+\.[0-9]+[^@]*)(?:@.*)?$")
_KINDS = {"kube-apiserver": About.API_SERVER, "etcd": About.ETCD}


def read(doc: Doc) -> Iterator[Found]:
    """The programs of the control plane among the containers of a pod or of a workload."""
    if doc.is_kind("v1", "Pod"):
        spec = field_of(doc.root, "spec")
    elif doc.is_kind("", *_WORKLOADS):
        spec = path(doc.root, "spec", "template", "spec")
    else:
        return
    if isinstance(spec, Mapping):
        for container in items_of(field_of(spec, "containers")):
            if isinstance(container, Mapping):
                yield from _program(doc, Pod(doc.document, spec, container))


def _program(doc: Doc, pod: Pod) -> Iterator[Program]:
    started = _started(pod)
    if started is None:
        return
    name, hidden = started
    words = [(word.text, doc.at(word.node)) for word in pod.words()]
    settings: tuple[Setting, ...] = tuple(flag_settings(words))
    if name == "etcd":
        settings = (*environment_settings(_environment(doc, pod)), *settings)
        if items_of(field_of(pod.container, "envFrom")):
            hidden = hidden or "its environment comes from somewhere else (envFrom)"
    tag = _TAG.search(text_of(field_of(pod.container, "image")) or "")
    yield Program(
        _KINDS.get(name, About.PROGRAM),
        name,
        doc.at(pod.container),
        settings,
        hidden=hidden,
        version=tag[1] if tag else "",
        mounts=tuple(_mounts(doc, pod)),
    )


def _started(pod: Pod) -> tuple[str, str] | None:
    """Which program the container starts, and why its flags may not all be seen; None when it is none of ours."""
    words = [word.text for word in pod.words()]
    for word in words:
        if not word.startswith("-") and posixpath.basename(word) in CONTROL_PLANE:
            return posixpath.basename(word), ""
    for word in words:
        script = _IN_A_SCRIPT.search(word) if not word.startswith("-") else None
        if script:
            return script[1], "its flags stand in a shell script"
    if items_of(field_of(pod.container, "command")):
        return None
    # Without a command the image says what is started.
    image = _TAG.sub("", (text_of(field_of(pod.container, "image")) or "").partition("@")[0])
    return next(((name, "") for name in (pod.name, posixpath.basename(image)) if name in CONTROL_PLANE), None)


def _environment(doc: Doc, pod: Pod) -> Iterator[tuple[str, str, Location]]:
    for variable in items_of(field_of(pod.container, "env")):
        name, value = plain(field_of(variable, "name")), field_of(variable, "value")
        # What comes from a Secret or a field of the pod is put in later.
        text = plain(value) if value is not None or field_of(variable, "valueFrom") is None else "$(valueFrom)"
        yield name, text, doc.at(value if value is not None else variable)


def _mounts(doc: Doc, pod: Pod) -> Iterator[Mount]:
    for mount in pod.mounts():
        outside = str(mount.outside) if mount.outside.parts else ""
        read_only = plain(field_of(mount.node, "readOnly")) == "true"
        yield Mount(str(mount.inside), outside, read_only, doc.at(mount.node))
