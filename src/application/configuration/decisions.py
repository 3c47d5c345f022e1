"""What is said of the decision API: who may ask, from which front, and which guards a decision leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Phases of guards that look into a body, keep an answer or hold a place until the answer is over: no decision can.
LEFT_OUT: Final = frozenset(("webhook", "decode", "schema", "idempotency", "stale", "transform", "shed"))


@dataclass(frozen=True, slots=True)
class DataPlane:
    """A proxy that forwards by this gateway's routes. `kind`: traefik. `strict` refuses what it cannot express; `decide` is
    where it asks for decisions (`host:port`), empty for where this process listens."""

    name: str
    kind: str = "traefik"
    strict: bool = False
    entry_points: tuple[str, ...] = ("web",)
    decide: str = ""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decision API. `listen`: `host:port`, `unix:path`, or empty for the data listener. `peers`: networks that may ask,
    and `unix`. `normalize`: fronts whose paths are normalised before they are judged."""

    listen: str = ""
    peers: tuple[str, ...] = ()
    fronts: tuple[str, ...] = ()
    secret: str = ""
    unknown: str = "deny"
    normalize: tuple[str, ...] = ()
