"""What the user of a rotation must be allowed, as questions to the API: the one list for preflight and doctor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.rotation.world import CANARY_NAMESPACE

_REWRITING = ("list", "get", "patch")
_CANARY = ("create", "get", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; `namespace` None is all of them."""

    verb: str
    resource: str
    namespace: str | None = None

    def __str__(self) -> str:
        where = f"in {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {self.resource} {where}"

    @property
    def command(self) -> str:
        """How anybody asks for it."""
        where = f"-n {self.namespace}" if self.namespace else "-A"
        return f"kubectl auth can-i {self.verb} {self.resource} {where}"


def needed(config: EncryptionConfig | None, resources: Iterable[str], served: Mapping[str, str]) -> tuple[Right, ...]:
    """The rights to change the key of `resources`, wildcards among them standing for what `served` has of them."""
    names = tuple(resources)
    wildcard = any("*" in name for name in names)
    covered = (name for name in sorted(served) if wildcard and config and effective.is_covered(config, name))
    named = (name for name in names if "*" not in name)
    rewriting = (Right(verb, name) for name in dict.fromkeys((*named, *covered)) for verb in _REWRITING)
    return (*rewriting, *(Right(verb, effective.SECRETS, CANARY_NAMESPACE) for verb in _CANARY))


def written(config: EncryptionConfig | None) -> tuple[str, ...]:
    """The resources that `config` encrypts, as it names them; Secrets where it encrypts nothing."""
    named = () if config is None else effective.named_resources(config)
    sealed = [name for name in named if config and not isinstance(effective.writer(config, name), IdentityReader)]
    return tuple(sealed) or (effective.SECRETS,)
