"""A roll-over on an etcd in memory: killed at every effect, resumed, aborted; and what it does not begin or go past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError
from keyctl.pki.authority import Terms, create
from keyctl.pki.generation import Generation
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from keyctl.renewing.plan import Kind, Party
from keyctl.renewing.rollover import Rollover, settle, under_way
from tests.support.tls_site import FOLDER, FakeParty, FakePorts, FakeSite, Killed, Killer, watched

MEMBERS = ["m1", "m2", "m3"]
API_SERVERS = ["cp1", "cp2"]
ROOT = "/srv/etcd-pki"
M1 = Party(Kind.MEMBER, "m1")
CP1 = Party(Kind.API_SERVER, "cp1")


@dataclass
class MemoryJournal:
    """See `Journal`."""

    records: list[dict[str, object]] = field(default_factory=list)

    def append(self, kind: str, at: datetime, fields: Mapping[str, object]) -> None:
        self.records.append({"kind": kind, **fields})

    def unfinished(self) -> tuple[Mapping[str, object], ...]:
        opened: list[dict[str, object]] = []
        for record in self.records:
            opened = [record] if record["kind"] == "begin" else [] if record["kind"] == "end" else [*opened, record]
        return tuple(opened)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Layout]:
    root, day = tmp_path_factory.mktemp("pki"), timedelta(days=1)
    terms = Terms(datetime.now(UTC), day)
    parties = [Member(name, ("127.0.0.1",)) for name in MEMBERS], [Client("kube-apiserver")]
    old, new = (create(root / name, *parties, terms, ca_lifetime=2 * day, one_ca=False) for name in ("old", "new"))
    return old, new


@dataclass
class Scene:
    """A site with its journal, and what was said."""

    fake: FakeSite
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    said: list[str] = field(default_factory=list)

    def rollover(self) -> Rollover:
        return Rollover(self.fake.site(), self.journal, self.said.append, root=ROOT)

    def go_on(self, *, back: bool = False) -> None:
        """As the command does: a new one, or that which is under way."""
        found = under_way(self.journal)
        if found is None:
            self.rollover().begin(())
        elif found.settling is not None:
            settle(self.fake, self.journal, self.fake.clock, found, back=back)
        elif back:
            self.rollover().abort()
        else:
            self.rollover().resume(handed=False)

    def everybody_is(self, generation: Generation) -> bool:
        return all(
            one.shows(stem) is generation
            and set(one.loaded.values()) == {one.written(name) for name in one.bundles} == {frozenset({generation})}
            for one in self.fake.parties.values()
            for stem in one.stems
        )

    def party(self, party: Party) -> FakeParty:
        return self.fake.parties[party]


@pytest.fixture
def scene(directories: tuple[Layout, Layout]) -> Scene:
    return Scene(FakeSite.of(*directories, MEMBERS, API_SERVERS))


def test_in_the_end_everybody_shows_and_trusts_the_new_ca_alone(scene: Scene) -> None:
    scene.go_on()
    assert scene.everybody_is(Generation.NEW)
    assert scene.fake.settled == [Generation.NEW]
    assert not scene.journal.unfinished()
    # Trust, distrust, and an API server once more for its own certificate.
    starts = {party.kind: one.starts - 1 for party, one in scene.fake.parties.items()}
    assert starts == {Kind.MEMBER: 2, Kind.API_SERVER: 3}


def killed_at(scene: Scene, point: int, monkeypatch: pytest.MonkeyPatch, *, back: bool = False) -> bool:
    """Go on until the process is killed at `point`; whether it was. After each effect everybody gets through."""

    def look() -> None:
        assert scene.fake.refused() == []
        assert len(scene.fake.torn) <= 1
        assert not [one for one in scene.fake.parties.values() if one.down]

    killer = Killer(point, look)
    with monkeypatch.context() as patch:
        for place, name, replacement in watched(scene.fake, killer):
            patch.setattr(place, name, replacement)
        patch.setattr(scene.journal, "append", killer.around(scene.journal.append))
        try:
            scene.go_on(back=back)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("back", [False, True], ids=["resumed", "aborted"])
@pytest.mark.parametrize("who", [(MEMBERS, API_SERVERS), (MEMBERS[:1], API_SERVERS[:1])], ids=["five", "two"])
def test_killed_before_and_after_every_effect_it_gets_to_its_end_and_nobody_is_refused(
    directories: tuple[Layout, Layout],
    monkeypatch: pytest.MonkeyPatch,
    who: tuple[list[str], list[str]],
    back: bool,
) -> None:
    point = 0
    while True:
        point += 1
        scene = Scene(FakeSite.of(*directories, *who))
        if not killed_at(scene, point, monkeypatch):
            break
        begun = under_way(scene.journal)
        forth = "the new CA alone" in str(begun.begun if begun else "")
        if begun is None and not scene.journal.records:
            assert scene.everybody_is(Generation.OLD)
            continue
        if begun is None:
            # Killed behind its last record.
            assert scene.everybody_is(Generation.NEW)
            continue
        if back and forth:
            with pytest.raises(RefusedError, match="no way back"):
                scene.go_on(back=True)
        # Once more, a little later each time: a run that resumes is killed as well.
        killed_at(scene, 1 + point % 17, monkeypatch, back=back and not forth)
        if scene.journal.unfinished():
            assert not killed_at(scene, 0, monkeypatch, back=back and not forth)
        assert scene.everybody_is(Generation.OLD if back and not forth else Generation.NEW)
        assert not scene.journal.unfinished()
    assert point > 30 * len([*who[0], *who[1]])


def test_a_restart_that_does_nothing_stops_it_before_the_next_party_is_touched(scene: Scene) -> None:
    scene.party(M1).deaf = True
    with pytest.raises(StoppedError, match="member m1 was not seen to trust both CAs"):
        scene.go_on()
    assert scene.fake.parties[Party(Kind.MEMBER, "m2")].starts == 1
    scene.party(M1).deaf = False
    scene.go_on()
    assert scene.everybody_is(Generation.NEW)


def test_a_port_that_goes_on_showing_the_former_certificate_stops_it_before_the_next_party(scene: Scene) -> None:
    scene.party(M1).stuck = True
    with pytest.raises(StoppedError, match="member m1 was not seen to show what it was given"):
        scene.go_on()
    assert scene.fake.parties[Party(Kind.MEMBER, "m2")].shows("server") is Generation.OLD


def test_an_api_server_that_is_still_the_process_of_before_stops_it(scene: Scene) -> None:
    scene.party(CP1).deaf = True
    with pytest.raises(StoppedError, match="API server cp1 was not seen to restart"):
        scene.go_on()
    scene.party(CP1).deaf = False
    scene.go_on(back=True)
    assert scene.everybody_is(Generation.OLD)
    assert scene.fake.settled == [Generation.OLD]


def asked_and_killed(
    scene: Scene, party: Party, restarts: int, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Party, str]]:
    """Begin where kubelets restart everybody 20 s after they were asked, and die behind the n-th asking for `party`.

    Returns who was restarted, and in which step, so far and from then on.
    """
    seen: list[tuple[Party, str]] = []

    def ask(one: FakeParty) -> None:
        def come() -> None:
            one.restart()
            seen.append((one.party, scene.said[-1]))

        scene.fake.clock.at(20.0, come)

    for one in scene.fake.parties.values():
        monkeypatch.setattr(one.host, "_on_restart", partial(ask, one))
    scene.fake.lagging = frozenset(scene.fake.parties)
    host = scene.party(party).host
    real = host.restart
    left = list(range(restarts))

    def and_die() -> None:
        real()
        left.pop()
        if not left:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(host, "restart", and_die)
        with pytest.raises(Killed):
            scene.go_on()
    scene.fake.clock.advance(5.0)
    return seen


@pytest.mark.parametrize(
    ("party", "restarts"), [(M1, 1), (CP1, 1), (CP1, 2)], ids=["of a member", "of an API server", "for its own pair"]
)
def test_a_restart_that_a_killed_run_asked_a_kubelet_for_does_not_come_in_anothers_turn(
    scene: Scene, party: Party, restarts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asked_and_killed(scene, party, restarts, monkeypatch)
    scene.go_on()
    assert scene.everybody_is(Generation.NEW)
    assert [(one, line) for one, line in seen if not line.startswith(f"{one}:")] == []
    assert {one for one, _ in seen} == set(scene.fake.parties)


@pytest.mark.parametrize("restarts", [1, 2])
def test_nor_does_it_where_the_killed_run_is_gone_back_from(
    scene: Scene, restarts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asked_and_killed(scene, CP1, restarts, monkeypatch)
    scene.go_on(back=True)
    assert scene.everybody_is(Generation.OLD)
    assert [(one, line) for one, line in seen if not line.startswith(f"{one}:")] == []


def test_nobody_is_touched_while_another_one_is_away(scene: Scene) -> None:
    scene.rollover()
    scene.party(CP1).down = True
    with pytest.raises(StoppedError, match="not everybody is well") as caught:
        scene.go_on()
    assert caught.value.cause == "API server cp1 is not ready"
    assert not scene.journal.records
    scene.party(CP1).down = False
    scene.party(CP1).deaf = True
    with pytest.raises(StoppedError):
        scene.go_on()
    scene.party(CP1).deaf = False
    other = scene.fake.parties[Party(Kind.API_SERVER, "cp2")]
    other.down = True
    with pytest.raises(StoppedError, match="not everybody is well"):
        scene.go_on()
    assert scene.party(CP1).starts == 1


def test_a_lone_member_that_did_not_come_back_is_what_its_api_server_waits_for(
    directories: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(FakeSite.of(*directories, ["m1"], ["cp1"]))
    one = scene.party(M1)

    def fail() -> None:
        one.down = True
        raise StoppedError("host m1: the restart command failed")

    with monkeypatch.context() as patch:
        patch.setattr(one.host, "_on_restart", fail)
        with pytest.raises(StoppedError, match="the restart command failed"):
            scene.go_on()
    scene.go_on()
    assert scene.everybody_is(Generation.NEW)


def test_a_host_with_another_ca_or_without_its_files_is_not_begun_with(scene: Scene) -> None:
    host = scene.party(M1).host
    host.place(f"{FOLDER}/ca.crt", scene.party(M1).files[Generation.NEW]["ca.crt"])
    with pytest.raises(RefusedError, match="a host does not have what the directory has"):
        scene.go_on()
    del host.files[f"{FOLDER}/server.key"]
    with pytest.raises(KeyctlError, match=r"server\.key is not there"):
        scene.go_on()
    assert not scene.journal.records


def test_a_process_that_does_not_trust_what_is_on_its_disk_is_not_begun_with(scene: Scene) -> None:
    scene.party(M1).loaded["ca.crt"] = frozenset()
    with pytest.raises(RefusedError) as caught:
        scene.go_on()
    assert caught.value.cause == "at the client port of member m1 a certificate of the old CA is refused"


def test_a_ca_file_that_somebody_else_changed_on_the_way_is_left_alone(scene: Scene) -> None:
    scene.party(CP1).deaf = True
    with pytest.raises(StoppedError):
        scene.go_on()
    scene.party(CP1).deaf = False
    foreign = scene.party(M1).files[Generation.OLD]["server.crt"]
    scene.party(CP1).host.place(f"{FOLDER}/ca.crt", foreign)
    with pytest.raises(RefusedError, match="holds other CAs than the directory"):
        scene.go_on()
    assert scene.party(CP1).on_disk("ca.crt") == foreign


def test_the_census_finds_a_pair_that_somebody_put_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scene.party(M1)
    restart = scene.fake.parties[Party(Kind.API_SERVER, "cp2")].restart

    def and_put_back() -> None:
        restart()
        for name in ("peer.crt", "peer.key"):
            one.host.place(f"{FOLDER}/{name}", one.files[Generation.OLD][name])

    last = scene.fake.parties[Party(Kind.API_SERVER, "cp2")]
    monkeypatch.setattr(last.host, "_on_restart", and_put_back)
    with pytest.raises(StoppedError, match="the census found one") as caught:
        scene.go_on()
    assert caught.value.cause == f"member m1: peer.crt and its key in {FOLDER} are not those of the directory"
    monkeypatch.setattr(last.host, "_on_restart", restart)
    assert {one.loaded["ca.crt"] for one in scene.fake.members} == {frozenset(Generation)}


def test_it_stops_for_other_clients_and_each_stop_is_passed_by_word_alone(scene: Scene) -> None:
    with pytest.raises(StoppedError, match="other clients need both CAs first") as caught:
        scene.rollover().begin(("backup",))
    assert caught.value.hints[0] == "here are both CAs"
    with pytest.raises(StoppedError, match="other clients need both CAs first"):
        scene.rollover().resume(handed=False)
    with pytest.raises(StoppedError, match="other clients need their new keys and certificates first"):
        scene.rollover().resume(handed=True)
    assert {one.shows("server") for one in scene.fake.members} == {Generation.NEW}
    scene.rollover().resume(handed=True)
    assert scene.everybody_is(Generation.NEW)


def test_a_stop_that_nobody_has_reached_is_not_passed_by_word(scene: Scene) -> None:
    scene.party(M1).deaf = True
    with pytest.raises(StoppedError, match="was not seen to trust"):
        scene.rollover().begin(("backup",))
    scene.party(M1).deaf = False
    with pytest.raises(StoppedError, match="other clients need both CAs first"):
        scene.rollover().resume(handed=True)


def test_going_back_waits_until_other_clients_have_their_former_files(scene: Scene) -> None:
    for handed in (None, True):
        with pytest.raises(StoppedError):
            scene.rollover().begin(("backup",)) if handed is None else scene.rollover().resume(handed=True)
    with pytest.raises(StoppedError, match="their former keys and certificates first"):
        scene.rollover().abort()
    assert {one.loaded["ca.crt"] for one in scene.fake.members} == {frozenset(Generation)}
    scene.rollover().resume(handed=True)
    assert scene.everybody_is(Generation.OLD)


def test_what_is_under_way_goes_on_with_the_same_parties_and_directory_alone(scene: Scene) -> None:
    with pytest.raises(RefusedError, match="no roll-over is under way"):
        scene.rollover().resume(handed=False)
    with pytest.raises(StoppedError):
        scene.rollover().begin(("backup",))
    site = scene.fake.site()
    other = Rollover(site, scene.journal, scene.said.append, root="/elsewhere")
    with pytest.raises(RefusedError, match="that is under way is that of"):
        other.resume(handed=True)
    del scene.fake.parties[CP1]
    with pytest.raises(RefusedError, match="names other members or API servers"):
        scene.rollover().resume(handed=True)


def test_somebody_issued_since_the_new_cas_were_made_is_not_left_behind(scene: Scene) -> None:
    scene.fake.strangers = "client late"
    with pytest.raises(RefusedError, match="client late"):
        scene.go_on()
    assert not scene.journal.records


def test_somebody_issued_on_the_way_is_not_locked_out_by_going_on_and_does_not_stop_going_back(scene: Scene) -> None:
    with pytest.raises(StoppedError):
        scene.rollover().begin(("backup",))
    scene.fake.strangers = "client late"
    with pytest.raises(RefusedError, match="client late"):
        scene.rollover().resume(handed=True)
    assert {one.shows("server") for one in scene.fake.members} == {Generation.OLD}
    scene.rollover().abort()
    assert scene.everybody_is(Generation.OLD)


def test_an_api_server_that_was_silent_when_it_was_to_restart_is_not_taken_for_another_process(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = scene.party(CP1)
    scene.fake.clock.advance(3600.0)
    sweep = one.host.sweep

    def and_fall_silent(path: str) -> tuple[str, ...]:
        one.deaf, one.silent = True, 1
        return sweep(path)

    monkeypatch.setattr(one.host, "sweep", and_fall_silent)
    with pytest.raises(StoppedError, match="API server cp1 was not seen to restart") as caught:
        scene.go_on()
    assert caught.value.cause == "API server cp1 did not answer before, and has not begun since it was to restart"
    monkeypatch.undo()
    one.deaf = False
    scene.go_on()
    assert scene.everybody_is(Generation.NEW)


def test_an_api_server_whose_restart_could_not_be_seen_is_not_begun_with(scene: Scene) -> None:
    cp2 = Party(Kind.API_SERVER, "cp2")
    scene.fake.serials = {CP1: 7, cp2: 7}
    with pytest.raises(StoppedError) as caught:
        scene.go_on()
    assert "API server cp1 and API server cp2 are one process" in str(caught.value.cause)
    scene.fake.serials = {}
    scene.party(CP1).starts = 0
    with pytest.raises(StoppedError) as caught:
        scene.go_on()
    assert "API server cp1 does not say when it started" in str(caught.value.cause)
    assert not scene.journal.records


def test_a_member_at_whose_address_another_one_answers_is_not_begun_with(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePorts, "_member", lambda ports, _: ports.site.parties[M1])
    with pytest.raises(RefusedError) as caught:
        scene.go_on()
    assert caught.value.cause == f"the client port at the address of member m2 does not show server.crt of {FOLDER}"
    assert not scene.journal.records
