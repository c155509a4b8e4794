"""A pod manifest as nodes: its containers, the words and flags they start with, and what of the host they see.

Reads only; the edits are in `pod_edits`. Pure: nodes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NoReturn

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, refuse

PROGRAM = "kube-apiserver"
CONTROL_PLANE = (PROGRAM, "etcd", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager")

_PROGRAMS = "|".join(CONTROL_PLANE)
# A container's name may go on behind the program's: etcd-events. So may that of an image: kube-apiserver-amd64.
_NAMED_AFTER = re.compile(rf"(?:{_PROGRAMS})(?:[-:@].*)?")
_IN_A_SCRIPT = re.compile(rf"(?:^|[\s/;&|\"'])(?:{_PROGRAMS})(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Word:
    """One word a container is started with: item `index` of its list `field`, "command" or "args"."""

    text: str
    field: str
    index: int
    node: Node


@dataclass(frozen=True, slots=True)
class GivenFlag:
    """A flag as given: `value` is "true" when it stands alone, `words` are the one or two words it takes."""

    name: str
    value: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class HostMount:
    """A place in the container and what of the host stands there: nothing known for an empty `outside`.

    `volume` is the name of its volume; item `index` of the container's mounts says so.
    """

    inside: PurePosixPath
    outside: PurePosixPath
    volume: str | None = field(compare=False)
    index: int = field(compare=False)
    node: Node = field(compare=False, repr=False)


class Pod:
    """One container of a pod manifest, with the pod around it."""

    def __init__(self, document: Document, spec: Mapping, container: Mapping) -> None:
        self.document = document
        self.spec = spec
        self.container = container
        self.name = text_of(field_of(container, "name")) or "a container without a name"

    @property
    def is_api_server(self) -> bool:
        """Whether this is a kube-apiserver by its name, or by the first word of its command."""
        first = next((text_of(item) for item in items_of(field_of(self.container, "command"))), None)
        return self.name == PROGRAM or (first is not None and PurePosixPath(first).name == PROGRAM)

    @property
    def is_control_plane(self) -> bool:
        """Whether this is a program of the control plane, by its name, its image or a word of its command."""
        image = text_of(field_of(self.container, "image")) or ""
        names = (self.name, image.rpartition("/")[2])
        return any(_NAMED_AFTER.fullmatch(name) for name in names) or any(
            _IN_A_SCRIPT.search(word.text) for word in self.words() if not word.text.startswith("-")
        )

    def words(self) -> tuple[Word, ...]:
        """The command and the args. What is no text is left out."""
        return tuple(
            Word(node.text, name, index, node)
            for name in ("command", "args")
            for index, node in enumerate(items_of(field_of(self.container, name)))
            if isinstance(node, Scalar)
        )

    def flags(self) -> tuple[GivenFlag, ...]:
        """The flags as the program reads them.

        Raises `UnusableInputError` when this is a kube-apiserver and its words are not flags of it for certain.
        """
        if self.is_api_server:
            return tuple(_flags(self._arguments(), dashes=("--",)))
        # Programs that read flags as Go's own package does, etcd among them, take one dash for two.
        return tuple(_flags(self.words(), dashes=("--", "-")))

    def mounts(self) -> tuple[HostMount, ...]:
        """What is mounted into the container, in file order."""
        volumes = {
            text_of(field_of(volume, "name")): text_of(field_of(field_of(volume, "hostPath"), "path"))
            for volume in items_of(field_of(self.spec, "volumes"))
        }
        mounts = []
        for index, mount in enumerate(items_of(field_of(self.container, "volumeMounts"))):
            inside, volume = text_of(field_of(mount, "mountPath")), text_of(field_of(mount, "name"))
            source = volumes.get(volume)
            # What `subPathExpr` means depends on the environment, so such a mount hides its place and shows nothing.
            below = text_of(field_of(mount, "subPath")) or ""
            known = source and field_of(mount, "subPathExpr") is None
            if inside:
                outside = _path(f"{source}/{below}") if known else PurePosixPath()
                mounts.append(HostMount(_path(inside), outside, volume, index, mount))
        return tuple(mounts)

    def covering(self, path: PurePosixPath) -> HostMount | None:
        """The mount in which the container sees `path`, whatever of the host it shows there."""
        covering = [mount for mount in self.mounts() if path.is_relative_to(mount.inside)]
        # The innermost mount is the one the container sees.
        return max(covering, key=lambda mount: len(mount.inside.parts), default=None)

    def showing(self, path: PurePosixPath) -> HostMount | None:
        """The mount in which the container sees what is `path` on its host too."""
        mount = self.covering(path)
        return mount if mount is not None and mount.outside / path.relative_to(mount.inside) == path else None

    def _arguments(self) -> list[Word]:
        """What the program is started with, without a wrapper and its own flags before it."""
        for name in ("command", "args"):
            for item in items_of(field_of(self.container, name)):
                if text_of(item) is None:
                    message = "a word of the command that is not text"
                    refuse(self.document.name, item.span, message, hint="put it in quotes")
        words = self.words()
        command = [word for word in words if word.field == "command"]
        programs = (
            index
            for index, word in enumerate(command)
            if PurePosixPath(word.text).name == PROGRAM and not word.text.startswith("-")
        )
        program = next(programs, None)
        if command and program is None:
            refuse(
                self.document.name,
                self.container.span,
                f"the command of the container is not {PROGRAM}",
                cause=f"no word of it is the program {PROGRAM}; flags inside a shell script cannot be read",
                hint=f"start {PROGRAM} as a word of its own",
            )
        return list(words if program is None else words[program + 1 :])


def pods(document: Document) -> tuple[Pod, ...]:
    """Each container of the manifest. Raises `UnusableInputError` when it is not that of a pod."""
    spec = field_of(document.root, "spec")
    containers = [item for item in items_of(field_of(spec, "containers")) if isinstance(item, Mapping)]
    if not isinstance(spec, Mapping) or not containers:
        refuse(
            document.name,
            document.root.span,
            "not the manifest of a pod",
            hint="name the manifest of a static pod, from /etc/kubernetes/manifests",
        )
    return tuple(Pod(document, spec, container) for container in containers)


def api_server(document: Document) -> Pod:
    """The container named kube-apiserver. Raises `UnusableInputError` when there is not exactly one."""
    spec = field_of(document.root, "spec")
    containers = [item for item in items_of(field_of(spec, "containers")) if text_of(field_of(item, "name")) == PROGRAM]
    if not isinstance(spec, Mapping) or len(containers) != 1 or not isinstance(containers[0], Mapping):
        _refuse_no_api_server(document)
    return Pod(document, spec, containers[0])


def field_of(node: Node | None, name: str) -> Node | None:
    """The value of a field; None when it is not there or null."""
    if not isinstance(node, Mapping):
        return None
    found = next((value for key, value in node.items if key.text == name), None)
    return None if isinstance(found, Scalar) and found.kind is Kind.NULL else found


def items_of(node: Node | None) -> tuple[Node, ...]:
    """The items of a list, none of anything else."""
    return node.items if isinstance(node, Sequence) else ()


def text_of(node: Node | None) -> str | None:
    """The text of a string, None of anything else."""
    return node.text if isinstance(node, Scalar) and node.kind is Kind.STRING else None


def _flags(words: Iterable[Word], *, dashes: tuple[str, ...]) -> Iterator[GivenFlag]:
    left = list(words)
    while left and left[0].text != "--":
        word = left.pop(0)
        prefix = next((prefix for prefix in dashes if word.text.startswith(prefix)), None)
        if prefix is None:
            continue
        name, equals, value = word.text.removeprefix(prefix).partition("=")
        name = name.replace("_", "-")
        if equals:
            yield GivenFlag(name, value, (word,))
        elif left and not left[0].text.startswith("-"):
            yield GivenFlag(name, left[0].text, (word, left.pop(0)))
        else:
            yield GivenFlag(name, "true", (word,))


def _path(text: str) -> PurePosixPath:
    return PurePosixPath(re.sub("/+", "/", text))


def _refuse_no_api_server(document: Document) -> NoReturn:
    refuse(
        document.name,
        document.root.span,
        f"not the manifest of a pod with one {PROGRAM} container",
        hint="correct apiServers[].manifest in the cluster file",
    )
