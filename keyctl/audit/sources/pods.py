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
# They start what stands behind them, or behind their own flags.
_WRAPPERS = frozenset(
    {
        "catatonit",
        "dumb-init",
        "env",
        "go-runner",
        "gosu",
        "ionice",
        "kube-log-runner",
        "nice",
        "su-exec",
        "sudo",
        "tini",
    }
)
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
    name, hidden, first = started
    words = [(word.text, doc.at(word.node)) for word in pod.words()[first:]]
    settings: tuple[Setting, ...] = tuple(flag_settings(words, etcds=name == "etcd"))
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


def _started(pod: Pod) -> tuple[str, str, int] | None:
    """Which program the container starts, why its flags may not all be seen, and behind how many words they stand.

    None when it is none of ours.
    """
    words = [word.text for word in pod.words()]
    for index, word in enumerate(words):
        name = posixpath.basename(word)
        if word.startswith("-") or name not in CONTROL_PLANE:
            continue
        if _is_started(words, index):
            return name, "", index + 1
        if words[index - 1] == "-c":
            return name, "its flags stand in a shell script", index + 1
        if words[index + 1 : index + 2] and words[index + 1].startswith("-"):
            return name, f"whether {words[0]} starts it is not known", index + 1
    for word in words:
        script = _IN_A_SCRIPT.search(word) if len(word.split()) > 1 and not word.startswith("-") else None
        if script:
            return script[1], "its flags stand in a shell script", 0
    if items_of(field_of(pod.container, "command")):
        return None
    # Without a command the image says what is started.
    image = _TAG.sub("", (text_of(field_of(pod.container, "image")) or "").partition("@")[0])
    return next(((name, "", 0) for name in (pod.name, posixpath.basename(image)) if name in CONTROL_PLANE), None)


def _is_started(words: list[str], index: int) -> bool:
    """Whether the word is the program, and not an argument of another one: `kubectl rollout status deployment etcd`."""
    if index == 0 or words[index].startswith("/") or words[index - 1] == "--":
        return True
    return posixpath.basename(words[0]) in _WRAPPERS


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
