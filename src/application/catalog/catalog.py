"""The catalog of one process: follows the documents, merges them anew when anything changes, and serves what comes of it.

Everything long is done in turns of two milliseconds beside requests. A document for an audience is made when it is first
asked for, kept as bytes, and answered from these until something changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from spork.application.catalog.audiences import EVERYBODY, Audience
from spork.application.catalog.contracts import Contracts
from spork.application.catalog.documents import Documents, KeptDocument
from spork.application.catalog.exposures import StatusOf, exposures, next_change
from spork.application.catalog.offline import source_of
from spork.application.catalog.site import NO_SITE, Site, read_site
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.kernel.clock import Clock
from spork.application.kernel.slices import in_turns
from spork.domain.http.head import Header
from spork.domain.openapi.merging import merging
from spork.domain.openapi.policy import DocsPolicy
from spork.domain.openapi.publication import Merged, UpstreamDocument
from spork.domain.openapi.rendering import Title, json_text, rendering
from spork.domain.openapi.yaml_text import yaml_text
from spork.domain.routing.table import Matched

log = logging.getLogger("spork.openapi")

#: Documents kept as bytes, of different audiences.
MOST_KEPT = 50
#: Seconds between two looks at what is due.
LOOK_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Text:
    """A document as it is served."""

    body: bytes
    etag: str


class Catalog:
    """`merged` is what is served now; `documents` what it comes from."""

    def __init__(
        self,
        current: Current,
        documents: Documents,
        clock: Clock,
        contracts: Contracts | None = None,
        *,
        status_of: StatusOf,
    ) -> None:
        self._status_of = status_of
        self.contracts = contracts
        self.documents = documents
        self.merged = Merged()
        #: What the pages show around the document.
        self.site: Site = NO_SITE
        self._current = current
        self._clock = clock
        self._made_of: object = None
        self._changes_at: float | None = None
        self._texts: OrderedDict[Hashable, Text] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[Text]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()

    @property
    def policy(self) -> DocsPolicy:
        """What is said about the published document, or the defaults."""
        return self._current.snapshot.configuration.docs or DocsPolicy()

    # ------------------------------------------------------------------------------------------------------- following

    def configured(self, _before: Snapshot, after: Snapshot) -> None:
        """A new configuration is in force."""
        self.documents.configure(after.configuration.upstreams)
        self._stirred.set()

    async def open(self) -> None:
        """Begin to follow. Nothing is waited for: documents come when they come."""
        self.documents.configure(self._current.snapshot.configuration.upstreams)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self.step()
            except Exception:
                log.exception("the catalog of documents")
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._stirred.wait()
            except TimeoutError:
                pass

    async def step(self) -> None:
        """Ask for what is due, and merge anew if anything changed."""
        self._stirred.clear()
        configuration = self._current.snapshot.configuration
        if configuration.docs is None and not self.documents.kept:
            self._made_of = None
            return
        await self.documents.look()
        snapshot = self._current.snapshot
        now = self._clock.unix()
        due = self._changes_at is not None and now >= self._changes_at
        made_of = (id(snapshot), self.documents.changed)
        if made_of != self._made_of or due:
            await self._merge(snapshot, now)
            self._made_of = made_of

    async def _merge(self, snapshot: Snapshot, now: float) -> None:
        configuration = snapshot.configuration
        self.site = await asyncio.to_thread(read_site, self.policy)

        def resolve(
            host: str, path: bytes, method: str, headers: tuple[Header, ...], query: bytes | None
        ) -> str | None:
            found = snapshot.table.resolve(host, path, method, headers, query)
            return found.route.name if isinstance(found, Matched) else None

        steps = merging(self.sources(), exposures(configuration, now, self._status_of), resolve, self.policy.version)
        merged = await in_turns(steps, self._clock.monotonic)
        if self.contracts is not None:
            await self.contracts.follow(self.sources(), configuration, self._clock.monotonic)
        self._changes_at = next_change(configuration, now)
        self.merged = merged
        self._texts.clear()
        self._making.clear()

    def sources(self) -> Sequence[UpstreamDocument]:
        """The documents at hand, in the order in which their upstreams are declared."""
        found = []
        for upstream in self._current.snapshot.configuration.upstreams:
            kept = self.documents.kept.get(upstream.name)
            if kept is not None and kept.document is not None:
                found.append(source_of(upstream, kept.document, kept.digest))
        return found

    # --------------------------------------------------------------------------------------------------------- serving

    async def text(self, audience: Audience = EVERYBODY, form: str = "json", operators: bool = False) -> Text:
        """The document for an audience as json or yaml; with `operators` it says routes and owners, too."""
        key: Hashable = (audience.key, form, operators)
        found = self._texts.get(key)
        if found is not None:
            self._texts.move_to_end(key)
            return found
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.ensure_future(self._make(audience, form, operators))
        made = await asyncio.shield(making)
        if self._making.get(key) is making:
            del self._making[key]
            self._texts[key] = made
            while len(self._texts) > MOST_KEPT:
                self._texts.popitem(last=False)
        return made

    async def _make(self, audience: Audience, form: str, operators: bool) -> Text:
        merged = self.merged
        pieces = await in_turns(rendering(merged, self._title(), audience.shows, operators), self._clock.monotonic)
        steps: Generator[None, None, bytes] = json_text(pieces) if form == "json" else yaml_text(pieces)
        body = await in_turns(steps, self._clock.monotonic)
        return Text(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def _title(self) -> Title:
        configuration = self._current.snapshot.configuration
        return Title(
            self.policy.title,
            "1",
            self.site.intro,
            "https" if configuration.tls is not None else "",
        )

    # --------------------------------------------------------------------------------------------------------- metrics

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        states: Mapping[str, KeptDocument] = self.documents.kept
        for name, kept in states.items():
            if kept.checked_at:
                age = max(0.0, self._clock.unix() - kept.checked_at)
                yield "gateway_openapi_document_age_seconds", (name,), age
        if self.contracts is not None:
            yield from self.contracts.samples()
