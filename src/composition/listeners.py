"""Data listeners beside the first: their sockets, made before any process forks, and what stands behind each."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.server import Listener
from spork.application.configuration.checks.routes import EXPOSED, PROBED
from spork.application.configuration.model import Configuration, DataListener
from spork.application.exchange.answers import ProblemResponses
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.https_redirects import HttpsRedirects


def further_listeners(
    declared: Sequence[DataListener],
    sockets: Sequence[socket.socket],
    edge: Edge,
    redirecting: Sequence[Edge],
    app: object,
) -> list[Listener]:
    """The listeners of `declared` on their `sockets`: on the edge of the data listener, or on one that sends clients on to https."""
    made = []
    edges = iter(redirecting)
    for number, (listener, sock) in enumerate(zip(declared, sockets, strict=True), 2):
        chosen = next(edges) if listener.redirect_https else edge
        made.append(Listener(f"data {number}", sock, chosen, app, listener.tls, "off", listener.proxy_protocol))
    return made


def redirecting_edges(configuration: Configuration, refusals: ProblemResponses, forwarder: Forwarder) -> list[Edge]:
    """An edge for each listener that only redirects; the gateway's own endpoints are answered there as well."""
    return [
        Edge(
            refusals,
            gateway=HttpsRedirects(forwarder, listener.https_port),
            limits=configuration.edge,
            front_door="protocol",
            own_paths=[path for name in configuration.expose if name in PROBED for path in EXPOSED[name]],
            any_host_paths=[path for name in configuration.expose if name in PROBED for path in EXPOSED[name]],
            hosts=configuration.hosts,
            on_refused=forwarder.refused,
        )
        for listener in configuration.listeners
        if listener.redirect_https
    ]


def show_certificates(changed: Configuration, first: Configuration, listeners: Sequence[Listener]) -> None:
    """Has `listeners`, made for the configuration `first`, show the certificates of the one in force. Whether a listener speaks
    TLS at all is settled at start."""
    data = [listener for listener in listeners if listener.name.startswith("data")]
    wanted = [changed.tls]
    if [each.listen for each in changed.listeners] == [each.listen for each in first.listeners]:
        wanted += [each.tls for each in changed.listeners]
    for listener, tls in zip(data, wanted, strict=False):
        if listener.tls is not None and tls is not None:
            listener.tls = tls
