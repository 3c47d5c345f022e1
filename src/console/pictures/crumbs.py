"""What a place is called in the path above it: as its tab if it is a list, by its name if it is one thing."""

from __future__ import annotations

from collections.abc import Sequence

from spork.console.pictures.details import TOPIC_OF
from spork.console.pictures.tables import TABLES
from spork.console.session.store import Store
from spork.console.text.formats import clock, mask
from spork.console.text.spans import titled

OWN = {"pulse": "Pulse", "config": "Config", "beside": "Side by side"}
Step = tuple[str, str]


def crumbs_of(store: Store, trail: Sequence[Step]) -> list[str]:
    """A name for each place of the trail, outermost first."""
    return [_crumb(store, step, trail[at - 1] if at else None) for at, step in enumerate(trail)]


def _crumb(store: Store, step: Step, before: Step | None) -> str:
    place, key = step
    if place in OWN:
        return OWN[place] + (f" {key}" if place == "beside" else "")
    if place in TABLES:
        return titled(TABLES[place].title)
    if place == "route" and " " in key:
        return f"explain {key}"
    name = _name(store, place, key)
    if before is None or before[0] == TOPIC_OF.get(place):
        return name if before is not None else f"{titled(place)} {name}"
    if place == "target" and before == ("service", key.partition("/")[0]):
        return key.partition("/")[2]
    return f"{place} {name}"


def _name(store: Store, place: str, key: str) -> str:
    row = store.row(TOPIC_OF[place], key) if place in TOPIC_OF else None
    if row is not None and place == "quota":
        return mask(row.subject, row.kind)
    if row is not None and place == "event":
        return f"{row.kind} {clock(row.at)}Z"
    return key
