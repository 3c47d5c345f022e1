"""The quota windows: the stream carries the most used of them; filtering asks the gateway for more, and all can be read."""

from __future__ import annotations

import asyncio

from spork.console.gateway.faults import LinkFault
from spork.console.ui.screens.listing import Listing

SEARCH_SECONDS = 0.4
"""Without typing for so long, what was typed is asked for."""
WHOLE_PAGE = 500
STREAMED = 200
"""The stream carries so many quota windows, the most used; more are found by searching, or by `:quotas all`."""
MOST = 10_000


class Quotas(Listing):
    """A list that is longer than what is here of it."""

    def arrive(self, argument: str) -> None:
        if argument == "all":
            self.host.work(self._load_all(), "search")
        else:
            super().arrive(argument)

    def set_filter(self, text: str) -> str:
        problem = super().set_filter(text)
        shelf = self.session.store.shelves["quotas"]
        there = len(shelf.rows)
        longer = there >= STREAMED if shelf.total is None else shelf.total > there
        if longer and not problem:
            self.host.work(self._search(text), "search")
        return problem

    async def _load_all(self) -> None:
        """Page after page until all are here, or MOST of them."""
        cursor, read = "", 0
        while self.session.client is not None and read < MOST:
            params = {"cursor": cursor} if cursor else {}
            try:
                page = await self.session.client.page("quotas", top=WHOLE_PAGE, **params)
            except LinkFault as fault:
                self.host.tell(f"quotas: {fault.word} {fault}", "bad")
                return
            self.session.store.delta("quotas", page.items, (), page.rev)
            read += len(page.items)
            self.host.tell(f"{read} quota windows read", "dim")
            if not page.next_cursor or not page.items:
                return
            cursor = page.next_cursor

    async def _search(self, text: str) -> None:
        await asyncio.sleep(SEARCH_SECONDS)
        words = text.strip()
        if self.session.client is None or not words or set(words) & set("!:|<>="):
            return
        try:
            page = await self.session.client.page("quotas", top=200, q=words)
        except LinkFault as fault:
            self.host.tell(f"search: {fault}", "bad")
            return
        self.session.store.delta("quotas", page.items, (), page.rev)
