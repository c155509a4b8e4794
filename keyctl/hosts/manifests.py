"""The static pod manifest of a kube-apiserver: its flags, what of the host it sees, and the edit that adds encryption.

Pure: text in, values or text out. Edits are splices, so comments and layout stay as they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, parse, refuse, splice
from keyctl.errors import RefusedError

_PROGRAM = "kube-apiserver"
_CONFIG_FLAG = "encryption-provider-config"
_RELOAD_FLAG = "encryption-provider-config-automatic-reload"
_VOLUME = "keyctl-encryption"
_PLAIN_TEXT = re.compile(r"[A-Za-z/-][A-Za-z0-9/._=-]*")
# strconv.ParseBool, which pflag uses.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


_GO_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Mount(Enum):
    """How a path of the host comes into the container: a rename is seen through a directory only."""

    DIRECTORY = "directory"
    SINGLE_FILE = "single-file"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of a kube-apiserver as (name, value), in the order given; of one given twice the last counts."""

    given: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The value of `--name`, or None; "true" for a flag that stands alone."""
        return dict(self.given).get(name)

    @property
    def encryption_provider_config(self) -> str | None:
        """Where the server reads its encryption configuration."""
        return self.get(_CONFIG_FLAG) or None

    @property
    def automatic_reload(self) -> bool:
        """Whether the server loads a changed encryption configuration by itself."""
        return self.get(_RELOAD_FLAG) in _TRUE

    @property
    def etcd_servers(self) -> tuple[str, ...]:
        """The main etcd's endpoints. A list flag given twice is added up, as pflag does."""
        return tuple(url for value in self._all("etcd-servers") for url in value.split(",") if url)

    @property
    def etcd_servers_overrides(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Resources kept in another etcd, as "resource" or "resource.group", with its endpoints."""
        entries = [entry for value in self._all("etcd-servers-overrides") for entry in value.split(",") if entry]
        return tuple(_override(entry) for entry in entries)

    @property
    def overridden_resources(self) -> tuple[str, ...]:
        """The resources of `etcd_servers_overrides`."""
        return tuple(resource for resource, _ in self.etcd_servers_overrides)

    @property
    def etcd_prefix(self) -> str | None:
        """The storage prefix as given, or None."""
        return self.get("etcd-prefix")

    @property
    def request_timeout(self) -> str | None:
        """How long a request may take, as Go writes durations, or None."""
        return self.get("request-timeout")

    def _all(self, name: str) -> list[str]:
        return [value for given, value in self.given if given == name]


def go_seconds(duration: str) -> float | None:
    """A duration as Go writes it ("1m0s", "1.5h", "300ms") in seconds; None for anything else."""
    parts = _GO_DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts)


def read_flags(content: bytes, *, name: str) -> Flags:
    """The flags in the command and args of the kube-apiserver container of the manifest `name`.

    Raises `UnusableInputError` when the manifest is no pod with such a container.
    """
    return _Pod(parse(content, name=name)).flags()


def mount_of(content: bytes, path: str, *, name: str = "the manifest") -> Mount:
    """How the container sees `path`, which is the same path on its host.

    `NONE` also when something else of the host stands at that path in the container.
    """
    return _Pod(parse(content, name=name)).mount_of(PurePosixPath(path))


def add_encryption_flag(content: bytes, *, config_path: str, reload: bool, name: str) -> bytes:
    """The manifest with the encryption flag, the reload flag when wanted, and a mount of the file's directory.

    What is there already is left as it is, so doing it twice is doing it once. Raises `RefusedError` when a flag
    is there with another value or the directory is taken by another mount.
    """
    document = parse(content, name=name)
    pod = _Pod(document)
    if not document.plain:
        refuse(name, document.root.span, "keyctl does not edit YAML with anchors or tags", hint="write the values out")
    edits = pod.flag_edits({_CONFIG_FLAG: config_path} | ({_RELOAD_FLAG: "true"} if reload else {}))
    if pod.mount_of(PurePosixPath(config_path)) is Mount.NONE:
        edits += pod.mount_edits(PurePosixPath(config_path))
    edited = splice(document.text, edits).encode()
    _check(_Pod(parse(edited, name=name)), pod, config_path, reload=reload)
    return edited


def _check(after: _Pod, before: _Pod, config_path: str, *, reload: bool) -> None:
    flags = after.flags()
    kept = tuple(flag for flag in flags.given if flag in before.flags().given)
    if (
        kept != before.flags().given
        or flags.encryption_provider_config != config_path
        or (reload and not flags.automatic_reload)
        or after.mount_of(PurePosixPath(config_path)) is Mount.NONE
        or not set(before.mounts()) <= set(after.mounts())
    ):
        raise RuntimeError("the edited manifest does not say what it was to say")


@dataclass(frozen=True, slots=True)
class _HostMount:
    """A place in the container and what of the host stands there."""

    inside: PurePosixPath
    outside: PurePosixPath


class _Pod:
    """The parts of a pod manifest that matter here, as nodes."""

    def __init__(self, document: Document) -> None:
        self._document = document
        spec = _field(document.root, "spec")
        containers = [item for item in _items(_field(spec, "containers")) if _text(_field(item, "name")) == _PROGRAM]
        if not isinstance(spec, Mapping) or len(containers) != 1 or not isinstance(containers[0], Mapping):
            refuse(
                document.name,
                document.root.span,
                f"not the manifest of a pod with one {_PROGRAM} container",
                hint="correct apiServers[].manifest in the cluster file",
            )
        self._spec = spec
        self._container = containers[0]

    def flags(self) -> Flags:
        words = self._arguments()
        given: list[tuple[str, str]] = []
        index = 0
        while index < len(words) and words[index] != "--":
            name, equals, value = words[index].partition("=")
            index += 1
            if not name.startswith("--"):
                continue
            if not equals and index < len(words) and not words[index].startswith("-"):
                value, index = words[index], index + 1
            elif not equals:
                value = "true"
            given.append((name.removeprefix("--").replace("_", "-"), value))
        return Flags(tuple(given))

    def _arguments(self) -> list[str]:
        """What the program is started with, without a wrapper and its own flags before it."""
        command, args = (
            [self._word(item) for item in _items(_field(self._container, name))] for name in ("command", "args")
        )
        programs = [
            index
            for index, word in enumerate(command)
            if PurePosixPath(word).name == _PROGRAM and not word.startswith("-")
        ]
        if command and not programs:
            refuse(
                self._document.name,
                self._container.span,
                f"the command of the container is not {_PROGRAM}",
                cause=f"no word of it is the program {_PROGRAM}; flags inside a shell script cannot be read",
                hint=f"start {_PROGRAM} as a word of its own",
            )
        return [*command[programs[0] + 1 :], *args] if command else args

    def mounts(self) -> tuple[_HostMount, ...]:
        volumes = {
            _text(_field(volume, "name")): _text(_field(_field(volume, "hostPath"), "path"))
            for volume in _items(_field(self._spec, "volumes"))
        }
        mounts = []
        for mount in _items(_field(self._container, "volumeMounts")):
            inside, source = _text(_field(mount, "mountPath")), volumes.get(_text(_field(mount, "name")))
            # What `subPathExpr` means depends on the environment, so such a mount hides its place and shows nothing.
            below = _text(_field(mount, "subPath")) or ""
            known = source and _field(mount, "subPathExpr") is None
            if inside:
                mounts.append(_HostMount(_path(inside), _path(f"{source}/{below}") if known else PurePosixPath()))
        return tuple(mounts)

    def mount_of(self, path: PurePosixPath) -> Mount:
        covering = [mount for mount in self.mounts() if path.is_relative_to(mount.inside)]
        if not covering:
            return Mount.NONE
        # The innermost mount is the one the container sees.
        mount = max(covering, key=lambda mount: len(mount.inside.parts))
        if mount.outside / path.relative_to(mount.inside) != path:
            return Mount.NONE
        return Mount.SINGLE_FILE if mount.inside == path else Mount.DIRECTORY

    def flag_edits(self, wanted: dict[str, str]) -> list[tuple[int, int, str]]:
        """Insertions behind the last word of the command line for the flags of `wanted` that are not there."""
        flags = self.flags()
        for flag, value in wanted.items():
            given = flags.get(flag)
            if given is not None and given != value and not (value == "true" and given in _TRUE):
                raise RefusedError(
                    f"{self._document.name} has the flag --{flag} with another value",
                    hint=f"set --{flag}={value} in it, or correct the cluster file",
                )
        missing = [f"--{flag}={value}" for flag, value in wanted.items() if flags.get(flag) is None]
        lists = [_field(self._container, name) for name in ("args", "command")]
        words = next((node for node in lists if isinstance(node, Sequence) and node.items), None)
        if words is None:
            refuse(
                self._document.name,
                self._container.span,
                f"the {_PROGRAM} container has no command",
                hint="the manifest must name the command: an image's own one cannot be given flags",
            )
        return [self._append(words, _quoted(word), _json(word)) for word in missing]

    def mount_edits(self, file: PurePosixPath) -> list[tuple[int, int, str]]:
        """Insertions that mount the directory of `file` at its own path."""
        directory = file.parent
        taken = [mount.inside for mount in self.mounts() if mount.inside in (directory, file)]
        if taken or directory == PurePosixPath("/"):
            raise RefusedError(
                f"{self._document.name}: the directory {directory} cannot be mounted into the container",
                cause=f"something else is mounted at {taken[0]}" if taken else "it is the root of the file system",
                hint="choose an encryptionConfig in a directory of its own",
            )
        name = self._free_volume_name()
        path, quoted = str(directory), _quoted(str(directory))
        return [
            self._add(
                self._container,
                "volumeMounts",
                (f"mountPath: {quoted}", f"name: {name}", "readOnly: true"),
                {"mountPath": path, "name": name, "readOnly": True},
            ),
            self._add(
                self._spec,
                "volumes",
                ("hostPath:", f"  path: {quoted}", "  type: DirectoryOrCreate", f"name: {name}"),
                {"hostPath": {"path": path, "type": "DirectoryOrCreate"}, "name": name},
            ),
        ]

    def _free_volume_name(self) -> str:
        taken = {_text(_field(volume, "name")) for volume in _items(_field(self._spec, "volumes"))}
        number = 1
        while (name := _VOLUME if number == 1 else f"{_VOLUME}-{number}") in taken:
            number += 1
        return name

    def _add(
        self, parent: Mapping, field: str, block: tuple[str, ...], flow: dict[str, object]
    ) -> tuple[int, int, str]:
        """The insertion of one more item into the list `field` of `parent`, which may not be there yet."""
        node = _field(parent, field)
        if isinstance(node, Sequence) and (node.items or node.flow):
            return self._append(node, "\n".join(block), _json(flow))
        if any(key.text == field for key, _ in parent.items):
            refuse(self._document.name, parent.span, f"{field} is empty or no list", hint=f"delete the field {field}")
        if parent.flow:
            return parent.items[-1][1].span.end, parent.items[-1][1].span.end, f", {_json(field)}: [{_json(flow)}]"
        indent = " " * (parent.span.column - 1)
        item = "\n".join(f"{indent}{'- ' if not index else '  '}{line}" for index, line in enumerate(block))
        return self._after(parent, f"{indent}{field}:\n{item}")

    def _append(self, node: Sequence, block: str, flow: str) -> tuple[int, int, str]:
        if node.flow:
            end = node.items[-1].span.end if node.items else node.span.start + 1
            return end, end, f", {flow}" if node.items else flow
        indent = " " * (node.span.column - 1)
        lines = block.split("\n")
        return self._after(node, "\n".join([f"{indent}- {lines[0]}", *(f"{indent}  {line}" for line in lines[1:])]))

    def _after(self, node: Node, lines: str) -> tuple[int, int, str]:
        """The insertion of whole lines below the last line of a block `node`, with the file's own line ends."""
        text = self._document.text
        end = text.find("\n", _last_leaf(node).span.end - 1) + 1
        newline = "\r\n" if "\r\n" in text else "\n"
        lines = lines.replace("\n", newline)
        return (end, end, lines + newline) if end else (len(text), len(text), newline + lines)

    def _word(self, node: Node) -> str:
        text = _text(node)
        if text is None:
            refuse(self._document.name, node.span, "a word of the command that is not text", hint="put it in quotes")
        return text


def _last_leaf(node: Node) -> Node:
    """What stands last in `node`: a block's own span may run on over the comments below it."""
    if isinstance(node, Sequence) and not node.flow:
        return _last_leaf(node.items[-1])
    if isinstance(node, Mapping) and not node.flow:
        key, value = node.items[-1]
        # A null that is not written has no place of its own.
        return _last_leaf(value) if value.span.end > key.span.end else key
    return node


def _field(node: Node | None, name: str) -> Node | None:
    if not isinstance(node, Mapping):
        return None
    found = next((value for key, value in node.items if key.text == name), None)
    return None if isinstance(found, Scalar) and found.kind is Kind.NULL else found


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, Scalar) and node.kind is Kind.STRING else None


def _path(text: str) -> PurePosixPath:
    return PurePosixPath(re.sub("/+", "/", text))


def _quoted(text: str) -> str:
    return text if _PLAIN_TEXT.fullmatch(text) else _json(text)


def _json(value: object) -> str:
    return json.dumps(value)


def _override(entry: str) -> tuple[str, tuple[str, ...]]:
    """`group/resource#url;url` as a resource name of an encryption configuration, and the urls."""
    place, _, urls = entry.partition("#")
    group, _, resource = place.rpartition("/")
    return (f"{resource}.{group}" if group else resource), tuple(url for url in urls.split(";") if url)
