"""`keyctl verify-secrets` beside `etcdctl get` over the same values of one real etcd, over mutual TLS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyctl.keys.key import Key, Provider
from tests.benchmarks.measure import (
    ROOT,
    BenchError,
    Command,
    in_turns,
    keyctl,
    peak,
    python,
    ratios,
    without_start,
)
from tests.benchmarks.stored_values import put, sealed_secrets, write_config
from tests.benchmarks.table import Row, say, show
from tests.support import seal
from tests.support.binaries import binary
from tests.support.plane import etcd_alone

_PROVIDERS = (Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX)
_ONE = "/one"
MEMORY_LIMIT = 100.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A filled etcd: the environment that leads to it, a configuration for each provider, and its prefixes' sizes."""

    environment: dict[str, str]
    configs: dict[Provider, Path]
    etcdctl: str

    def verify(self, prefix: str, *flags: str) -> Command:
        """keyctl, the whole process."""
        return Command(keyctl("verify-secrets", "--etcd-prefix", prefix, *flags), self.environment)

    def inside(self, prefix: str, *flags: str, repeat: int = 1) -> Command:
        """keyctl without its start."""
        words = python("tests.benchmarks.inside", str(repeat), _ONE, prefix, "verify-secrets", *flags)
        return Command(words, self.environment, tells=True)

    def get(self, prefix: str, *flags: str) -> Command:
        """etcdctl, the whole process."""
        return Command((self.etcdctl, "get", "--prefix", f"{prefix}/", *flags), self.environment)

    def judged_by(self, provider: Provider) -> tuple[str, str]:
        """The flag that makes keyctl open every value."""
        return "--encryption-config", str(self.configs[provider])


def scan(folder: Path, values: int, pairs: int) -> None:
    """Reading and counting; then the same with every value opened."""
    with filled(folder, {_prefix(provider): values for provider in _PROVIDERS}) as stage:
        for provider in _PROVIDERS:
            _require_all_opened(stage, provider, values)
        _compare_with_etcdctl(stage, values, pairs)
        _compare_with_opening(stage, values, pairs)


def _compare_with_etcdctl(stage: Stage, values: int, pairs: int) -> None:
    prefix = _prefix(Provider.AESCBC)
    commands = {
        "get": stage.get(prefix),
        "whole": stage.verify(prefix),
        "stream": stage.get(prefix, "--stream"),
        "inside": stage.inside(prefix),
    }
    costs = in_turns(commands, pairs)
    names = {"get": "etcdctl get --prefix", "stream": "etcdctl get --prefix --stream"}
    limits = {"get": 0.7, "stream": 1.0}
    ours = {"verify-secrets": costs["whole"], "the same without its start": without_start(costs["inside"])}
    show(
        f"live scan, {values} values of 1.1 KB, classified and counted",
        [
            Row(
                what,
                names[other],
                ratios(mine, costs[other]),
                limits[other],
                peak(mine),
                peak(costs[other]),
                MEMORY_LIMIT,
            )
            for what, mine in ours.items()
            for other in names
        ],
    )


def _compare_with_opening(stage: Stage, values: int, pairs: int) -> None:
    rows = []
    for provider in _PROVIDERS:
        prefix = _prefix(provider)
        commands = {"counted": stage.inside(prefix), "opened": stage.inside(prefix, *stage.judged_by(provider))}
        costs = in_turns(commands, pairs)
        opened, counted = without_start(costs["opened"]), without_start(costs["counted"])
        rows.append(
            Row(
                provider.value,
                "the scan alone",
                ratios(opened, counted),
                2.5,
                peak(opened),
                peak(counted),
                MEMORY_LIMIT,
            )
        )
    show(f"the same scan with every one of {values} values opened, both without their start", rows)


def _prefix(provider: Provider) -> str:
    return f"/{provider.value}"


def _key(provider: Provider) -> Key:
    return seal.key("key1", provider)


@contextmanager
def filled(folder: Path, sizes: dict[str, int]) -> Iterator[Stage]:
    """An etcd of its own with so many Secrets under each prefix, aescbc where the prefix names no provider."""
    etcdctl = str(binary("etcdctl"))
    with etcd_alone(folder) as lab:
        by_prefix = {_prefix(provider): _key(provider) for provider in _PROVIDERS}
        for prefix, count in {**sizes, _ONE: 1}.items():
            say(f"writing {count} values under {prefix}")
            put(lab.etcd, sealed_secrets(prefix, by_prefix.get(prefix, _key(Provider.AESCBC)), count))
        environment = {
            "ETCDCTL_ENDPOINTS": ",".join(lab.etcd.endpoints),
            "ETCDCTL_CACERT": lab.etcd.cacert,
            "ETCDCTL_CERT": lab.etcd.cert,
            "ETCDCTL_KEY": lab.etcd.key,
        }
        configs = {provider: write_config(folder / f"{provider}.yaml", _key(provider)) for provider in _PROVIDERS}
        yield Stage(environment, configs, etcdctl)


def _require_all_opened(stage: Stage, provider: Provider, values: int) -> None:
    """A scan that passes over values would be quick: it must have opened each one."""
    command = stage.verify(_prefix(provider), *stage.judged_by(provider), "-o", "json")
    done = subprocess.run(command.words, env=command.environment, cwd=ROOT, capture_output=True, check=False)
    summary = json.loads(done.stdout)["summary"] if done.returncode == 0 else {}
    if (summary.get("values"), summary.get("decrypted")) != (values, values):
        raise BenchError(f"keyctl did not open all of {values} values under {provider}: {done.stderr.decode()[-2000:]}")
