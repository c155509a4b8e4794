"""Objects that do not want to be rewritten, and objects that are written all the time: restarts, one at a time."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.scene import RESUME, ROTATE, WAY_ON, done, insist, names, settled, told
from tests.museum.site import Site, site
from tests.support.raw_etcd import raw_values
from tests.support.real_kube import ask, create_secret, refusing_webhook

pytestmark = pytest.mark.live

COUNT = 12
HOLD = "museum.test/hold"
FIXED = ("/api/v1/namespaces/fixed/secrets", "/api/v1/namespaces/fixed/configmaps")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Secrets and ConfigMaps are encrypted. Every test leaves it with a finished rotation."""
    with site(tmp_path_factory.mktemp("objects")) as made:
        done(made.seeded.keyctl("enable", "--yes", "--resources", "secrets", "--resources", "configmaps"))
        yield made


def writer(place: Site) -> str:
    return names(place.seeded.lab, "cp1")[0]


def stored(place: Site, path: str) -> list[dict[str, tuple[object, object]]]:
    """Data of the objects at `path`, and whether they are immutable, by name, as each server says it."""
    found = []
    for server in place.seeded.lab.topology.servers:
        _, document = ask(place.seeded.lab, "GET", path, server=server.name)
        items = document["items"]
        assert isinstance(items, list)
        found.append({item["metadata"]["name"]: (item["data"], item.get("immutable")) for item in items})
    return found


def make_fixed(lab: Lab, name: str) -> None:
    """An immutable Secret and an immutable ConfigMap."""
    for path, data in zip(FIXED, contents(name), strict=True):
        body = {"metadata": {"name": name}, "data": data, "immutable": True}
        # A create whose answer was lost is sent again.
        assert insist(lab, "POST", path, body)[0] in (201, 409)


def contents(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """What `make_fixed` puts into them."""
    return {"value": base64.b64encode(name.encode()).decode()}, {"value": name}


def test_fifty_changes_a_second_during_a_whole_rotation_by_restarts(place: Site) -> None:
    was = writer(place)
    with Load(place, per_second=50) as load:
        done(place.seeded.keyctl(*ROTATE))
    place.nothing_lost(load)
    assert load.changes > 1000
    settled(place, was, "secrets", "configmaps")


def test_immutable_secrets_and_configmaps_are_rewritten_and_stay_as_they_are(place: Site) -> None:
    lab, was = place.seeded.lab, writer(place)
    early, late = [f"before-{number}" for number in range(COUNT)], [f"meanwhile-{number}" for number in range(COUNT)]
    assert ask(lab, "POST", "/api/v1/namespaces", {"metadata": {"name": "fixed"}})[0] == 201
    for name in early:
        make_fixed(lab, name)
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.PROMOTING)
        for name in late:
            make_fixed(lab, name)
        done(rotating.wait())
    place.nothing_lost(load)
    for index, path in enumerate(FIXED):
        assert stored(place, path) == [{name: (contents(name)[index], True) for name in (*early, *late)}] * 3
    settled(place, was, "secrets", "configmaps")


def test_a_webhook_that_refuses_updates_is_named_and_without_it_the_rotation_ends(place: Site, tmp_path: Path) -> None:
    was = writer(place)
    for number in range(3):
        create_secret(place.seeded.lab, "default", f"stubborn-{number}", labels={"keep": "as-it-is"})
    with Load(place) as load:
        with refusing_webhook(place.seeded.lab, tmp_path):
            stopped = place.seeded.keyctl(*ROTATE)
            told(stopped, 6, "R15", "3 values could not be rewritten", "default/stubborn-0", "label owner missing")
            told(stopped, 6, "R15", "let webhook deny.policy.test allow updates that change nothing", WAY_ON)
            assert was in names(place.seeded.lab, "cp1")
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was, "secrets", "configmaps")


def test_a_namespace_that_is_being_deleted_and_held_by_a_finalizer_is_rewritten_like_any_other(place: Site) -> None:
    lab, was = place.seeded.lab, writer(place)
    assert ask(lab, "POST", "/api/v1/namespaces", {"metadata": {"name": "leaving", "finalizers": [HOLD]}})[0] == 201
    for number in range(COUNT):
        create_secret(lab, "leaving", f"held-{number}", finalizers=[HOLD])
        create_secret(lab, "leaving", f"there-{number}")
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.ADDING)
        _delete(place)
        rotating.wait_for(State.SWITCHED)
        # What a namespace's end does next, while its Secrets are rewritten.
        for number in range(COUNT):
            assert insist(lab, "DELETE", f"/api/v1/namespaces/leaving/secrets/there-{number}")[0] in (200, 404)
        done(rotating.wait())
    place.nothing_lost(load)
    left = [key for key, _ in raw_values(lab, "secrets") if b"/leaving/" in key]
    assert len(left) == COUNT
    for found in stored(place, "/api/v1/namespaces/leaving/secrets"):
        assert {
            name: base64.b64decode(data["value"]) for name, (data, _) in found.items() if isinstance(data, dict)
        } == {f"held-{number}": f"the value of held-{number}".encode() for number in range(COUNT)}
    settled(place, was, "secrets", "configmaps")
    _let_go(place)


def _delete(place: Site) -> None:
    """Delete the namespace, and those of its Secrets that have a finalizer: they stay, marked."""
    lab = place.seeded.lab
    for number in range(COUNT):
        assert insist(lab, "DELETE", f"/api/v1/namespaces/leaving/secrets/held-{number}")[0] == 200
    assert insist(lab, "DELETE", "/api/v1/namespaces/leaving")[0] in (200, 409)
    _, namespace = insist(lab, "GET", "/api/v1/namespaces/leaving")
    status = namespace["status"]
    assert isinstance(status, dict)
    assert status["phase"] == "Terminating"


def _let_go(place: Site) -> None:
    lab = place.seeded.lab
    for number in range(COUNT):
        path = f"/api/v1/namespaces/leaving/secrets/held-{number}"
        assert ask(lab, "PATCH", path, {"metadata": {"finalizers": None}})[0] == 200
        assert ask(lab, "GET", path)[0] == 404
