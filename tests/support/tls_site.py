"""An etcd and its API servers in memory, as far as TLS goes: whom a process trusts is what was on its disk when it
started, what it shows is what is there now. For tests of what renews certificates on hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from keyctl.errors import RefusedError, StoppedError
from keyctl.kube.interface import ServerProbe
from keyctl.pki.generation import Generation, Port
from keyctl.pki.inspect import parse_certificates
from keyctl.pki.layout import Layout
from keyctl.renewing.interface import Files, Place, Site
from keyctl.renewing.plan import Handing, Kind, Party
from tests.support.memory_host import MemoryHost
from tests.support.sim_clock import SimClock

FOLDER = "/etc/etcd/pki"
_CA = {Port.CLIENT: "ca.crt", Port.PEER: "peer-ca.crt"}
_STEM = {Port.CLIENT: "server", Port.PEER: "peer"}


class FakeParty:
    """A member or an API server: `deaf` ones do not restart, `down` ones do not run, `stuck` ones show the former."""

    def __init__(self, party: Party, files: Mapping[Generation, Files]) -> None:
        self.party, self.files = party, files
        self.host = MemoryHost(party.name, on_restart=self.restart)
        for name, content in files[Generation.OLD].items():
            self.host.place(f"{FOLDER}/{name}", content)
        self.starts = 0
        self.clock = SimClock()
        self.begun = 0.0
        # So many times it does not answer, although it runs.
        self.silent = 0
        self.down = self.deaf = self.stuck = False
        self.loaded: dict[str, frozenset[Generation]] = {}
        self.restart()

    def restart(self) -> None:
        """Start the process anew on what is on the disk."""
        if self.deaf:
            return
        if any(self.shows(stem) is None for stem in self.stems):
            self.down = True
            raise StoppedError(f"{self.party} does not start: a key is not that of its certificate")
        self.loaded = {name: self.written(name) for name in self.bundles}
        self.starts, self.down = self.starts + 1, False
        self.begun = self.clock.monotonic()

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(name[:-4] for name in self.files[Generation.OLD] if name.endswith(".key"))

    @property
    def bundles(self) -> tuple[str, ...]:
        return tuple(name for name in self.files[Generation.OLD] if name in _CA.values())

    def on_disk(self, name: str) -> bytes:
        found = self.host.files.get(f"{FOLDER}/{name}")
        return found.content if found else b""

    def written(self, bundle: str) -> frozenset[Generation]:
        """Whom the CA file on the disk trusts."""
        content = self.on_disk(bundle)
        return frozenset(one for one, files in self.files.items() if files[bundle].strip() in content)

    def shows(self, stem: str) -> Generation | None:
        """Of which generation the pair on the disk is; None where the key is not the certificate's."""
        for generation, files in self.files.items():
            if all(self.on_disk(f"{stem}.{end}") == files[f"{stem}.{end}"] for end in ("crt", "key")):
                return generation
        return None


@dataclass
class FakeSite:
    """Everybody. `settled` is what became of the directory; `strangers` is somebody in one generation alone.

    `lagging` are those whose restart is only asked for.
    """

    parties: dict[Party, FakeParty]
    clock: SimClock = field(default_factory=SimClock)
    settled: list[Generation] = field(default_factory=list)
    strangers: str = ""
    serials: dict[Party, int] = field(default_factory=dict)
    lagging: frozenset[Party] = frozenset()

    def __post_init__(self) -> None:
        for one in self.parties.values():
            one.clock = self.clock

    @classmethod
    def of(cls, old: Layout, new: Layout, members: list[str], api_servers: list[str]) -> FakeSite:
        """From two directories of certificates."""
        named = [(Party(Kind.MEMBER, name), f"members/{name}") for name in members]
        named += [(Party(Kind.API_SERVER, name), "clients/kube-apiserver") for name in api_servers]
        return cls(
            {
                party: FakeParty(
                    party, {Generation.OLD: files_in(old.root / place), Generation.NEW: files_in(new.root / place)}
                )
                for party, place in named
            }
        )

    def site(self, only: frozenset[Generation] = frozenset(Generation)) -> Site:
        places = {
            party: Place(
                party,
                one.host,
                FOLDER,
                {generation: files for generation, files in one.files.items() if generation in only},
                60.0,
                None if party.kind is Kind.MEMBER else _Api(self, one),
                party in self.lagging,
            )
            for party, one in self.parties.items()
        }
        return Site(places, FakePorts(self), self, self.clock)

    def settle(self, generation: Generation) -> None:
        """See `Directory.settle`."""
        self.settled.append(generation)

    def told(self, handing: Handing) -> str:
        """See `Directory.told`."""
        return f"here are {handing}"

    def require_same_parties(self) -> None:
        """See `Directory.require_same_parties`."""
        if self.strangers:
            raise RefusedError(f"{self.strangers} was issued meanwhile")

    @property
    def members(self) -> list[FakeParty]:
        return [one for party, one in self.parties.items() if party.kind is Kind.MEMBER]

    @property
    def torn(self) -> list[FakeParty]:
        """Those of whom a key does not belong to its certificate now."""
        return [one for one in self.parties.values() if any(one.shows(stem) is None for stem in one.stems)]

    def connects(self, client: FakeParty, member: FakeParty) -> bool:
        """Whether a new connection of `client` to `member` comes to its end now."""
        if client.down or member.down:
            return False
        port = Port.PEER if client.party.kind is Kind.MEMBER else Port.CLIENT
        shown, asks = member.shows(_STEM[port]), client.shows("peer" if port is Port.PEER else "client")
        bundle = _CA[port]
        return shown in client.loaded[bundle] and asks in member.loaded[bundle]

    def refused(self) -> list[str]:
        """Whose new connections are refused now, or would be if either started anew."""
        torn = self.torn
        whole = [one for one in self.parties.values() if one not in torn]
        shown = {(id(one), stem): one.shows(stem) for one in whole for stem in one.stems}
        trusts = {(id(one), name): (one.loaded[name], one.written(name)) for one in whole for name in one.bundles}
        found = []
        for client, member in permutations(whole, 2):
            if member.party.kind is not Kind.MEMBER:
                continue
            port = Port.PEER if client.party.kind is Kind.MEMBER else Port.CLIENT
            serves = shown[id(member), _STEM[port]]
            asks = shown[id(client), "peer" if port is Port.PEER else "client"]
            if not all(serves in trust for trust in trusts[id(client), _CA[port]]) or not all(
                asks in trust for trust in trusts[id(member), _CA[port]]
            ):
                found.append(f"{client.party} to {member.party}")
        return found


