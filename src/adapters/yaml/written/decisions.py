"""The decision API as written: who may ask whether a request may pass."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import DecisionListen, DecisionPeer, Secret
from spork.adapters.yaml.written.form import Written

Front = Literal["traefik", "nginx", "caddy", "haproxy", "envoy"]


class Export(Written, frozen=True):
    """A proxy that polls its configuration from GET /admin/v1/exports/NAME. See docs/decisions.md."""

    data_plane: Annotated[Literal["traefik"], "What reads it; traefik by its HTTP provider."] = "traefik"
    strict: Annotated[bool, "Give out nothing while a route has a policy that it cannot express."] = False
    entry_points: Annotated[tuple[str, ...], "Its entry points that serve the routes."] = ("web",)
    decide: Annotated[str, "Where it asks for decisions, host:port; left out: where this gateway listens."] = ""


class Decisions(Written, frozen=True):
    """Decisions for other proxies, asked at /decide/FRONT. See docs/decisions.md."""

    listen: Annotated[
        DecisionListen, "A listener of its own: 127.0.0.1:8200, or unix:PATH; left out: the data listener answers."
    ] = ""
    from_: Annotated[
        tuple[DecisionPeer, ...],
        "Networks that may ask, and `unix` for peers on a unix socket; none: nobody. All others are answered 404.",
    ] = msgspec.field(default=(), name="from")
    fronts: Annotated[tuple[Front, ...], "Fronts that ask; the others' endpoints do not exist."] = ()
    secret: Annotated[Secret, "Also asked for, in X-Gateway-Decide; write it as ${VAR}."] = ""
    unknown: Annotated[Literal["deny", "allow"], "What is said of requests that no route takes."] = "deny"
    normalize: Annotated[
        Front | tuple[Front, ...],
        "Fronts that normalise the path for their target before they ask: theirs is normalised, not refused.",
    ] = ()
