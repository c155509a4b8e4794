"""The rotations that the tests walk through, how to walk, and what must be true at the end."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from keyctl import documents
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import KeyctlError
from keyctl.hosts import manifests
from keyctl.keys.key import STATIC_PROVIDERS, Key, KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation import evidence_check
from keyctl.rotation.plan import Goal, Plan, Stage, plan_from_record
from keyctl.rotation.preflight import Wish
from keyctl.rotation.session import Finished, Session
from tests.support.sim_kill import Killed
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, KMS_SECRETS, SECRETS, configuration, secret_of
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster

ROTATE = Wish(Goal.ROTATE)
ENABLE = Wish(Goal.ENABLE, Provider.AESCBC, ("secrets",))
DISABLE = Wish(Goal.DISABLE)
REMOVE_IDENTITY = Wish(Goal.REMOVE_IDENTITY)
TO_PLUGIN = Wish(Goal.ROTATE, Provider.KMS, plugin=Plugin("vault", "unix:///run/kms/vault.sock"))
FROM_PLUGIN = Wish(Goal.ROTATE, Provider.AESCBC, ("secrets",))

KEY_2 = Key(Provider.AESCBC, "key2", bytes(range(128, 160)))
WITHOUT_IDENTITY = SECRETS.replace(b"      - identity: {}\n", b"")
# Two keys in one element; the second one only reads.
TWO_KEYS = SECRETS.replace(
    f"              secret: {secret_of(KEY_1)}\n".encode(),
    f"""\
              secret: {secret_of(KEY_1)}
            # from before the move
            - name: {KEY_2.ref.name}
              secret: {secret_of(KEY_2)}
""".encode(),
)


@dataclass(frozen=True)
class Scene:
    """A cluster, what is asked for, and the resources whose values end under the new key."""

    name: str
    specs: tuple[Spec, ...]
    config: bytes | None
    wish: Wish
    rewritten: tuple[str, ...] = ("secrets",)

    def cluster(self, directory: Path) -> SimCluster:
        return SimCluster(directory, self.specs, self.config)


SCENES = (
    Scene("enable without flag", THREE_RESTARTED, None, ENABLE),
    Scene("enable beside an entry", THREE_RELOADING, configuration((("configmaps",), KEY_0)), ENABLE),
    Scene("rotate by restart", THREE_RESTARTED, SECRETS, ROTATE),
    Scene("rotate by reload", THREE_RELOADING, SECRETS, ROTATE),
    Scene("rotate mixed", MIXED, SECRETS, ROTATE),
    Scene("change provider", MIXED, SECRETS, Wish(Goal.ROTATE, Provider.SECRETBOX)),
    Scene(
        "rotate everything",
        THREE_RESTARTED,
        EVERYTHING,
        ROTATE,
        ("secrets", "configmaps", "namespaces", "widgets.example.com"),
    ),
    Scene("disable before identity", THREE_RESTARTED, SECRETS, DISABLE),
    Scene("disable without identity", THREE_RELOADING, WITHOUT_IDENTITY, DISABLE),
    Scene("disable two keys", MIXED, TWO_KEYS, DISABLE),
    Scene("remove identity by restart", THREE_RESTARTED, SECRETS, REMOVE_IDENTITY),
    Scene("remove identity by reload", THREE_RELOADING, SECRETS, REMOVE_IDENTITY),
    Scene("rename the key", MIXED, SECRETS, Wish(Goal.ROTATE, new_name="main")),
    Scene("to a KMS plugin", MIXED, SECRETS, TO_PLUGIN),
    Scene("from a KMS plugin", MIXED, KMS_SECRETS, FROM_PLUGIN),
)


class Agree:
    """Says yes, and keeps the plan that it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, ...]] = []

    def __call__(self, lines: tuple[str, ...]) -> bool:
        self.shown.append(lines)
        return True


def begin(session: Session, wish: Wish) -> Finished:
    """Begin, agreeing to the plan."""
    return session.start(wish, confirm=Agree())


def stops(cluster: SimCluster, wish: Wish = ROTATE) -> KeyctlError:
    """Begin, and return what stops it."""
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), wish)
    return caught.value


def proofs_of(cluster: SimCluster) -> list[object]:
    """What was proven, in order, but for single servers and for what is proven before anything is written."""
    records = cluster.journal().records()
    return [r["of"] for r in records if r["kind"] == "proof" and r["of"] not in {"server", "readable"}]


