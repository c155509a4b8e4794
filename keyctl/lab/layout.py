"""Where things stand in a lab's directory. Paths only: nothing is read or written here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """What belongs to one API server: its own control-plane host's /etc/kubernetes, so to say."""

    directory: Path

    @property
    def manifest(self) -> Path:
        """Its static pod manifest: the only source of its flags."""
        return self.directory / "manifests" / "kube-apiserver.yaml"

    @property
    def encryption_config(self) -> Path:
        """Its EncryptionConfiguration, where it has one."""
        return self.directory / "enc" / "enc.yaml"

    @property
    def pki(self) -> Path:
        """Its serving certificate, `apiserver.crt` and `.key`."""
        return self.directory / "pki"

    @property
    def log(self) -> Path:
        """What it prints, of all its starts."""
        return self.directory / "kube-apiserver.log"


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """What belongs to one member of etcd."""

    directory: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / "data"

    @property
    def pki(self) -> Path:
        """Its certificates, `server` and `peer`."""
        return self.directory / "pki"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.directory / "etcd.log"


@dataclass(frozen=True, slots=True)
class Layout:
    """A lab's directory."""

    root: Path

    @property
    def owner(self) -> Path:
        """Marks the directory as a lab's, and names the process that it must not outlive, if any."""
        return self.root / "owner.json"

    @property
    def state(self) -> Path:
        """Its topology."""
        return self.root / "state.json"

    @property
    def pki(self) -> Path:
        """Authorities, and what all of its servers share."""
        return self.root / "pki"

    @property
    def run(self) -> Path:
        """One record a process: who it is."""
        return self.root / "run"

    @property
    def closed(self) -> Path:
        """`run` while the lab is being cleaned: nothing can be recorded, and so started, any more."""
        return self.root / "run.closed"

    @property
    def bin(self) -> Path:
        """Links to the programs, for a PATH."""
        return self.root / "bin"

    @property
    def cluster_file(self) -> Path:
        """What keyctl's `--cluster` takes."""
        return self.root / "keyctl.yaml"

    @property
    def kubeconfig(self) -> Path:
        """An administrator's."""
        return self.root / "admin.kubeconfig"

    @property
    def environment(self) -> Path:
        """Exports for a shell."""
        return self.root / "lab.env"

    def record(self, name: str) -> Path:
        """The record of process `name`."""
        return self.run / f"{name}.json"

    def server(self, name: str) -> ServerFiles:
        """The files of API server `name`."""
        return ServerFiles(self.root / name)

    def member(self, name: str) -> MemberFiles:
        """The files of member `name`."""
        return MemberFiles(self.root / name)
