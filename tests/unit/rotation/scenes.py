"""The rotations that the tests walk through, how to walk, and what must be true at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.plan import Goal, Plan, plan_from_record
from keyctl.rotation.preflight import Wish
from keyctl.rotation.session import Finished, Session
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import EVERYTHING, KEY_0, SECRETS, configuration
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster

ROTATE = Wish(Goal.ROTATE)
ENABLE = Wish(Goal.ENABLE, Provider.AESCBC, ("secrets",))


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


def plans(cluster: SimCluster) -> list[Plan]:
    """Every plan that the journal knows."""
    records = [record["plan"] for record in cluster.journal().records() if record["kind"] == "begin"]
    return [plan_from_record(record) for record in records if isinstance(record, dict)]


def head(ref: KeyRef) -> bytes:
    """What a value under `ref` starts with, without the last colon."""
    return f"k8s:enc:{ref.provider}:v1:{ref.name}".encode()


def comments(content: bytes) -> list[str]:
    lines = content.decode().splitlines()
    return [line.partition("#")[2].strip() for line in lines if "#" in line]


def assert_done(cluster: SimCluster, scene: Scene) -> None:
    """One plan, every value under its key and unchanged, also those that land late; files equal, comments kept."""
    cluster.switch.new_process()
    cluster.clock.advance(300)
    (plan,) = plans(cluster)
    assert not cluster.journal().unfinished()
    for resource in scene.rewritten:
        assert cluster.under(resource) == {head(plan.new)}, resource
    assert not [key for key in cluster.objects if b"keyctl-canary" in key]
    assert all(server.ready for server in cluster.servers)
    files = [server.host.files[CONFIG_PATH].content for server in cluster.servers]
    assert len(set(files)) == 1
    # What stands within the lines of a key leaves with it.
    assert set(comments(scene.config or b"")) - {"the key of last year"} <= set(comments(files[0]))
    for server in cluster.servers:
        assert "# written by kubeadm" in server.host.files[MANIFEST_PATH].content.decode()
    states = {record.ref: record.state for record in cluster.store_keys.records()}
    assert states[plan.new] == "active"
