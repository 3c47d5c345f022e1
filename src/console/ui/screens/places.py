"""Which pane shows a place. A pane's module is imported when its place is first visited: the first picture needs one."""

from __future__ import annotations

from spork.console.pictures.tables import TABLES
from spork.console.ui.host import Host
from spork.console.ui.screens.pane import Pane
from spork.console.ui.screens.pulse import Pulse


def pane_for(host: Host, place: str, key: str) -> Pane:
    """A new pane for a place of the registry and the key of what it shows ('' for lists)."""
    if place == "pulse":
        return Pulse(host)
    if place == "quotas":
        from spork.console.ui.screens.quotas import Quotas

        return Quotas(host, TABLES[place])
    if place in TABLES:
        from spork.console.ui.screens.listing import Listing

        return Listing(host, TABLES[place])
    if place == "beside":
        from spork.console.ui.screens.beside import NARROWEST, Beside

        room = max(1, host.width // NARROWEST)
        return Beside(host, [host.contexts[name] for name in key.split()[:room] if name in host.contexts])
    if place == "config":
        from spork.console.ui.screens.config import Config

        return Config(host)
    if place == "route":
        from spork.console.ui.screens.explain import Explain

        return Explain(host, key)
    from spork.console.ui.screens.detail import Detail

    return Detail(host, place, key)


def is_kept(place: str) -> bool:
    """Does the place's pane stay when another one is looked at, with its filter and cursor?"""
    return place in ("pulse", "config") or place in TABLES