def moments(cluster: SimCluster, **wanted: str) -> list[datetime]:
    """When the records were written in which all of `wanted` is so."""
    records = cluster.journal().records()
    return [datetime.fromisoformat(str(r["at"])) for r in records if wanted.items() <= r.items()]


def have_old_key(cluster: SimCluster) -> list[bool]:
    """Whether the file of each server has the bytes of `KEY_1`."""
    return [secret_of(KEY_1).encode() in server.host.files[CONFIG_PATH].content for server in cluster.servers]


def go_on(cluster: SimCluster, wish: Wish, *, watcher: Watcher | None = None) -> Finished:
    """What a user does after any stop: resume, or begin again when nothing was begun."""
    session = cluster.session(watcher=watcher)
    return session.resume() if cluster.journal().unfinished() else begin(session, wish)


def before(cluster: SimCluster, label: str, act: Callable[[], None], *, nth: int = 1) -> None:
    """Let others do `act` right before the `nth` effect of that label."""
    cluster.switch.before = _once(cluster.switch.before, label, act, nth)


def after(cluster: SimCluster, label: str, act: Callable[[], None], *, nth: int = 1) -> None:
    """Let others do `act` right after the `nth` effect of that label."""
    cluster.switch.after = _once(cluster.switch.after, label, act, nth)


def _once(others: Callable[[str], None], label: str, act: Callable[[], None], nth: int) -> Callable[[str], None]:
    left = itertools.count(nth - 1, -1)

    def told(found: str) -> None:
        others(found)
        if found == label and next(left) == 0:
            act()

    return told


def skip_slow_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time here: syncing, for power cuts, and parsing the same text again."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    parse = functools.cache(documents.parse)
    monkeypatch.setattr(manifests, "parse", parse)
    monkeypatch.setattr(importlib.import_module("keyctl.encryption_config.decode"), "parse", parse)


def kill(cluster: SimCluster, act: Callable[[], object], at: int, *, before: bool) -> bool:
    """`act` as one process, killed at its effect number `at`; False when it ended, for it had fewer."""
    cluster.switch.new_process(kill_at=at, before=before)
    try:
        act()
    except Killed:
        cluster.clock.after_step()
        cluster.switch.new_process()
        return True
    return False


def kill_points(labels: list[str]) -> Iterator[tuple[int, bool]]:
    """(number, before) of each moment between two effects: before each, and after each that acts on the cluster.

    A kill right after a record of the journal finds the same as one right before the next effect.
    """
    for number, label in enumerate(labels, 1):
        yield number, True
        if not label.startswith("journal "):
            yield number, False


def ended(cluster: SimCluster) -> bool:
    """Whether the journal knows of a rotation that came to its end."""
    return any(record["kind"] == "end" for record in cluster.journal().records())


def plans(cluster: SimCluster) -> list[Plan]:
    """Every plan that the journal knows."""
    records = [record["plan"] for record in cluster.journal().records() if record["kind"] == "begin"]
    return [plan_from_record(record) for record in records if isinstance(record, dict)]


def head(ref: KeyRef) -> bytes:
    """What a value under `ref` starts with, without the last colon; "plaintext" for identity (`SimCluster.under`)."""
    if ref.provider is Provider.IDENTITY:
        return b"plaintext"
    version = "v2" if ref.provider is Provider.KMS else "v1"
    return f"k8s:enc:{ref.provider}:{version}:{ref.name}".encode()


def comments(content: bytes) -> list[str]:
    lines = content.decode().splitlines()
    return [line.partition("#")[2].strip() for line in lines if "#" in line]


# What stands within the lines of a key leaves with it.
_WITH_A_KEY = {"the key of last year", "from before the move", "runs as a static pod"}
# A key that an attempt made that came to nothing was never in a file.
_UNTOUCHED = {KeyState.ACTIVE, KeyState.PRE_ACTIVATION}


def states_of_keys(cluster: SimCluster) -> dict[KeyRef, str]:
    """What the ledger says of each key."""
    return {record.ref: record.state for record in cluster.store_keys.records()}


def files_of(cluster: SimCluster) -> list[dict[str, bytes]]:
    """Every file of every host, by path."""
    return [{path: file.content for path, file in server.host.files.items()} for server in cluster.servers]


