"""The static pod manifest of a kube-apiserver: its flags, what of the host it sees, and the edit that adds encryption.

Pure: text in, values or text out. Edits are splices, so comments and layout stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from keyctl.documents import parse, refuse, splice
from keyctl.encryption_config.editing.layout import check_editable
from keyctl.hosts.encryption_flags import CONFIG_FLAG, RELOAD_FLAG, TRUE
from keyctl.hosts.pod import Pod, api_server
from keyctl.hosts.pod_edits import flag_edits, mount_edits

_GO_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_GO_DURATION = re.compile(f"(?:{_GO_DURATION_PART.pattern})+")
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
        return self.get(CONFIG_FLAG) or None

    @property
    def automatic_reload(self) -> bool:
        """Whether the server loads a changed encryption configuration by itself."""
        return self.get(RELOAD_FLAG) in TRUE

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
    # First the whole: a search would look for the unit behind each of a million digits.
    if not _GO_DURATION.fullmatch(duration):
        return None
    return sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_DURATION_PART.findall(duration))


def read_flags(content: bytes, *, name: str) -> Flags:
    """The flags in the command and args of the kube-apiserver container of the manifest `name`.

    Raises `UnusableInputError` when the manifest is no pod with such a container.
    """
    return _flags(api_server(parse(content, name=name)))


def mount_of(content: bytes, path: str, *, name: str = "the manifest") -> Mount:
    """How the container sees `path`, which is the same path on its host.

    `NONE` also when something else of the host stands at that path in the container.
    """
    file = PurePosixPath(path)
    mount = api_server(parse(content, name=name)).showing(file)
    if mount is None:
        return Mount.NONE
    return Mount.SINGLE_FILE if mount.inside == file else Mount.DIRECTORY


def add_encryption_flag(content: bytes, *, config_path: str, reload: bool, name: str) -> bytes:
    """The manifest with the encryption flag, the reload flag when wanted, and a mount of the file's directory.

    What is there already is left as it is, so doing it twice is doing it once. Raises `RefusedError` when a flag
    is there with another value, the directory is taken by another mount, or lines end in neither LF nor CRLF.
    """
    document = parse(content, name=name)
    pod = api_server(document)
    if not document.plain:
        refuse(name, document.root.span, "keyctl does not edit YAML with anchors or tags", hint="write the values out")
    check_editable(document)
    edits = flag_edits(pod, {CONFIG_FLAG: config_path} | ({RELOAD_FLAG: "true"} if reload else {}))
    if pod.showing(PurePosixPath(config_path)) is None:
        edits += mount_edits(pod, PurePosixPath(config_path))
    edited = splice(document.text, edits).encode()
    _check(api_server(parse(edited, name=name)), pod, config_path, reload=reload)
    return edited


def _check(after: Pod, before: Pod, config_path: str, *, reload: bool) -> None:
    flags = _flags(after)
    given = _flags(before).given
    of_before = frozenset(given)
    if (
        tuple(flag for flag in flags.given if flag in of_before) != given
        or flags.encryption_provider_config != config_path
        or (reload and not flags.automatic_reload)
        or after.showing(PurePosixPath(config_path)) is None
        or not set(before.mounts()) <= set(after.mounts())
    ):
        raise RuntimeError("the edited manifest does not say what it was to say")


def _flags(pod: Pod) -> Flags:
    return Flags(tuple((flag.name, flag.value) for flag in pod.flags()))


def _override(entry: str) -> tuple[str, tuple[str, ...]]:
    """`group/resource#url;url` as a resource name of an encryption configuration, and the urls."""
    place, _, urls = entry.partition("#")
    group, _, resource = place.rpartition("/")
    return (f"{resource}.{group}" if group else resource), tuple(url for url in urls.split(";") if url)
