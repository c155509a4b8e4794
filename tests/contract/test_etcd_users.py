"""What every `EtcdUsers` does, kept by the fake of the tests and by a real etcd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from keyctl.errors import KeyctlError, RefusedError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.interface import EtcdUser, EtcdUsers
from keyctl.stored.rights import Permission, Role
from tests.support.etcd_process import running_etcd, write_client
from tests.support.memory_users import MemoryAuth, MemoryUsers

PREFIX, BEHIND = b"/registry/", b"/registry0"
READ = Permission("read", PREFIX, BEHIND)
WRITE = Permission("readwrite", PREFIX, BEHIND)
ONE_KEY = Permission("readwrite", b"compact_rev_key", b"")


@dataclass(frozen=True)
class Kind:
    """`named` connects with a certificate of a common name, `login` with a password and the certificate of nobody."""

    named: Callable[[str], EtcdUsers]
    login: Callable[[str, str], EtcdUsers]


@contextlib.contextmanager
def _real(folder: Path) -> Iterator[Kind]:
    authority = trustme.CA()
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(running_etcd(folder, authority))

        def connect(name: str, user: str | None = None, password: str | None = None) -> EtcdUsers:
            tls = write_client(folder, authority, authority, name)
            client = EtcdClient((etcd.url,), tls, user=user, password=password)
            stack.callback(client.close)
            return client.users()

        yield Kind(connect, lambda user, password: connect(f"nobody-{user}-{password}", user, password))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "fake":
        auth = MemoryAuth()
        yield Kind(
            lambda name: MemoryUsers(auth, name), lambda user, password: MemoryUsers(auth, user, password=password)
        )
        return
    with _real(tmp_path) as real:
        yield real


def test_what_was_made_is_told_in_the_order_of_names_and_keys(kind: Kind) -> None:
    root = kind.named("anybody")
    assert (root.enabled(), root.users(), root.roles()) == (False, (), ())
    root.add_role("writer")
    root.allow("writer", ONE_KEY)
    root.allow("writer", READ)
    root.allow("writer", WRITE)
    root.add_role("empty")
    root.add_user("b")
    root.add_user("a", "a-password")
    root.give_role("b", "writer")
    root.give_role("b", "writer")
    root.give_role("b", "empty")
    assert root.users() == (EtcdUser("a", ()), EtcdUser("b", ("empty", "writer")))
    assert root.roles() == (Role("empty", ()), Role("writer", (WRITE, ONE_KEY)))
    root.forbid("writer", ONE_KEY)
    root.take_role("b", "empty")
    root.delete_user("a")
    assert root.users() == (EtcdUser("b", ("writer",)),)
    assert root.roles()[1] == Role("writer", (WRITE,))


def test_what_etcd_does_not_do_is_refused_with_its_words(kind: Kind) -> None:
    root = kind.named("anybody")
    root.add_user("a")
    root.add_role("r")
    acts: dict[str, Callable[[], None]] = {
        "root user does not exist": root.enable,
        "user name already exists": lambda: root.add_user("a"),
        "role name already exists": lambda: root.add_role("r"),
        "user name not found": lambda: root.delete_user("nobody"),
        "role name not found": lambda: root.give_role("a", "none"),
        "role is not granted to the user": lambda: root.take_role("a", "r"),
        "permission is not granted to the role": lambda: root.forbid("r", READ),
    }
    for said, act in acts.items():
        with pytest.raises(RefusedError) as refused:
            act()
        assert said in (refused.value.cause or "")


def test_each_certificate_is_let_do_what_its_users_role_holds_and_no_more(kind: Kind) -> None:
    names = ("root", "api", "auditor", "bare", "unknown")
    connections = {name: kind.named(name) for name in names}
    root = connections["root"]
    for role, permissions in (("writer", (WRITE, ONE_KEY)), ("reader", (READ,))):
        root.add_role(role)
        for permission in permissions:
            root.allow(role, permission)
    for user in names[:-1]:
        root.add_user(user)
    for user, role in (("root", "root"), ("api", "writer"), ("auditor", "reader")):
        root.give_role(user, role)
    assert {may(one) for one in connections.values()} == {"rwcs"}
    root.enable()
    assert root.enabled()
    expected = {"root": "rwcs", "api": "rwc", "auditor": "r", "bare": "", "unknown": ""}
    assert {name: may(one) for name, one in connections.items()} == expected
    assert root.users()
    for name in names[1:]:
        with pytest.raises(RefusedError):
            connections[name].users()
        with pytest.raises(RefusedError):
            connections[name].disable()
    root.disable()
    assert {may(one) for one in connections.values()} == {"rwcs"}


def test_a_password_makes_any_certificate_its_user_and_a_wrong_one_none(kind: Kind) -> None:
    root = kind.named("root")
    root.add_user("rope", "right")
    root.give_role("rope", "root")
    root.add_user("root")
    root.give_role("root", "root")
    root.enable()
    rope = kind.login("rope", "right")
    assert rope.users()
    rope.disable()
    assert not root.enabled()
    root.enable()
    with pytest.raises(KeyctlError):
        kind.login("rope", "wrong").users()


def may(users: EtcdUsers) -> str:
    """What is let: r(ead), w(rite), c(ompaction's key), s(napshot)."""
    answers = {
        "r": users.refusal_to_read(PREFIX),
        "w": users.refusal_to_write(PREFIX + b"x"),
        "c": users.refusal_to_write(b"compact_rev_key"),
        "s": users.refusal_of_snapshot(),
    }
    return "".join(letter for letter, refusal in answers.items() if refusal is None)
