"""The flags of a kube-apiserver that turn encryption on, as one container gives them, wherever they do not belong.

Says what stands there; `manifest_rules` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from keyctl.hosts.pod import GivenFlag, Pod

CONFIG_FLAG = "encryption-provider-config"
RELOAD_FLAG = "encryption-provider-config-automatic-reload"
REMOVED_FLAG = "experimental-encryption-provider-config"
# strconv.ParseBool, which pflag uses.
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@dataclass(frozen=True, slots=True)
class EncryptionFlags:
    """The flags of one container in file order: the file, by today's and by the removed name, and the reload."""

    config: tuple[GivenFlag, ...]
    removed: tuple[GivenFlag, ...]
    reload: tuple[GivenFlag, ...]

    @classmethod
    def of(cls, pod: Pod) -> EncryptionFlags:
        """Those of the container of `pod`. Raises `UnusableInputError` as `Pod.flags` does."""
        given = pod.flags()
        config, removed, reload = (
            tuple(flag for flag in given if flag.name == name) for name in (CONFIG_FLAG, REMOVED_FLAG, RELOAD_FLAG)
        )
        return cls(config, removed, reload)

    @property
    def all(self) -> tuple[GivenFlag, ...]:
        """Each of them, the last first."""
        return tuple(sorted((*self.config, *self.removed, *self.reload), key=_place, reverse=True))

    @property
    def files(self) -> tuple[GivenFlag, ...]:
        """Those that name the file, the one that counts last: today's spelling counts before the removed one."""
        return (*self.removed, *self.config)

    @property
    def values(self) -> frozenset[str]:
        """What is named as the file. More than one value is a contradiction."""
        return frozenset(flag.value for flag in self.files)

    @property
    def reloads(self) -> frozenset[bool]:
        """What is said about reloading. Both values are a contradiction."""
        return frozenset(flag.value in TRUE for flag in self.reload)


def file_path(value: str) -> PurePosixPath | None:
    """The value of a flag as the path of a file, or None when keyctl cannot tell which file of the host it is.

    So for relative paths, which depend on the image, and those with a variable of the container or "..".
    """
    path = PurePosixPath(value)
    told = value.startswith("/") and not value.startswith("//") and not value.endswith("/") and "$(" not in value
    return path if told and path.name and ".." not in path.parts else None


def _place(flag: GivenFlag) -> int:
    return flag.words[0].node.span.start
