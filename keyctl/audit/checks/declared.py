"""Every encryption configuration that is declared for the cluster: in files, and on the hosts of its API servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from keyctl.audit.facts import Facts
from keyctl.audit.live.api_servers import RunningServer
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.findings import Evidence, Location

_NOTHING = EncryptionConfig(())


@dataclass(frozen=True, slots=True)
class Declared:
    """A configuration that kube-apiserver takes. `name` says where it stands; it is a file, whoever has it."""

    name: str
    config: EncryptionConfig = field(repr=False)
    location: Location
    evidence: Evidence = Evidence.E1


def declared(facts: Facts) -> Iterator[Declared]:
    """Those that were read and that kube-apiserver takes; one file that was found in two ways once."""
    files: dict[str | None, list[EncryptionConfig]] = {}
    for one in facts.configurations:
        if one.judged.decoded is not None:
            config = one.judged.decoded.config
            files.setdefault(one.location.file, []).append(config)
            yield Declared(one.location.file or one.holder, config, one.location)
    for server in facts.of(RunningServer):
        if server.has_no_configuration:
            yield Declared(f"{server.name}, without a configuration,", _NOTHING, server.location)
        elif server.disk.config is not None and server.disk.config not in files.get(server.disk.path, ()):
            yield Declared(f"{server.name}:{server.disk.path}", server.disk.config, server.location)
