"""Empty patches: what is sent, how many at a time, and that every object gets exactly one answer."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.interface import ObjectRef, Outcome, Patched
from keyctl.kube.rewrite import Patcher, patch_all
from tests.support.scripted_api import Reply, Request, ScriptedApi, reply, scripted_api, status_reply


def _refs(count: int) -> list[ObjectRef]:
    return [ObjectRef("secrets", "ns", f"s{number}", f"uid-{number}") for number in range(count)]


def _path(ref: ObjectRef) -> str | None:
    return f"/api/v1/namespaces/{ref.namespace}/secrets/{ref.name}" if ref.resource == "secrets" else None


def _sent(_: Request) -> Reply:
    return reply({"metadata": {"resourceVersion": "7"}})


def _patcher(api: ScriptedApi, *, dry_run: bool = False) -> Patcher:
    return Patcher(api.connect(), _path, dry_run)


def test_each_object_gets_one_patch_with_its_own_uid_and_nothing_else(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        results = patch_all(_patcher(api), _refs(40), workers=4)
    assert {r.ref for r in results} == set(_refs(40))
    assert {(r.outcome, r.resource_version) for r in results} == {(Outcome.SENT, 7)}
    sent = {(r.method, r.path, r.body.decode()) for r in api.requests}
    bodies = {("PATCH", _path(ref), json.dumps({"metadata": {"uid": ref.uid}})) for ref in _refs(40)}
    assert sent == bodies
    assert len(api.requests) == 40


def test_patches_are_merge_patches_answered_with_metadata_and_without_a_field_manager(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        patch_all(_patcher(api), _refs(1), workers=1)
    (asked,) = api.requests
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert "?" not in asked.path


def test_a_dry_run_says_so_to_the_server(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        patch_all(_patcher(api, dry_run=True), _refs(1), workers=1)
    assert api.requests[0].path.endswith("/s0?dryRun=All")


def test_every_worker_keeps_one_connection_and_they_work_at_the_same_time(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def meet(request: Request) -> Reply:
        together.wait(5)
        return _sent(request)

    with scripted_api(tmp_path, meet) as api:
        patch_all(_patcher(api), _refs(9), workers=3)
    assert sorted(Counter(r.connection for r in api.requests).values()) == [3, 3, 3]


def test_results_come_in_the_calling_thread_one_at_a_time(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    with scripted_api(tmp_path, _sent) as api:
        results = patch_all(
            _patcher(api), _refs(20), workers=4, on_result=lambda r: seen.append((r.ref.name, threading.get_ident()))
        )
    assert seen == [(r.ref.name, threading.get_ident()) for r in results]


def test_nothing_to_do_asks_nothing(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        assert patch_all(_patcher(api), [], workers=3) == ()
    assert api.requests == []


def test_a_resource_that_no_api_serves_is_refused_without_asking(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        (result,) = patch_all(_patcher(api), [ObjectRef("widgets.example.com", None, "w", "u")], workers=1)
    assert (result.outcome, result.message) == (Outcome.REFUSED, "no API serves widgets.example.com")
    assert api.requests == []


def test_a_busy_server_is_given_the_time_it_asks_for_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyctl.kube.rewrite._LONGEST_PAUSE", 0.4)
    moments: list[float] = []

    def busy_once(request: Request) -> Reply:
        moments.append(time.monotonic())
        return status_reply(429, "slow down", Retry_After="3600") if len(moments) == 1 else _sent(request)

    with scripted_api(tmp_path, busy_once) as api:
        results = patch_all(_patcher(api), _refs(2), workers=1)
    assert [r.outcome for r in results] == [Outcome.SLOWER, Outcome.SENT]
    assert 0.35 < moments[1] - moments[0] < 3


def test_a_server_that_stopped_answering_gets_no_more_requests_but_every_object_an_answer(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: Reply(drop=True)) as api:
        results = patch_all(_patcher(api), _refs(100), workers=2)
    assert {r.ref for r in results} == set(_refs(100))
    assert {r.outcome for r in results} == {Outcome.SLOWER}
    assert len(api.requests) < 12
    assert Counter(r.message for r in results)["not sent: the server has stopped answering"] > 90


def test_a_server_that_answers_now_and_then_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyctl.kube.rewrite._PAUSE", 0.0)

    def flaky(request: Request) -> Reply:
        return Reply(drop=True) if request.path.endswith(("1", "3", "5", "7")) else _sent(request)

    with scripted_api(tmp_path, flaky) as api:
        outcomes = Counter(r.outcome for r in patch_all(_patcher(api), _refs(50), workers=1))
    assert outcomes == {Outcome.SLOWER: 20, Outcome.SENT: 30}


def test_refused_credentials_end_the_work_with_an_error(tmp_path: Path) -> None:
    with (
        scripted_api(tmp_path, lambda _: status_reply(401, "Unauthorized")) as api,
        pytest.raises(UnreachableError, match="does not accept our credentials"),
    ):
        patch_all(_patcher(api), _refs(100), workers=2)
    assert len(api.requests) < 12


def test_a_list_of_work_that_breaks_is_not_taken_for_its_end(tmp_path: Path) -> None:
    def broken() -> Iterator[ObjectRef]:
        yield from _refs(3)
        raise RuntimeError("the scan broke")

    with scripted_api(tmp_path, _sent) as api, pytest.raises(RuntimeError, match="the scan broke"):
        patch_all(_patcher(api), broken(), workers=2)


def test_a_caller_that_fails_stops_the_workers(tmp_path: Path) -> None:
    def fail(_: Patched) -> None:
        raise ValueError("enough")

    with scripted_api(tmp_path, _sent) as api:
        with pytest.raises(ValueError, match="enough"):
            patch_all(_patcher(api), _refs(5000), workers=2, on_result=fail)
        assert len(api.requests) < 1000
    assert not [t for t in threading.enumerate() if t.name.startswith("patch-")]


def test_an_interrupt_lets_the_requests_under_way_end_and_delivers_their_results(tmp_path: Path) -> None:
    under_way = threading.Semaphore(0)
    interrupted = threading.Event()

    def interrupt(request: Request) -> Reply:
        under_way.release()
        interrupted.wait(5)
        return _sent(request)

    def press_ctrl_c() -> None:
        for _ in range(3):
            under_way.acquire()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        interrupted.set()

    delivered: list[Patched] = []
    with scripted_api(tmp_path, interrupt) as api:
        patcher = _patcher(api)
        finger = threading.Thread(target=press_ctrl_c)
        finger.start()
        with pytest.raises(KeyboardInterrupt):
            patch_all(patcher, _refs(5000), workers=3, on_result=delivered.append)
        finger.join()
    assert len(api.requests) == len(delivered) == 3
    assert {r.outcome for r in delivered} == {Outcome.SENT}


def test_work_is_taken_as_it_is_done_not_all_at_once(tmp_path: Path) -> None:
    taken = 0

    def refs() -> Iterator[ObjectRef]:
        nonlocal taken
        for ref in _refs(1000):
            taken += 1
            yield ref

    def stop_early(_: Patched) -> None:
        raise ValueError("enough")

    with scripted_api(tmp_path, _sent) as api, pytest.raises(ValueError, match="enough"):
        patch_all(_patcher(api), refs(), workers=2, on_result=stop_early)
    assert taken == len(api.requests) < 500


@pytest.mark.parametrize("workers", [0, -1])
def test_without_workers_nothing_pretends_to_be_done(tmp_path: Path, workers: int) -> None:
    with scripted_api(tmp_path, _sent) as api, pytest.raises(ValueError, match="at least one worker"):
        patch_all(_patcher(api), _refs(1), workers=workers)


def test_the_next_batch_goes_over_the_connections_of_the_one_before(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _sent) as api:
        patcher = _patcher(api)
        for _ in range(5):
            patch_all(patcher, _refs(10), workers=2)
    assert len({request.connection for request in api.requests}) <= 2


def test_a_connection_that_the_server_closed_between_two_batches_is_opened_anew(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        return reply({"metadata": {"resourceVersion": "7"}}, Connection="close") if closing else _sent(request)

    closing = True
    with scripted_api(tmp_path, answer) as api:
        patcher = _patcher(api)
        first = patch_all(patcher, _refs(4), workers=1)
        closing = False
        second = patch_all(patcher, _refs(4), workers=1)
    assert {result.outcome for result in (*first, *second)} == {Outcome.SENT}
