"""The Lease that lets one rotation run (R8): taken once, renewed in time, lost only to somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.kube.lease import Holder, KubeLease
from tests.support.scripted_api import Reply, Request, ScriptedApi, reply, scripted_api, status_reply

_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/keyctl-rotation"
_US = Holder("cp1:/state", "run-1")


class _Api:
    """One Lease behind as many servers as a test wants, and the clock that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
        self.lease: dict[str, dict[str, object]] | None = None
        self.version = 10
        self.down: set[int] = set()
        self.before_write: Callable[[], None] | None = None
        self.writes = 0
        self.stack = ExitStack()
        self.seconds = 0.0

    def server(self) -> ScriptedApi:
        number = len(list(self.folder.iterdir()))
        folder = self.folder / str(number)
        folder.mkdir()
        return self.stack.enter_context(scripted_api(folder, lambda request: self._answer(number, request)))

    def put(self, holder: str, *, renewed: timedelta = timedelta(), **changes: object) -> None:
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 90, "renewTime": (self.now - renewed).isoformat()}
        self.version += 1
        self.lease = {"metadata": {"uid": "u1", "resourceVersion": str(self.version)}, "spec": spec | changes}

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    @property
    def holder(self) -> object:
        return self.lease["spec"]["holderIdentity"] if self.lease else None

    def _answer(self, number: int, request: Request) -> Reply:
        if number in self.down:
            return Reply(drop=True)
        said = self._store(request)
        return Reply(said.status, said.body, {"Date": format_datetime(self.now, usegmt=True)})

    def _store(self, request: Request) -> Reply:
        if request.method == "GET":
            return reply(self.lease) if self.lease else status_reply(404, "not found")
        if self.before_write:
            change, self.before_write = self.before_write, None
            change()
        self.writes += 1
        body = json.loads(request.body)
        if request.method == "DELETE":
            assert body["preconditions"] == (self.lease or {}).get("metadata")
            self.lease = None
            return reply({})
        given = body["metadata"].get("resourceVersion")
        current = str(self.version) if self.lease else None
        if given != current or (request.method == "POST") != (self.lease is None):
            return status_reply(409, "the object has been modified")
        self.version += 1
        body["metadata"] = {"uid": "u1", "resourceVersion": str(self.version)}
        self.lease = body
        return reply(body, 201 if request.method == "POST" else 200)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[_Api]:
    made = _Api(tmp_path)
    with made.stack:
        yield made


def _lease(api: _Api, holder: Holder = _US, *, servers: int = 1) -> KubeLease:
    connections = [api.server().connect() for _ in range(servers)]
    return KubeLease(connections, holder, monotonic=lambda: api.seconds)


