"""The decision API: its door, and where it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.handover import port_of
from spork.adapters.edge.sockets import socket_at
from spork.application.configuration.decisions import Decisions
from spork.application.configuration.model import Configuration
from spork.application.decisions.door import DecisionCounts, DecisionDoor
from spork.application.exchange.answers import Gateway, ProblemResponses
from spork.application.exchange.exchange import Current
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.pipeline.admission import Admission
from spork.application.pipeline.forwarder import Forwarder
from spork.domain.decisions.fronts import DECIDE
from spork.domain.http.head import RequestHead


class Deciding:
    """The decision API of one process. `counts` is what it counts, for the metrics."""

    def __init__(
        self, admission: Admission, forwarder: Forwarder, refusals: ProblemResponses, current: Current
    ) -> None:
        self.counts = DecisionCounts()
        self._refusals = refusals
        self.door = DecisionDoor(admission, forwarder, refusals, current, self.counts)

    def edge(self, configuration: Configuration) -> Edge:
        """The edge of a listener that answers nothing but decisions."""
        return Edge(
            self._refusals, gateway=self.door, limits=configuration.edge, front_door="protocol", exact_below=DECIDE
        )

    def beside(self, forwarder: Forwarder, decisions: Decisions | None) -> Gateway:
        """What the data listener serves: the proxy, and decisions where they have no listener of their own."""
        return forwarder if decisions is None or decisions.listen else _Both(forwarder, self.door)


class _Both:
    """Decisions below `/decide/`, the proxy everywhere else."""

    def __init__(self, forwarder: Forwarder, door: DecisionDoor) -> None:
        self._forwarder = forwarder
        self._door = door

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        chosen = self._door if head.path.startswith(DECIDE) else self._forwarder
        await chosen.handle(head, body, sink)

    def __repr__(self) -> str:
        return f"<decisions beside {self._forwarder!r}>"


def decision_socket(
    decisions: Decisions | None, take: Callable[[str, int], socket.socket | None] = lambda name, port: None
) -> socket.socket | None:
    """The socket of decisions that have a listener of their own: one that `take` has for that name and port (-1 for a unix
    socket), or a new one. Raises CannotListen."""
    if decisions is None or not decisions.listen:
        return None
    return take("decisions", port_of(decisions.listen)) or socket_at(decisions.listen)