@dataclass
class FakePorts:
    """See `Ports`, of a `FakeSite`."""

    site: FakeSite

    def shown(self, member: str, port: Port) -> int | None:
        """See `Ports.shown`."""
        one = self._member(member)
        if one.down or one.shows(_STEM[port]) is None:
            return None
        if one.stuck:
            return parse_certificates(one.files[Generation.OLD][f"{_STEM[port]}.crt"], "stuck")[0].serial
        return parse_certificates(one.on_disk(f"{_STEM[port]}.crt"), "shown")[0].serial

    def lets_in(self, member: str, port: Port, generation: Generation) -> bool | None:
        """See `Ports.lets_in`."""
        one = self._member(member)
        if one.down or one.shows(_STEM[port]) is None:
            return None
        return generation in one.loaded[_CA[port]]

    def ready(self, member: str) -> bool:
        """See `Ports.ready`: it is one of more than half that reach each other."""
        one, others = self._member(member), self.site.members
        together = 1 + sum(self.site.connects(one, other) for other in others if other is not one)
        return not one.down and one.shows("server") is not None and together > len(others) / 2

    def _member(self, name: str) -> FakeParty:
        return self.site.parties[Party(Kind.MEMBER, name)]


@dataclass
class _Api:
    site: FakeSite
    one: FakeParty

    def probe(self) -> ServerProbe:
        """Ready where it reaches a member."""
        if self.one.down:
            return ServerProbe(self.one.party.name, ready=False, problem="connection refused")
        if self.one.silent:
            self.one.silent -= 1
            return ServerProbe(self.one.party.name, ready=False, problem="timed out")
        ready = any(self.site.connects(self.one, member) for member in self.site.members)
        return ServerProbe(
            self.one.party.name,
            ready=ready,
            start_time=float(self.one.starts),
            certificate_serial=self.site.serials.get(self.one.party, 1 + [*self.site.parties].index(self.one.party)),
            begun=self.one.begun,
        )


class Killed(BaseException):
    """What a process that was killed does not catch."""


@dataclass
class Killer:
    """Kills at effect `at`, before or after it (two numbers each); `after` runs behind every effect."""

    at: int
    after: Callable[[], None]
    seen: int = 0

    def around(self, effect: Callable[..., object]) -> Callable[..., object]:
        """The effect, with a chance to die before and after it."""

        def act(*arguments: object, **named: object) -> object:
            self._point()
            result = effect(*arguments, **named)
            self.after()
            self._point()
            return result

        return act

    def _point(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise Killed


def files_in(folder: Path) -> dict[str, bytes]:
    """What stands in a folder of `certs init`."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def watched(fake: FakeSite, killer: Killer) -> Iterator[tuple[object, str, object]]:
    """What to put in the place of each effect of `fake` on its hosts: an object, its attribute, the new one."""
    for one in fake.parties.values():
        for name in ("write", "restart"):
            yield one.host, name, killer.around(getattr(one.host, name))
    yield fake, "settle", killer.around(fake.settle)