def test_it_is_created_with_the_servers_time_and_deleted_when_given_back(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    assert api.lease is not None
    assert api.lease["spec"] == {
        "holderIdentity": "cp1:/state#run-1",
        "leaseDurationSeconds": 90,
        "acquireTime": "2026-11-21T09:00:00.000000Z",
        "renewTime": "2026-11-21T09:00:00.000000Z",
    }
    lease.release()
    assert api.lease is None


@pytest.mark.parametrize("age", [0, 30, 89])
def test_one_that_somebody_else_holds_is_refused_and_the_holder_named(api: _Api, age: int) -> None:
    api.put("cp2:/other#run-9", renewed=timedelta(seconds=age))
    with pytest.raises(RefusedError) as caught:
        _lease(api).acquire()
    assert caught.value.rule == "R8"
    assert "cp2:/other#run-9" in str(caught.value.cause)
    assert f"runs out in {90 - age} s" in caught.value.hints[1]
    assert api.holder == "cp2:/other#run-9"
    assert api.writes == 0


@pytest.mark.parametrize(
    ("holder", "age"),
    [
        pytest.param("cp2:/other#run-9", 91, id="it ran out"),
        pytest.param("cp1:/state#run-0", 1, id="a dead run of our own place"),
        pytest.param("", 1, id="nobody"),
    ],
)
def test_one_without_a_living_holder_is_taken_over(api: _Api, holder: str, age: int) -> None:
    api.put(holder, renewed=timedelta(seconds=age))
    _lease(api).acquire()
    assert api.holder == str(_US)


@pytest.mark.parametrize("place", ["cp1:/state2", "cp1:/stat", "cp1:/state#run-0"])
def test_a_place_that_only_looks_like_ours_is_somebody_else(api: _Api, place: str) -> None:
    api.put(f"{place}#run-0")
    with pytest.raises(RefusedError):
        _lease(api).acquire()


def test_a_lease_that_does_not_say_until_when_is_no_obstacle(api: _Api) -> None:
    api.put("cp2:/other#run-9", renewTime="soon")
    _lease(api).acquire()
    assert api.holder == str(_US)


def test_of_two_that_take_it_at_once_only_one_gets_it(api: _Api) -> None:
    api.before_write = lambda: api.put("cp2:/other#run-9")
    with pytest.raises(RefusedError, match="another rotation"):
        _lease(api).acquire()
    assert api.holder == "cp2:/other#run-9"


def test_of_two_that_take_over_a_dead_one_only_one_gets_it(api: _Api) -> None:
    api.put("cp3:/dead#run-3", renewed=timedelta(hours=1))
    api.before_write = lambda: api.put("cp2:/other#run-9")
    with pytest.raises(RefusedError, match="another rotation"):
        _lease(api).acquire()
    assert api.holder == "cp2:/other#run-9"


def test_it_is_taken_through_the_first_server_that_answers(api: _Api) -> None:
    api.down = {0, 1}
    _lease(api, servers=3).acquire()
    assert api.holder == str(_US)


def test_without_any_server_it_is_not_taken(api: _Api) -> None:
    api.down = {0, 1}
    with pytest.raises(UnreachableError):
        _lease(api, servers=2).acquire()


def test_it_is_renewed_after_a_third_of_its_time_and_not_before(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    api.pass_time(29)
    lease.check()
    assert api.writes == 1
    api.pass_time(2)
    lease.check()
    assert api.writes == 2
    assert api.lease is not None
    assert api.lease["spec"]["renewTime"] == "2026-11-21T09:00:31.000000Z"
    assert api.lease["spec"]["acquireTime"] == "2026-11-21T09:00:00.000000Z"


@pytest.mark.parametrize("holder", ["cp2:/other#run-9", "cp1:/state#run-2"])
def test_one_that_somebody_else_took_stops_the_run(api: _Api, holder: str) -> None:
    lease = _lease(api)
    lease.acquire()
    api.put(holder)
    api.pass_time(31)
    with pytest.raises(StoppedError) as caught:
        lease.check()
    assert (caught.value.rule, caught.value.cause) == ("R8", f"it is held by {holder}")
    assert api.holder == holder


def test_one_that_somebody_deleted_stops_the_run(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    api.lease = None
    api.pass_time(31)
    with pytest.raises(StoppedError) as caught:
        lease.check()
    assert caught.value.cause == "it is gone"


def test_one_taken_between_the_look_and_the_write_stops_the_run(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    api.pass_time(31)
    api.before_write = lambda: api.put("cp2:/other#run-9")
    with pytest.raises(StoppedError):
        lease.check()
    assert api.holder == "cp2:/other#run-9"


def test_it_is_renewed_through_another_server_while_one_restarts(api: _Api) -> None:
    lease = _lease(api, servers=2)
    lease.acquire()
    api.down = {0}
    api.pass_time(31)
    lease.check()
    assert api.writes == 2


def test_the_only_server_restarting_is_no_loss_and_it_is_renewed_as_soon_as_it_is_back(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    api.down = {0}
    api.pass_time(300)
    lease.check()
    api.down = set()
    lease.check()
    assert (api.holder, api.writes) == (str(_US), 2)


def test_giving_back_leaves_the_lease_of_somebody_else(api: _Api) -> None:
    lease = _lease(api)
    lease.acquire()
    api.put("cp2:/other#run-9")
    lease.release()
    assert api.holder == "cp2:/other#run-9"


def test_giving_back_what_was_never_taken_asks_nothing(api: _Api) -> None:
    api.put(str(_US))
    _lease(api).release()
    assert api.holder == str(_US)


def test_giving_back_through_servers_that_are_down_raises_nothing(api: _Api) -> None:
    lease = _lease(api, servers=2)
    lease.acquire()
    api.down = {0, 1}
    lease.release()
    assert api.holder == str(_US)


def test_checking_what_was_never_taken_is_a_mistake(api: _Api) -> None:
    with pytest.raises(RuntimeError):
        _lease(api).check()
