"""The palette finds objects by their names and requests by their ids, beside commands by their words."""

from __future__ import annotations

from functools import partial

from textual.command import Hit, Hits, Provider
from textual.content import Content

from spork.console.pictures.links import search
from spork.console.ui.main import MainScreen


class Objects(Provider):
    """See the module."""

    async def search(self, query: str) -> Hits:
        screen = self.screen
        if not isinstance(screen, MainScreen):
            return
        for at, link in enumerate(search(screen.session.store, query)):
            shown = Content(link.label)  # never parsed: names are what others wrote
            yield Hit(1.0 - at / 1000, shown, partial(screen.jump, link), text=link.label, help=link.place)
