"""The documents of upstreams, as this process has them: asked for conditionally, the last good one kept.

What cannot be had or read changes nothing but the report. A document that breaks clients of the one before is told of, and
with `on_breaking: keep` waits as `pending` while the old one goes on being published and enforced.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from spork.application.catalog.ports import MOST_BYTES, DocumentFetcher, DocumentReader, Fetched, Unfetched
from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.domain.openapi.bundling import bundling, spread
from spork.domain.openapi.changes import BREAKING, Change, changes
from spork.domain.openapi.document import Document, NotOpenApi
from spork.domain.openapi.policy import DocumentSource
from spork.domain.upstreams.model import Upstream

log = logging.getLogger("spork.openapi")

#: After this many intervals without a good answer a document is called stale.
STALE_AFTER = 3
#: Seconds until a failed first attempt is repeated.
RETRY = 2.0
#: Shown of one change of a document at most.
MOST_CHANGES = 200


class Shelf(Protocol):
    """Keeps the last good documents over restarts. May fail with OSError."""

    def load(self, upstream: str) -> bytes | None: ...

    def save(self, upstream: str, text: bytes) -> None: ...


class KeptDocument:
    """One upstream's document. Times are Unix seconds, 0.0 for never."""

    def __init__(self, upstream: str, source: DocumentSource) -> None:
        self.upstream = upstream
        self.source = source
        self.document: Document | None = None
        self.digest = ""
        #: When it was found to be as it is.
        self.checked_at = 0.0
        #: When it last became another one.
        self.changed_at = 0.0
        self.error = ""
        self.stale = False
        #: Differences to the one before, or of the one that waits.
        self.changes: Sequence[Change] = ()
        #: A newer document that breaks clients of this one and is not taken.
        self.pending = ""
        self.etag = ""
        self.due = 0.0
        self.busy = False

    @property
    def state(self) -> str:
        if self.document is None:
            return "missing"
        return "pending" if self.pending else "stale" if self.stale else "current"


