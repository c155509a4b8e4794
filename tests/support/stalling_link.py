"""A link to etcd that can be held up: while it is stalled everything sent piles up in it, and nothing is lost.

Connections stay open and new ones are taken. Who closes its end meanwhile does
not take back what it has sent: that is delivered on release, and the other end
sees the connection close a moment after. Bytes of one connection keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tests.support.etcd_process import free_port

_SECONDS = 10.0
_LINGER = 1.0


class StallingLink:
    """Leads from `url` to one endpoint of etcd. For every thread but its own."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, state: _State) -> None:
        self.url = url
        self._loop, self._state = loop, state

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes, in either direction, until the block ends."""
        self._do(self._state.stall)
        try:
            yield
        finally:
            self._do(self._state.release)

    def hold(self) -> Callable[[], None]:
        """From now on nothing passes on the connections that are open; later ones are free. Returns their release."""
        held: set[_End] = set()
        self._do(lambda: held.update(self._state.hold()))
        return lambda: self._do(lambda: self._state.let_go(held))

    def piled(self) -> int:
        """How many bytes have piled up."""
        counts: list[int] = []
        self._do(lambda: counts.append(self._state.piled()))
        return counts[0]

    def _do(self, act: Callable[[], None]) -> None:
        done = threading.Event()

        def call() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(call)
        assert done.wait(_SECONDS), "the link's own thread does not answer"


@contextlib.contextmanager
def stalling_link(endpoint: str) -> Iterator[StallingLink]:
    """A link to the https URL `endpoint`, on another port of its address, which is what etcd's certificate names."""
    parts = urlsplit(endpoint)
    host, port = str(parts.hostname), int(parts.port or 0)
    own = free_port(host)
    loop = asyncio.new_event_loop()
    state = _State(loop, host, port)
    server = loop.run_until_complete(loop.create_server(state.accept, host, own))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield StallingLink(f"https://{host}:{own}", loop, state)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(state.close())
        loop.close()


class _End(asyncio.Protocol):
    """One end of a connection: what it receives goes to the `other` end, as soon as there is one and the link flows."""

    def __init__(self, state: _State, other: _End | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self._state = state
        self.held = False
        self.pile = bytearray()
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._state.ends.add(self)
        if self.other is None:
            self.other = self._state.connect(self)
        else:
            self.other.pass_on()

    def data_received(self, data: bytes) -> None:
        self.pile += data
        self.pass_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._state.ends.discard(self)
        self._state.leaving.add(self)
        self.pass_on()

    def pass_on(self) -> None:
        """Hand over what there is, and the end of the connection after it; nothing while the link is stalled."""
        if self.held or self._state.stalled or self.other is None or self.other.transport is None:
            return
        if self.pile and not self.other.transport.is_closing():
            self.other.transport.write(bytes(self.pile))
        self.pile.clear()
        if self._closed:
            self._state.close_soon(self.other.transport)
            self._state.leaving.discard(self)


class _State:
    """What the link's thread knows: the open ends, and those that are gone with something yet to be delivered."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        self.stalled = False
        self.ends: set[_End] = set()
        self.leaving: set[_End] = set()
        self._loop, self._host, self._port = loop, host, port
        self._connecting: set[asyncio.Task[None]] = set()

    def accept(self) -> _End:
        return _End(self)

    def connect(self, client: _End) -> _End:
        """The other end of `client`, towards etcd; its connection is made after this."""
        upstream = _End(self, client)
        task = self._loop.create_task(self._reach(client, upstream))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return upstream

    async def _reach(self, client: _End, upstream: _End) -> None:
        try:
            await self._loop.create_connection(lambda: upstream, self._host, self._port)
        except OSError:
            if client.transport is not None:
                client.transport.close()

    def stall(self) -> None:
        self.stalled = True

    def release(self) -> None:
        self.stalled = False
        for end in (*self.leaving, *self.ends):
            end.pass_on()

    def close_soon(self, transport: asyncio.Transport) -> None:
        # NOTE: etcd drops requests of a connection that closes before it has begun with them.
        self._loop.call_later(_LINGER, transport.close)

    def hold(self) -> set[_End]:
        ends = {end for end in self.ends if not end.held}
        for end in ends:
            end.held = True
        return ends

    def let_go(self, ends: set[_End]) -> None:
        for end in ends:
            end.held = False
            end.pass_on()

    def piled(self) -> int:
        return sum(len(end.pile) for end in (*self.leaving, *self.ends))

    async def close(self) -> None:
        """Cut every connection."""
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for end in tuple(self.ends):
            if end.transport is not None:
                end.transport.abort()
        await asyncio.sleep(0)
