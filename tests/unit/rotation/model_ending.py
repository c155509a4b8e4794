"""How a process of keyctl may end, what an operator then does, and how everything must be after all of it."""

from __future__ import annotations

from dataclasses import replace

from keyctl.errors import (
    InterruptedEarlyError,
    KeyctlError,
    RefusedError,
    StoppedError,
    UnreachableError,
    UnusableInputError,
)
from keyctl.rotation.closing import WindowClosedError
from keyctl.rotation.plan import Stage, State
from tests.support.sim_kill import Killed
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH
from tests.unit.rotation.model_cluster import STRANGER, ModelCluster
from tests.unit.rotation.model_process import Process
from tests.unit.rotation.scenes import Scene, Was, assert_back, assert_done, go_on

_SAFE = "this state is safe for as long as you like"
# So often an operator follows a hint before it is time to say that it leads nowhere.
_PATIENCE = 12


def check_exit(cluster: ModelCluster, process: Process, watcher: Watcher) -> State | None:
    """What it ended with is one of the documented ends, and says what to do. Returns the end of the rotation, if so."""
    laws = cluster.laws
    assert laws is not None
    error = process.error
    told = [repr(event) for event in watcher.events]
    match error:
        case None:
            told.append(repr(process.result))
        case Killed():
            pass
        case KeyctlError():
            told.append(f"{error} {error.cause} {error.hints}")
            _check_error(cluster, error)
        case _:
            raise error
    laws.told("\n".join(told))
    return ended_in(cluster)


def ended_in(cluster: ModelCluster) -> State | None:
    """The end of the rotation, where it has one: what counts is that it is written down."""
    ends = [record["state"] for record in cluster.journal().records() if record["kind"] == "end"]
    return State(str(ends[-1])) if ends else None


def _check_error(cluster: ModelCluster, error: KeyctlError) -> None:
    """Exit 5 names a rule and a way on, exit 6 a way on; 4 and 130 come before the first effect, and nothing else."""
    match error:
        case RefusedError():
            assert error.rule, f"a refusal without a rule: {error}"
            assert error.hints, f"a refusal without a way on: {error}"
        case StoppedError():
            hints = "".join(error.hints)
            way_on = any(words in hints for words in ("--resume", "--if-due", "begin again"))
            early = not cluster.switch.effects
            assert way_on or early, f"a stop without a way on: {error} {error.hints}"
        case UnreachableError() | InterruptedEarlyError():
            assert not cluster.switch.effects, f"exit {error.exit_code} after an effect: {error}"
        case _:
            raise error
    if _SAFE in "".join(error.hints) or isinstance(error, WindowClosedError):
        _check_rest(cluster)


def _check_rest(cluster: ModelCluster) -> None:
    """R3: what is called a place to stay is none between the first file without a key and the last proof."""
    laws = cluster.laws
    assert laws is not None
    if laws.plan is None or not cluster.journal().unfinished() or cluster.last_proof_is_made():
        return
    for planned in laws.plan.servers:
        server = cluster.server(planned.name)
        file = server.host.files.get(CONFIG_PATH)
        stage = planned.stage_of(file.sha256 if file else None)
        gone = stage is Stage.RETIRED
        assert not gone or server.name in cluster.broken, f"R3: {server.name} has let go, and that is called safe"


def check_end(cluster: ModelCluster, scene: Scene, was: Was) -> State:
    """Nothing is wrong any more: `--resume` ends the rotation, after what it asks its operator for, if anything."""
    cluster.put_back()
    if cluster.unlisted:
        cluster.leave()
    cluster.new_process()
    cluster.clock.advance(120)
    for _ in range(_PATIENCE):
        cluster.new_process()
        if ended_in(cluster):
            break
        try:
            go_on(cluster, scene.wish)
        except KeyctlError as error:
            if not isinstance(error, RefusedError | StoppedError):
                raise
            last = error
            _check_error(cluster, error)
            obey(cluster, error)
    else:
        raise AssertionError(f"no way on: {last}; {last.cause}; {last.hints}")
    done = ended_in(cluster)
    assert done is not None
    _check_cluster(cluster, scene, was, done)
    return done


def obey(cluster: ModelCluster, error: KeyctlError) -> None:
    """What an operator does who reads the hint."""
    hint = "; ".join(error.hints)
    if "touch them" in (error.cause or ""):
        cluster.touch_files()
    if "create an object of the encrypted resource" in hint:
        cluster.client_stores(cluster.servers[0], "made", b"made")
    if "restart" in hint or "make " in hint or "bring " in hint:
        for server in cluster.servers:
            server.restart()
            cluster.clock.advance(30)
    cluster.clock.advance(120)


def _check_cluster(cluster: ModelCluster, scene: Scene, was: Was, done: State) -> None:
    try:
        _check_state(cluster, scene, was, done)
    except UnusableInputError:
        # NOTE: a file of the plan that somebody else has put there is none that the evidence knows to be there.
        if not cluster.others_wrote_ours:
            raise


def _check_state(cluster: ModelCluster, scene: Scene, was: Was, done: State) -> None:
    cluster.check_promise("the end")
    assert not cluster.unreadable_still(), "a value that landed late is still unreadable somewhere"
    assert not cluster.broken
    assert not cluster.lease_record.held(cluster.clock.monotonic())
    if done is not State.ABORTED:
        assert_done(cluster, scene)
        return
    assert cluster.laws is not None
    stayed = frozenset(key for key in was.objects if key in cluster.laws.expected)
    # NOTE: who has joined got a copy of another one's file, whichever text of that stage it was.
    joined = [server for server in cluster.servers if server.name == STRANGER]
    for server in joined:
        assert server.on_disk().entries == cluster.servers[0].on_disk().entries
        cluster.servers.remove(server)
    assert_back(cluster, replace(was, objects=stayed, files=was.files[: len(cluster.servers)]))
