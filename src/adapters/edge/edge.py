"""What all connections of one listener share: limits, accepted hosts, the two front doors, and one sweeper.

Deadlines cost nothing per request: a connection notes when it is due on a coarse clock, and one timer looks at all
connections a few times a second. The timer runs only while there are connections.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Final

from spork.application.configuration.model import EdgeLimits
from spork.application.configuration.reading import Reading
from spork.application.exchange.answers import Gateway, GatewayResponse, ProblemResponses
from spork.application.kernel.descriptors import Descriptors
from spork.domain.http.authority import HostList
from spork.domain.http.forwarding import underscored_name
from spork.domain.http.head import UNKNOWN_HOST, RequestHead, header_name, judged_host
from spork.domain.outcomes import Denial, Fault

log = logging.getLogger("spork.edge")

#: Fields that decide how a request is read: never in `Edge.names`, so that each is looked at.
DECISIVE: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"))

_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 64
#: Connections above the limit that are still told so in an answer; those beyond are closed at once.
_EXCESS: Final = 64

#: Hears of a refusal: why, with which status, the request as far as it can be told, the request id.
Refused = Callable[[Denial, int, RequestHead, str], None]


def close_once(transport: asyncio.Transport) -> None:
    """Close a connection behind what is written. Never twice: the TLS transport of some Pythons (3.11.2 for one) forgets its
    connection when it is closed again, and then can neither flush nor be aborted."""
    if not transport.is_closing():
        transport.close()


class Watched:
    """A connection as its edge sees it: due at `deadline` on the edge's coarse clock (seconds)."""

    deadline: float
    #: Whether a request has come on it.
    used: bool
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    @property
    def idle(self) -> bool:
        """Whether nothing is being served, and no tunnel is open."""
        raise NotImplementedError

    @property
    def watched(self) -> bool:
        """Whether `watch` is to be called at each sweep."""
        raise NotImplementedError

    def watch(self, elapsed: float) -> None:
        """`elapsed` seconds have passed since the last sweep."""
        raise NotImplementedError

    def expire(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def work(self) -> list[asyncio.Task[None]]:
        """The tasks of requests being served."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Close when idle; else the answers that are due are the last ones."""
        raise NotImplementedError


class Edge:
    """One listener's edge. `in_flight` requests and `connections` are live; the rest is set at construction.

    `gateway` serves every path that is not the gateway's own; None sends everything to the listener's ASGI application.
    `own_paths`: exact (`/health`) or with everything below (`/auth/*`), served by the ASGI application, exempt from
    overload refusals. `front_door` is `protocol` (straight to `gateway`) or `mount` (through the ASGI application, with
    the `Cycle` in `scope["extensions"]["spork"]`). `any_host_paths`: own paths that answer whatever host was asked for, as
    probes ask for addresses. `on_refused(denial, status, head, request_id)` hears of each refusal made here. `descriptors` may turn clients away. Not thread-safe: one event loop.
    """

    def __init__(
        self,
        refusals: ProblemResponses,
        *,
        gateway: Gateway | None = None,
        limits: EdgeLimits | None = None,
        own_paths: Iterable[str] = (),
        any_host_paths: Iterable[str] = (),
        hosts: Iterable[str] = (),
        front_door: str | None = None,
        new_request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        on_refused: Refused | None = None,
        linger: float = 2.0,
        reading: Reading | None = None,
        exact_below: bytes = b"",
        descriptors: Descriptors | None = None,
    ) -> None:
        self._descriptors = descriptors
        self._turned_away = 0
        self._read_by(reading or Reading())
        #: Below this path a request target must be canonical as it stands; b"" for nowhere.
        self.exact_below = exact_below
        self.refusals = refusals
        self.gateway = gateway
        self.limits = limits or EdgeLimits()
        own = [path.encode("ascii") for path in own_paths]
        self._own_exact = frozenset(path.removesuffix(b"/*") for path in own)
        self._own_below = tuple(path[:-1] for path in own if path.endswith(b"/*"))
        self._any_host = frozenset(path.encode("ascii") for path in any_host_paths)
        self.mounted = (front_door or self.limits.front_door) == "mount"
        self.new_request_id = new_request_id
        self.on_refused = on_refused
        self.body_grace = self.limits.body_grace
        self.linger = linger
        self.connections: set[Watched] = set()
        self.in_flight = 0
        self.draining = False
        self.now = 0.0
        self.date = b""
        self.tick = self._tick()
        self._hosts = HostList(hosts)
        self._authorities: dict[bytes, bytes | Denial] = {}
        #: Header names as sent -> lower-case, one object per name, filled by `name`; none that is refused or decisive.
        self.names: dict[bytes, bytes] = {}
        self._dated = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        state = "draining" if self.draining else "serving"
        return f"<Edge {state}: {len(self.connections)} connections, {self.in_flight} in flight>"

    def _read_by(self, reading: Reading) -> None:
        self._reading = reading
        #: `%2F` in a path is part of its segment, not refused as a hidden boundary.
        self.keeps_slashes = reading.slashes
        #: Methods taken that the parser does not know.
        self.methods = reading.methods

    def reconfigure(self, limits: EdgeLimits, hosts: Iterable[str], reading: Reading | None = None) -> None:
        """Take new limits, accepted hosts and choices, for requests that begin from now on."""
        if reading is not None:
            self._read_by(reading)
            self.names.clear()
        self.limits = limits
        self.body_grace = limits.body_grace
        self.mounted = limits.front_door == "mount"
        self.tick = self._tick()
        self._hosts = HostList(hosts)
        self._authorities.clear()

    def _tick(self) -> float:
        """Seconds between two sweeps: fine enough for the shortest deadline."""
        limits = self.limits
        shortest = min(limits.header_timeout, limits.idle_timeout, self.body_grace, self.linger)
        return max(0.01, min(0.25, shortest / 4))

    # -- judgements that are remembered ------------------------------------------------------------------------------

    def is_own(self, path: bytes) -> bool:
        """Whether the gateway itself answers `path`."""
        return self.gateway is None or path in self._own_exact or path.startswith(self._own_below)

    def answers_any_host(self, target: bytes) -> bool:
        """Whether what the request target names is answered whatever host is asked for."""
        return target.partition(b"?")[0] in self._any_host

    def host(self, raw: bytes) -> bytes | Denial:
        """The normal form of a Host value, or why it is refused."""
        found = self._authorities.get(raw)
        return found if found is not None else self._judge_host(raw)

    def _judge_host(self, raw: bytes) -> bytes | Denial:
        named = judged_host(raw, self._hosts)
        if isinstance(named, Denial):
            return named
        if len(self._authorities) >= _REMEMBERED:
            self._authorities.clear()
        self._authorities[raw] = named
        return named

    def no_host(self) -> bytes | Denial:
        """What stands for Host where a 1.0 client sent none: nothing, unless only some hosts are served."""
        return b"" if self._hosts.accepts(b"") else UNKNOWN_HOST

    def name(self, raw: bytes) -> bytes | None:
        """The lower-case header name, one object per name; None when it is refused, b"" when its field is dropped."""
        known = self.names.get(raw)
        if known is not None:
            return known
        name = header_name(raw)
        if name is None and self._reading.underscores != "refuse":
            return underscored_name(raw, self._reading.underscores == "drop", self._reading.owned)
        if name is not None and name not in DECISIVE and len(raw) <= _LONGEST_REMEMBERED:
            if len(self.names) >= _REMEMBERED:
                self.names.clear()
            self.names[raw] = name
        return name

    def deny(self, denial: Denial, head: RequestHead) -> GatewayResponse:
        """The answer to a request refused here, and word of it to `on_refused`."""
        request_id = self.new_request_id()
        answer = self.refusals.deny(denial, request_id)
        if self.on_refused is not None:
            self.on_refused(denial, answer.status, head, request_id)
        return _named(answer, request_id)

    def fail(self, fault: Fault) -> GatewayResponse:
        """The answer to a request of an own endpoint whose body could not be had."""
        request_id = self.new_request_id()
        return _named(self.refusals.fail(fault, request_id), request_id)

    # -- connections and the sweeper ---------------------------------------------------------------------------------

    def admit(self, connection: Watched) -> bool:
        """Count a new connection in; whether it is within the limit and will be served."""
        if self._timer is None:
            self._wake(connection.loop)
        self.connections.add(connection)
        excess = len(self.connections) - self.limits.max_connections
        if excess > _EXCESS:
            connection.transport.abort()
        return excess <= 0 and (self._descriptors is None or self._may_have(connection, self._descriptors))

    def _may_have(self, connection: Watched, descriptors: Descriptors) -> bool:
        """Whether there are descriptors enough to serve one more client."""
        made = connection.transport.get_extra_info("socket")
        if made is None or descriptors.client(made.fileno()):
            return True
        self._turned_away += 1
        if not descriptors.to_tell(made.fileno()):
            connection.transport.abort()
        return False

    def _make_room(self) -> None:
        """Clients were turned away for want of descriptors: close those connections that have been idle for longest."""
        turned_away, self._turned_away = self._turned_away, 0
        idle = sorted((each for each in self.connections if each.idle), key=lambda each: each.deadline)
        for each in idle[: min(turned_away, len(idle) // 4 + 1)]:
            each.shutdown()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sweep()

    def _sweep(self) -> None:
        """Advance the coarse clock and let each connection that is due, or watched, act."""
        assert self._loop is not None
        now = self._loop.time()
        elapsed, self.now = min(now - self.now, 1.0), now
        self._set_date()
        if self._turned_away:
            self._make_room()
        for connection in tuple(self.connections):
            if connection.deadline <= now:
                connection.expire()
            if connection.watched:
                connection.watch(elapsed)
        idle = not self.connections and self._timer is not None
        self._timer = None if idle else self._loop.call_later(self.tick, self._sweep)

    def _set_date(self) -> None:
        unix = int(time.time())
        if unix != self._dated:
            self._dated = unix
            self.date = b"date: " + formatdate(unix, usegmt=True).encode("ascii")

    # -- the end -----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """From now on every answer closes its connection."""
        self.draining = True

    def retire_idle(self) -> None:
        """Close idle connections; the others end with their answer, and tunnels and streams go on for now. One that has just
        been made is not idle: its request is on its way."""
        self.draining = True
        for connection in tuple(self.connections):
            if connection.idle and connection.used:
                connection.shutdown()

    def retire(self) -> None:
        """Close idle connections, say goodbye on tunnels; the others end with their answer."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.shutdown()

    def tasks(self) -> list[asyncio.Task[None]]:
        """What works on requests right now."""
        return [task for connection in self.connections for task in connection.work()]

    def abort(self) -> None:
        """End every connection now."""
        for connection in tuple(self.connections):
            connection.transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _named(answer: GatewayResponse, request_id: str) -> GatewayResponse:
    """`answer` with its X-Request-Id and Content-Length."""
    headers = answer.headers
    if not any(name == b"x-request-id" for name, _ in headers):
        headers = (*headers, (b"x-request-id", request_id.encode("ascii")))
    if not any(name == b"content-length" for name, _ in headers):
        headers = (*headers, (b"content-length", b"%d" % len(answer.body)))
    return GatewayResponse(answer.status, headers, answer.body, answer.close)