class Documents:
    """Every document that the configuration names. `changed` counts the times that any became another one."""

    def __init__(
        self,
        fetcher: DocumentFetcher,
        reader: DocumentReader,
        clock: Clock,
        events: EventSink,
        shelf: Shelf | None = None,
        keeps: Callable[[], bool] = lambda: False,
    ) -> None:
        self.kept: dict[str, KeptDocument] = {}
        self.changed = 0
        self._fetcher = fetcher
        self._reader = reader
        self._clock = clock
        self._events = events
        self._shelf = shelf
        self._keeps = keeps

    def configure(self, upstreams: Sequence[Upstream]) -> None:
        """Follow these upstreams. A document whose source stays is kept, and asked for at once."""
        wanted = {each.name: each.openapi for each in upstreams if each.openapi is not None}
        if any(name not in wanted for name in self.kept):
            self.changed += 1
        kept: dict[str, KeptDocument] = {}
        for name, source in wanted.items():
            before = self.kept.get(name)
            if before is None or (before.source.path, before.source.file) != (source.path, source.file):
                before = KeptDocument(name, source)
            before.source = source
            before.due = 0.0
            kept[name] = before
        self.kept = kept

    async def look(self) -> None:
        """Ask for what is due."""
        now = self._clock.monotonic()
        due = [kept for kept in self.kept.values() if kept.due <= now and not kept.busy]
        await asyncio.gather(*(self._refresh(kept) for kept in due))

    async def _refresh(self, kept: KeptDocument) -> None:
        kept.busy = True
        try:
            if kept.document is None and not kept.checked_at:
                await self._take_from_shelf(kept)
            fetched = await self._fetch(kept)
            if fetched.body is not None:
                await self._read(kept, fetched)
            kept.checked_at, kept.error, kept.stale = self._clock.unix(), "", False
            kept.due = self._clock.monotonic() + kept.source.every
        except (Unfetched, NotOpenApi, OSError) as error:
            self._failed(kept, str(error))
        except Exception as error:
            log.exception("document of %s", kept.upstream)
            self._failed(kept, f"cannot be read ({type(error).__name__})")
        finally:
            kept.busy = False

    def _failed(self, kept: KeptDocument, why: str) -> None:
        every = kept.source.every
        kept.due = self._clock.monotonic() + (every if kept.document is not None else min(RETRY, every))
        if kept.error != why:
            log.warning("the OpenAPI document of %s is not taken: %s", kept.upstream, why)
        kept.error = why
        age = self._clock.unix() - kept.checked_at
        if kept.document is not None and not kept.stale and age > STALE_AFTER * every:
            kept.stale = True
            self._events.publish("openapi.stale", kept.upstream, {"detail": why, "age": round(age)})

    async def _fetch(self, kept: KeptDocument) -> Fetched:
        if kept.source.path:
            return await self._fetcher.fetch(kept.upstream, kept.source.path, kept.etag)
        return Fetched(await asyncio.to_thread(_file, kept.source.file))

    async def _read(self, kept: KeptDocument, fetched: Fetched) -> None:
        body = fetched.body or b""
        document = await asyncio.to_thread(self._reader.document, body)
        if await asyncio.to_thread(spread, document.root):
            document = await self._bundled(kept, document)
        digest = await asyncio.to_thread(_digest, document)
        waits = digest == kept.pending and self._keeps()
        if digest != kept.digest and not waits:
            await self._compare(kept, document, digest)
        elif digest == kept.digest and kept.pending:
            kept.pending, kept.changes = "", ()
        kept.etag = "" if kept.pending else fetched.etag

    async def _bundled(self, kept: KeptDocument, document: Document) -> Document:
        """With the parts it refers to. They are of the same upstream, or below the file's directory."""
        by_path = bool(kept.source.path)
        origin, address = "http://upstream/", f"http://upstream{kept.source.path}"
        if not by_path:
            address = await asyncio.to_thread(_address, kept.source.file)
            origin = address.rsplit("/", 1)[0] + "/"
        steps = bundling(document.root, address, origin)
        left = MOST_BYTES
        answer: object = None
        while True:
            try:
                wanted = await asyncio.to_thread(_sent, steps, answer)
            except _Done as done:
                return Document(done.made)
            if by_path:
                fetched = await self._fetcher.fetch(kept.upstream, wanted.removeprefix("http://upstream"))
                raw = fetched.body or b""
            else:
                raw = await asyncio.to_thread(_file, _path_of(wanted))
            left -= len(raw)
            if left < 0:
                raise NotOpenApi(f"is larger than {MOST_BYTES // 1024 // 1024} MiB with its parts")
            answer = await asyncio.to_thread(self._reader.part, raw)

    async def _compare(self, kept: KeptDocument, document: Document, digest: str) -> None:
        """Another document: what it changes, and whether it is taken."""
        before = kept.document
        if before is not None:
            found = await asyncio.to_thread(changes, before, document)
            kept.changes = found[:MOST_CHANGES]
            breaking = [change for change in found if change.severity == BREAKING]
            if breaking:
                keeps = self._keeps()
                detail = f"{len(breaking)} breaking change(s), first: {breaking[0]}"
                self._events.publish(
                    "openapi.breaking", kept.upstream, {"detail": detail, "outcome": "kept" if keeps else "taken"}
                )
                if keeps:
                    kept.pending = digest
                    return
            else:
                self._events.publish("openapi.changed", kept.upstream, {"detail": f"{len(found)} change(s)"})
        self._adopt(kept, document, digest)
        if self._shelf is not None and kept.source.path:
            try:
                await asyncio.to_thread(self._shelf.save, kept.upstream, await asyncio.to_thread(_text, document))
            except OSError as error:
                log.warning("the OpenAPI document of %s is not kept: %s", kept.upstream, error)

    def _adopt(self, kept: KeptDocument, document: Document, digest: str) -> None:
        kept.document, kept.digest, kept.pending = document, digest, ""
        kept.changed_at = self._clock.unix()
        self.changed += 1

    async def _take_from_shelf(self, kept: KeptDocument) -> None:
        """What was good before a restart. It is asked for anew, but not conditionally."""
        if self._shelf is None or not kept.source.path:
            return
        try:
            text = await asyncio.to_thread(self._shelf.load, kept.upstream)
            if text is not None:
                document = await asyncio.to_thread(self._reader.document, text)
                self._adopt(kept, document, await asyncio.to_thread(_digest, document))
        except (OSError, NotOpenApi) as error:
            log.warning("the kept OpenAPI document of %s is not used: %s", kept.upstream, error)


class _Done(Exception):
    """A generator's return value, carried out of a thread (StopIteration cannot be)."""

    def __init__(self, made: Any) -> None:
        self.made = made


def _sent(steps: Any, answer: object) -> str:
    try:
        found: str = steps.send(answer)
    except StopIteration as done:
        raise _Done(done.value) from None
    return found


def _file(name: str) -> bytes:
    with Path(name).open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise NotOpenApi(f"is larger than {MOST_BYTES // 1024 // 1024} MiB")
    return raw


def _address(name: str) -> str:
    return Path(name).resolve().as_uri()


def _path_of(address: str) -> str:
    return unquote(urlsplit(address).path)


def _digest(document: Document) -> str:
    return hashlib.sha256(_text(document)).hexdigest()


def _text(document: Document) -> bytes:
    return json.dumps(document.root, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
