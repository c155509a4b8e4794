"""By what it leaves behind: which tool manages a cluster's encryption configuration, and how that tool goes on.

Pure: names, paths and versions in, words out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.keys.shown import shown_name
from keyctl.rotation.diagnosis.facts import Facts, StageSeen

# Where each tool keeps its file, told by the end of the path.
_PATHS = {
    "rancher/k3s/server/cred/encryption-config.json": "k3s",
    "rancher/rke2/server/cred/encryption-config.json": "rke2",
    "kubernetes/ssl/encryption.yaml": "rke1",
    "kubernetes/encryption-providers/encryption-providers.yaml": "kubeone",
    "kubernetes/encryption-providers/custom-encryption-providers.yaml": "kubeone",
    "secrets_encryption.yaml": "kubespray",
}
_KEY_NAMES = {"k3s": re.compile(r"(?:aescbckey|secretboxkey)(?:-.*)?"), "rke1": re.compile(r"k-[a-z0-9]{5}")}
_VERSIONS = re.compile(r"[+-](k3s|rke2)")

# What a rotation that was cut off leaves behind, and why.
_WAYS = {
    "k3s": "rotate-keys rewrites and drops the old key as soon as its own server has reloaded; the others read neither "
    "the new values nor write what it reads until they are restarted",
    "rke1": "it deploys the new key as the writing one at once, puts the old file back after a failure, and takes the "
    "new key for the old one when it is run again",
    "kubeone": "it writes with the new key at once and may leave API servers running that never loaded its files",
    "kubespray": "its template holds one key: each run takes the first key of the file and drops the others",
}
_WAYS["rke2"] = _WAYS["k3s"]

_FINISHED = "reencrypt_finished"
_AT_REST = frozenset({"start", _FINISHED})


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that manages the file: its `name`, the `mark` it was known by, and what its rotations do wrong."""

    name: str
    mark: str
    way: str

    @property
    def owns(self) -> bool:
        """Whether it writes the file by itself, so that keyctl does not rotate (rule R12)."""
        return self.name in {"k3s", "rke2"}

    @property
    def wants_json(self) -> bool:
        """Whether it reads its file as JSON only."""
        return self.name in {"k3s", "rke2"}


def tool_of(facts: Facts) -> Tool | None:
    """The tool that left its marks; None for a file that was written by hand, by keyctl, or by a tool unknown here."""
    for name, mark in _marks(facts):
        return Tool(name, mark, _WAYS[name])
    return None


def _marks(facts: Facts) -> list[tuple[str, str]]:
    found = [(one.tool, f"the rotation stage it keeps for {one.node}") for one in facts.stages]
    for server in facts.servers:
        version = _VERSIONS.search(server.version)
        if version:
            found.append((version[1], f"version {server.version} of {server.name}"))
        found += [(name, server.path) for end, name in _PATHS.items() if server.path.endswith(f"/{end}")]
    if facts.distribution in _WAYS:
        found.append((facts.distribution, "distribution in the cluster file"))
    names = [ref.name for text in facts.texts for ref in effective.refs(text.config)]
    for tool, pattern in _KEY_NAMES.items():
        found += [(tool, f"a key called {shown_name(name)}") for name in names if pattern.fullmatch(name)][:1]
    return found


def under_way(stages: tuple[StageSeen, ...]) -> str:
    """Whether the records of k3s or RKE2 show a rotation half done, in a sentence; "" when they are at rest."""
    moving = [one for one in stages if one.stage not in _AT_REST]
    if moving:
        return f"{moving[0].node} is at stage {moving[0].stage} of {moving[0].tool} secrets-encrypt"
    if len({one.hash for one in stages}) > 1:
        done = [one.node for one in stages if one.stage == _FINISHED]
        others = [one.node for one in stages if one.node not in done]
        if done and others:
            return f"{', '.join(done)} finished rewriting, and {', '.join(others)} still had the file from before"
        return "the servers wrote down different hashes of their files"
    return ""


def next_of(stages: tuple[StageSeen, ...]) -> str:
    """How k3s or RKE2 themselves go on from where their records stand."""
    tool = stages[0].tool
    each = f"restart every {tool} server, one at a time, then"
    again = f"wait for the rewriting; when nothing moves: {tool} secrets-encrypt reencrypt --force --skip"
    by_stage = {
        "prepare": f"{each}: {tool} secrets-encrypt rotate",
        "rotate": f"{each}: {tool} secrets-encrypt reencrypt --skip, which keeps the old key",
        "reencrypt_request": again,
        "reencrypt_active": again,
    }
    stage = next((one.stage for one in stages if one.stage not in _AT_REST), "")
    restart = f"restart the {tool} servers whose hash differs, one at a time; which ones: {tool} secrets-encrypt status"
    return by_stage.get(stage, restart)
