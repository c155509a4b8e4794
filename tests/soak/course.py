"""What happens to the servers during a soak, one after the other, and how long each takes to show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from tests.museum.site import RunningKeyctl, Site
from tests.soak.watching import Notes
from tests.support.running_exporter import RunningExporter, Served

# Seconds at which each source is looked at.
INTERVALS = {
    "values": 30,
    "servers": 15,
    "etcd": 10,
    "alarms": 10,
    "certificates": 30,
    "keys": 15,
    "backups": 15,
    "rotation": 5,
}
# Beside its interval and its look: a scrape, and a machine that is busy.
_SLACK = 10.0
# How long etcd stays away.
_AWAY = 60.0
# When something that does not show is given up.
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Expected:
    """That `what` happened shows in a scrape where `is_so`; `source` tells it."""

    what: str
    source: str
    is_so: Callable[[Served], bool]


@dataclass(frozen=True, slots=True)
class Shown:
    """`what` happened, and how many seconds later `source` showed it; at most `allowed`: its interval and its looks."""

    what: str
    source: str
    seconds: float
    allowed: float

    @property
    def in_time(self) -> bool:
        """Whether that was soon enough."""
        return self.seconds <= self.allowed


@dataclass
class Course:
    """`place` is what things happen to, `certificates` a directory that is watched; `shown` is what came of it."""

    place: Site
    exporter: RunningExporter
    notes: Notes
    certificates: Path
    shown: list[Shown] = field(default_factory=list)

    def events(self) -> Iterator[Callable[[], None]]:
        """Each thing that happens, in order."""
        yield self.rotate
        yield self.snapshot
        yield self.etcd_goes_and_comes_back
        yield self.certificate_ends
        yield self.server_goes_and_comes_back
        yield self.rotate

    def rotate(self) -> None:
        """A whole rotation: that it is under way, that it has ended, what is stored under which key then."""
        before = self._keys()
        running = self.place.start("rotate", "--yes", "--history", "ignore")
        self._begun(running)
        under_way = Expected("a rotation began", "rotation", lambda s: s.value("keyctl_rotation_under_way") == 1)
        self._expect(time.monotonic(), under_way)
        ended = running.wait()
        assert ended.code == 0, ended
        (new,) = self._keys() - before
        servers = len(self.place.apiservers)
        self._expect(
            time.monotonic(),
            Expected("it ended", "rotation", lambda s: s.value("keyctl_rotation_under_way") == 0),
            Expected("the ledger has the new key", "keys", lambda s: _key_is(s, new, "active")),
            Expected("all write with it", "servers", lambda s: s.total("keyctl_apiserver_writes", key=new) == servers),
            Expected("every value is under it", "values", lambda s: _all_under(s, new)),
        )

    def _begun(self, running: RunningKeyctl) -> None:
        """Return once the journal has the rotation, which is before anything is changed."""
        deadline = time.monotonic() + _PATIENCE
        while not self.place.journal.unfinished():
            assert not running.ended(), running.wait()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def snapshot(self) -> None:
        """A backup that is registered."""
        before = self.exporter.scrape().number("keyctl_backups")
        saved = self.place.seeded.keyctl("snapshot", "save", str(self.place.directory / "soak.db"))
        assert saved.code == 0, saved
        more = Expected("a snapshot was registered", "backups", lambda s: s.number("keyctl_backups") == before + 1)
        self._expect(time.monotonic(), more)

    def etcd_goes_and_comes_back(self) -> None:
        """The only member is killed, and started again a minute later."""
        endpoint = self.place.seeded.lab.etcd.endpoints[0]
        stored = _stored(self.exporter.scrape())
        at = time.monotonic()
        self.place.kill("etcd1")
        self._expect(
            at,
            Expected("etcd went away", "etcd", lambda s: s.value("keyctl_etcd_endpoint_up", endpoint=endpoint) == 0),
            Expected("its alarms are of before", "alarms", lambda s: not _is_up(s, "alarms")),
            Expected("its values are of before", "values", lambda s: not _is_up(s, "values")),
        )
        assert _stored(self.exporter.scrape()) == stored, "the last truth was not kept"
        time.sleep(max(0.0, _AWAY - (time.monotonic() - at)))
        self.place.bring_up("etcd1")
        self._expect(
            time.monotonic(),
            Expected("etcd came back", "etcd", lambda s: s.value("keyctl_etcd_endpoint_up", endpoint=endpoint) == 1),
            Expected("its alarms are fresh", "alarms", lambda s: _is_up(s, "alarms")),
            Expected("its values are fresh", "values", lambda s: _is_up(s, "values")),
        )
        for server in self.place.apiservers:
            self.place.bring_up(server)

    def certificate_ends(self) -> None:
        """A certificate that has ended comes to lie where certificates are looked at."""
        now = datetime.now(UTC)
        authority = new_authority("short", now=now - timedelta(days=9), lifetime=timedelta(days=20))
        subject = Subject(common_name="ended", usage=Usage.SERVER, names=("localhost",))
        pair = issue(authority, subject, now=now - timedelta(days=3), lifetime=timedelta(days=2))
        file, _ = write_pair(self.certificates, "ended", pair)
        name = "keyctl_certificate_not_after_timestamp_seconds"

        def ended(served: Served) -> bool:
            return (served.value(name, place="file", certificate=str(file)) or time.time()) < time.time() - 3600

        self._expect(time.monotonic(), Expected("a certificate has expired", "certificates", ended))

    def server_goes_and_comes_back(self) -> None:
        """An API server is killed, and started again."""
        name = self.place.apiservers[-1]
        at = time.monotonic()
        self.place.kill(name)
        down = Expected("a server went down", "servers", lambda s: s.value("keyctl_apiserver_ready", server=name) == 0)
        self._expect(at, down)
        self.place.bring_up(name)
        state = {"server": name, "state": "ok"}
        up = Expected("it is back with its file", "servers", lambda s: s.value("keyctl_apiserver_state", **state) == 1)
        self._expect(time.monotonic(), up)

    def _keys(self) -> set[str]:
        return set(self.place.seeded.generated_keys())

    def _expect(self, since: float, *expected: Expected) -> None:
        """Scrape until all that is `expected` of what happened at `since` was seen, and note when each first was."""
        seen: dict[Expected, float] = {}

        def all_seen(served: Served) -> bool:
            for one in expected:
                if one not in seen and one.is_so(served):
                    seen[one] = time.monotonic() - since
            return len(seen) == len(expected)

        served = self.exporter.wait_for(all_seen, _PATIENCE)
        for one in expected:
            # NOTE: a look that was under way when it happened may not have seen it; the next one has to.
            took = served.number("keyctl_source_duration_seconds", source=one.source)
            looks = 2 * max(took, self.notes.longest.get(one.source, 0.0))
            self.shown.append(Shown(one.what, one.source, seen[one], INTERVALS[one.source] + looks + _SLACK))


def _is_up(served: Served, source: str) -> bool:
    return served.value("keyctl_source_up", source=source) == 1


def _key_is(served: Served, name: str, state: str) -> bool:
    return served.total("keyctl_key_state", key=name, state=state) == 1


def _stored(served: Served) -> float:
    return served.total("keyctl_stored_values", resource="secrets") or 0.0


def _all_under(served: Served, name: str) -> bool:
    under = served.total("keyctl_stored_values", resource="secrets", key=name, state="ok")
    return under is not None and under == _stored(served) and served.value("keyctl_verify_exit_code") == 0
