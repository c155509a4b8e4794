"""A reader's own small cluster: one API server whose Secrets keyctl has encrypted, and pages typed on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from keyctl.lab.plane import Lab, running_lab
from keyctl.lab.topology import Settings
from tests.support.binaries import servers
from tests.support.page_runs import Terminal, follow
from tests.support.page_sites import blocks_of, reader_environment, reader_folder
from tests.support.pages import ROOT
from tests.support.seeded import seed

# What pages say, for what the lab has.
_ENDPOINT = "https://10.0.0.1:2379"
_DATA_DIRECTORY = "/var/lib/etcd"
_SECRETS = 12


@dataclass(frozen=True, slots=True)
class Desk:
    """The lab, the reader's home, and the variables by which it is found."""

    lab: Lab
    home: Path
    environment: Mapping[str, str]

    def type(self, page: str, site: str, place: Path) -> None:
        """Type the commands of a page for `site` in a new folder of the reader's below `place`."""
        folder, swaps = reader_folder(place, self.lab.layout.server("cp1").encryption_config.read_text())
        cluster = folder / "keyctl.yaml"
        cluster.write_text(_cluster_file(self.lab))
        (folder / "DIR").symlink_to(self._evidence())
        etcd = self.lab.etcd
        for name, path in (("etcd-ca.crt", etcd.cacert), ("client.crt", etcd.cert), ("client.key", etcd.key)):
            (folder / name).symlink_to(path)
        if _DATA_DIRECTORY in (ROOT / page).read_text():
            # Large, for etcd sets aside room for its log: copied where it is read.
            shutil.copytree(self.lab.layout.member("etcd1").data, place / f"site{_DATA_DIRECTORY}")
        environment = {**self.environment, "KEYCTL_CLUSTER": str(cluster)}
        typed(page, site, folder, environment, swaps | {_ENDPOINT: etcd.endpoints[0]})

    def _evidence(self) -> Path:
        """What the first change of the key has left."""
        name = self.lab.topology.settings.name
        (found, *_) = sorted((self.home / ".local/state/keyctl" / name / "evidence").iterdir())
        return found


@contextmanager
def running_desk(folder: Path) -> Iterator[Desk]:
    """A desk with everything of it below `folder`, gone when the block ends."""
    settings = Settings(name=f"test-docs-{os.getpid()}", apiservers=1)
    with running_lab(settings, directory=folder / "lab", programs=servers(), progress=lambda _: None) as lab:
        found = {"KEYCTL_CLUSTER": str(lab.cluster_file), "KEYCTL_LAB_BIN": str(lab.layout.bin)}
        environment = reader_environment(folder / "home") | found
        seed(lab, folder, _SECRETS)
        with closing(Terminal(folder, environment)) as terminal:
            code, said = terminal.run("keyctl enable --yes --allow-downtime")
        assert code == 0, said
        yield Desk(lab, folder / "home", environment)


def typed(page: str, site: str, folder: Path, environment: Mapping[str, str], swaps: Mapping[str, str]) -> None:
    """Type the commands of a page for a site in `folder`, and compare what they say."""
    with closing(Terminal(folder, environment)) as terminal:
        assert follow(blocks_of(page, site), terminal, swaps) > 0


def _cluster_file(lab: Lab) -> str:
    """The lab's cluster file for another folder, with what pages expect of a policy."""
    document = yaml.safe_load(lab.cluster_file.read_text())
    document["kubernetes"]["kubeconfig"] = str(lab.layout.kubeconfig)
    document["keys"]["directory"] = str(lab.layout.root / "keys")
    document["policy"]["keyMaxAge"] = "90d"
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
