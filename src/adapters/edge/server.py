"""The gateway's listeners in one event loop, from start-up to the last answer.

Shutdown, in order (each step has a test):
1. `on_drain` is called: readiness turns to 503, so that load balancers look away.
2. For `drain_delay` seconds everything is still accepted; every answer carries `Connection: close`.
3. The listeners close. Idle connections close, WebSockets are told 1001.
4. Requests in flight have until `grace` seconds after step 3; then they are cancelled.
SIGUSR2 starts a successor with the same sockets (`handover.py`); once it serves, steps 1 and 3 change places, for nobody
has to look away: listeners close at once, and tunnels and streams go on until `_LAST_WORDS_OF_STREAMS` before `grace` is over.
A second signal ends it at once. uvicorn's own order would refuse new connections before anybody knew of the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvicorn

from spork.adapters.edge.certificates import NamesOf, no_names, renew, server_context
from spork.adapters.edge.handover import Successor
from spork.adapters.edge.proxied import Peers, ProxiedServer
from spork.application.configuration.model import ListenerTls
from spork.domain.http.proxy_protocol import Origin

log = logging.getLogger("spork.edge")

#: How often the end of the requests in flight is looked for, in seconds.
_LOOK = 0.05
#: Seconds of the grace period that are left for tunnels and streams to end after a handover.
_LAST_WORDS_OF_STREAMS = 5.0
#: What cancelled exchanges have to close themselves, in seconds.
_LAST_WORDS = 1.0

Callback = Callable[[], Awaitable[None] | None]


class CannotStart(Exception):
    """The server cannot start; str() is one sentence for the operator."""


def _edge_module() -> Any:
    """The modules above httptools; without it there is no edge to trust (h11 accepts far more)."""
    try:
        from spork.adapters.edge import protocol
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "httptools":
            raise CannotStart("the httptools package is missing: the gateway reads HTTP with nothing else") from error
        raise
    return protocol


class _Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to `EdgeServer` and gives a TLS handshake no longer than a request head. `peers` are
    those that speak the PROXY protocol; None: nobody does."""

    def __init__(self, config: uvicorn.Config, handshake_timeout: float, peers: Peers | None = None) -> None:
        super().__init__(config)
        self._handshake_timeout = handshake_timeout
        self._peers = peers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        config = self.config
        self.lifespan = config.lifespan_class(config)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise CannotStart("the application of a listener failed to start")
        loop = asyncio.get_running_loop()
        if self._peers is not None:
            self.servers = [
                cast(Any, ProxiedServer(sock, self._peers, self._proxied, config.ssl, self._handshake_timeout))
                for sock in sockets or ()
            ]
            self.started = True
            return
        self.servers = [
            await loop.create_server(
                partial(cast(Any, config.http_protocol_class), config, self.server_state, self.lifespan.state),
                sock=sock,
                ssl=config.ssl,
                ssl_handshake_timeout=self._handshake_timeout if config.ssl is not None else None,
                backlog=config.backlog,
            )
            for sock in sockets or ()
        ]
        self.started = True

    def _proxied(self, origin: Origin | None) -> Any:
        """The protocol of a connection that a balancer says is for `origin`."""
        protocol = cast(Any, self.config.http_protocol_class)(self.config, self.server_state, self.lifespan.state)
        protocol.connection.origin = origin
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Listener:
    """One listening socket, its edge, and the ASGI application behind it. `lifespan`: uvicorn's on, off or auto.
    `proxies` are the peers that speak the PROXY protocol: networks, or `unix`."""

    name: str
    sock: socket.socket
    edge: Any
    app: Any
    tls: ListenerTls | None = None
    lifespan: str = "auto"
    proxies: tuple[str, ...] = ()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it really listens on."""
        name = self.sock.getsockname()
        return name[0], name[1]


class EdgeServer:
    """Runs listeners until a signal or `stop`. Times in seconds.

    `on_drain` is called once when draining begins, `on_reload` on SIGHUP; both may be coroutines.
    `names_of` reads the names that further certificates are chosen by. `on_reopen` is called on SIGHUP and SIGUSR1: log files were moved away.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        *,
        drain_delay: float = 5.0,
        grace: float = 25.0,
        on_drain: Callback | None = None,
        on_reload: Callback | None = None,
        on_reopen: Callback | None = None,
        names_of: NamesOf = no_names,
        supervised: bool = False,
        named: Mapping[str, socket.socket] | None = None,
    ) -> None:
        """`supervised`: a parent process starts the successor, and SIGUSR2 says that it serves. `named` are the sockets that
        a successor is given; left out: those of the listeners by their names."""
        self._named = named if named is not None else {each.name: each.sock for each in listeners}
        self._names_of = names_of
        self._supervised = supervised
        self.listeners = list(listeners)
        self.drain_delay = drain_delay
        self.grace = grace
        self._on_drain = on_drain
        self._on_reload = on_reload
        self._on_reopen = on_reopen
        self._servers: list[_Listener] = []
        self._contexts: list[tuple[ssl.SSLContext, Listener]] = []
        self._stop = asyncio.Event()
        self._handed_over = False
        self._successor: Successor | None = None
        self._at_once = asyncio.Event()
        self._started = asyncio.Event()
        self._side_work: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Requests that are being worked on."""
        return sum(listener.edge.in_flight for listener in self.listeners)

    async def started(self) -> None:
        """Wait until every listener accepts."""
        await self._started.wait()

    def stop(self) -> None:
        """Begin to drain; called again, end at once. Safe from a signal handler of the loop."""
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def hand_over(self) -> None:
        """Start a successor with the sockets; once it serves, finish what is here and end."""
        if self._successor is not None or self._stop.is_set():
            return
        try:
            self._successor = successor = Successor(self._named)
        except OSError as error:
            log.error("a successor cannot be started: %s", error)
            return
        asyncio.get_running_loop().add_reader(successor.ready, self._successor_said, successor)

    def _successor_said(self, successor: Successor) -> None:
        serves = successor.serves()
        if serves is None:
            return
        asyncio.get_running_loop().remove_reader(successor.ready)
        if serves:
            self.handed_over()
        else:
            self._successor = None

    def handed_over(self) -> None:
        """Somebody else accepts on the sockets now: finish what is here and end."""
        self._handed_over = True
        self.stop()

    def reload_certificates(self) -> None:
        """Read certificates and keys of all TLS listeners again, for connections that begin from now on.

        Raises OSError, ssl.SSLError or ValueError; what was loaded before then stays in force.
        """
        for context, listener in self._contexts:
            if listener.tls is not None:
                renew(context, listener.tls, self._names_of)

    def certificates_may_have_changed(self) -> None:
        """`reload_certificates` where what is loaded stays in force if it fails, and the log says so."""
        try:
            self.reload_certificates()
        except (OSError, ValueError) as error:
            log.error("The certificates stay as they were: %s", error)

    async def run(self) -> None:
        """Serve until told to stop, then drain. Raises CannotStart, or OSError for unreadable certificates."""
        try:
            with self._signals():
                for listener in self.listeners:
                    await self._open(listener)
                self._started.set()
                await self._stop.wait()
                await self._drain()
        finally:
            await self._close()

    # -- start -------------------------------------------------------------------------------------------------------

    async def _open(self, listener: Listener) -> None:
        protocol = _edge_module().EdgeProtocol
        config = uvicorn.Config(
            listener.app,
            http=cast(Any, partial(protocol, listener.edge)),
            ws="none",
            lifespan=cast(Any, listener.lifespan),
            interface="asgi3",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        if listener.tls is not None:
            context = server_context(listener.tls, self._names_of)
            config.ssl = context
            self._contexts.append((context, listener))
        peers = Peers(listener.proxies) if listener.proxies else None
        server = _Listener(config, listener.edge.limits.header_timeout, peers)
        await server.startup([listener.sock])
        self._servers.append(server)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 opens logs anew; as they were before, afterwards."""
        loop = asyncio.get_running_loop()
        handled: list[signal.Signals] = []
        try:
            for number, handler in (
                (signal.SIGTERM, self.stop),
                (signal.SIGINT, self.stop),
                (signal.SIGHUP, self._reload),
                (signal.SIGUSR1, self._reopen),
                (signal.SIGUSR2, self.handed_over if self._supervised else self.hand_over),
            ):
                try:
                    loop.add_signal_handler(number, handler)
                    handled.append(number)
                except (ValueError, RuntimeError, NotImplementedError):
                    break  # not the main thread: whoever runs us there calls `stop`
            yield
        finally:
            for undone in handled:
                loop.remove_signal_handler(undone)

    def _reopen(self) -> None:
        self._aside(_call(self._on_reopen))

    def _reload(self) -> None:
        self._reopen()
        self._aside(self._reloaded())

    async def _reloaded(self) -> None:
        self.certificates_may_have_changed()
        await _call(self._on_reload)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._side_work.add(task)
        task.add_done_callback(self._side_work.discard)

    # -- end ---------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        for listener in self.listeners:
            listener.edge.drain()
        grace = self.grace
        if self._handed_over:
            self._stop_accepting()
            for listener in self.listeners:
                listener.edge.retire_idle()
            await self._while_busy(max(grace - _LAST_WORDS_OF_STREAMS, 0.0))
            grace = min(grace, _LAST_WORDS_OF_STREAMS)
            await _call(self._on_drain)
        else:
            await _call(self._on_drain)
            await self._unless_at_once(self.drain_delay)
            self._stop_accepting()
        for listener in self.listeners:
            listener.edge.retire()
        if not await self._while_busy(grace):
            log.warning("%d requests were still in flight after the grace period", self.in_flight)

    def _stop_accepting(self) -> None:
        for server in self._servers:
            for accepting in server.servers:
                accepting.close()
        for listener in self.listeners:
            listener.sock.close()

    async def _while_busy(self, seconds: float) -> bool:
        """Wait for what is in flight; False when the time is up before it is over."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._busy() and not self._at_once.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await self._unless_at_once(min(_LOOK, left))
        return True

    def _busy(self) -> bool:
        return any(listener.edge.in_flight or listener.edge.connections for listener in self.listeners)

    async def _unless_at_once(self, seconds: float) -> None:
        """Sleep, but no longer than until the second signal."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._at_once.wait(), seconds)

    async def _close(self) -> None:
        for server in self._servers:
            for accepting in server.servers:
                accepting.close()
        for listener in self.listeners:
            listener.edge.abort()
            listener.sock.close()
        tasks = [task for listener in self.listeners for task in listener.edge.tasks()]
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for server in self._servers:
            await server.lifespan.shutdown()
        if self._side_work:
            await asyncio.wait(self._side_work, timeout=_LAST_WORDS)


async def _call(callback: Callback | None) -> None:
    """Call a hook of the process's life. Its failure must not keep the server from its next step."""
    if callback is None:
        return
    try:
        outcome = callback()
        if outcome is not None:
            await outcome
    except Exception:
        log.exception("A callback of the server failed")


def run_until_done(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on uvloop, or on asyncio's loop where uvloop does not exist."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        from uvicorn.loops.auto import auto_loop_factory

        factory = auto_loop_factory(use_subprocess=False)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