def heads_of(cluster: SimCluster) -> dict[str, set[bytes]]:
    """What the values of each resource are under."""
    resources = {found.resource for found in cluster.objects.values() if found.resource}
    return {resource: cluster.under(resource) for resource in resources}


def assert_done(cluster: SimCluster, scene: Scene) -> None:
    """One plan, every value under its key and unchanged, also those that land late; no old key in any file."""
    plan = _assert_at_rest(cluster, "retired" if scene.wish.goal is not Goal.ENABLE else "verified")
    for resource in scene.rewritten:
        assert cluster.under(resource) == {head(plan.new)}, resource
    files = [server.host.files[CONFIG_PATH].content for server in cluster.servers]
    assert len(set(files)) == 1
    assert set(comments(scene.config or b"")) - _WITH_A_KEY <= set(comments(files[0]))
    states = states_of_keys(cluster)
    assert bool(plan.old) is (scene.wish.goal is not Goal.ENABLE)
    if scene.wish.goal is Goal.REMOVE_IDENTITY:
        assert plan.old_refs == (KeyRef(Provider.IDENTITY, ""),)
        assert b"identity" not in files[0]
    for ref in plan.old_refs:
        assert f"name: {ref.name}\n".encode() not in files[0]
        assert f"name: {ref.name}  #".encode() not in files[0]
    for ref in (ref for ref in plan.old_refs if ref.provider in STATIC_PROVIDERS):
        old = cluster.store_keys.get(ref)
        assert old is not None
        assert states[ref] == KeyState.DEACTIVATED
        assert (secret_of(old).encode() in files[0]) is (scene.wish.new_name is not None)
    kept = {ref: state for ref, state in states.items() if ref not in plan.old_refs}
    # The key store holds static keys only.
    assert kept.pop(plan.new, None) == (KeyState.ACTIVE if plan.new.provider in STATIC_PROVIDERS else None)
    assert set(kept.values()) <= _UNTOUCHED


@dataclass(frozen=True)
class Was:
    """A cluster before a rotation of it."""

    files: list[dict[str, bytes]]
    heads: dict[str, set[bytes]]
    objects: frozenset[bytes]

    @classmethod
    def of(cls, cluster: SimCluster) -> Was:
        return cls(files_of(cluster), heads_of(cluster), frozenset(cluster.objects))


def assert_back(cluster: SimCluster, was: Was) -> None:
    """Everything is as it was: files and manifests byte for byte, what values are under; the new key is out of use.

    A file that an old key had left has the same readers in the same order; what stood within its lines is gone.
    """
    plan = _assert_at_rest(cluster, "aborted")
    for server, found, old in zip(cluster.servers, files_of(cluster), was.files, strict=True):
        if server.name in _let_go(cluster):
            then, now = old[CONFIG_PATH], found[CONFIG_PATH]
            assert decode(now, name="now").config == decode(then, name="then").config
            assert set(comments(then)) - _WITH_A_KEY <= set(comments(now))
            found[CONFIG_PATH] = then
        assert found == old
        file = server.host.files.get(CONFIG_PATH)
        assert server.config.sha256 == (None if file is None else file.sha256)
    assert heads_of(cluster) == was.heads
    assert was.objects <= frozenset(cluster.objects)
    states = states_of_keys(cluster)
    if plan.goal is not Goal.REMOVE_IDENTITY:
        assert states.pop(plan.new, KeyState.DEACTIVATED) == KeyState.DEACTIVATED
    assert set(states.values()) <= _UNTOUCHED


def _let_go(cluster: SimCluster) -> set[object]:
    """The servers that were given, or nearly, a file without an old key."""
    records = (r for r in cluster.journal().records() if r.get("step") == "write-file")
    return {record["server"] for record in records if record["stage"] == Stage.RETIRED.name}


def _assert_at_rest(cluster: SimCluster, state: str) -> Plan:
    """One rotation has ended in `state`; nothing is left of it on the way; its evidence holds. Returns its plan."""
    cluster.switch.new_process()
    cluster.clock.advance(300)
    (plan,) = plans(cluster)
    assert not cluster.journal().unfinished()
    assert not [key for key in cluster.objects if b"keyctl-canary" in key]
    assert all(server.ready for server in cluster.servers)
    for server in cluster.servers:
        assert "# written by kubeadm" in server.host.files[MANIFEST_PATH].content.decode()
    told = evidence_check.check(cluster.journal().path.parent / "evidence" / plan.rotation)
    assert told.state == state
    return plan
