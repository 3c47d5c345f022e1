"""What operators are told of documents: where each comes from, what is published of it, and what is not."""

from __future__ import annotations

from collections.abc import Iterable

from spork.application.catalog.audiences import EVERYBODY, audience_with
from spork.application.catalog.catalog import Catalog
from spork.application.catalog.documents import KeptDocument
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current
from spork.application.kernel.clock import Clock
from spork.application.views import OpenApiChangeView, OpenApiDocumentView, OpenApiRemarkView, OpenApiReportView
from spork.domain.openapi.changes import Change
from spork.domain.openapi.publication import LeftOut


class CatalogReport:
    """Implements `OpenApiControl`."""

    def __init__(self, catalog: Catalog, current: Current, clock: Clock) -> None:
        self._catalog = catalog
        self._current = current
        self._clock = clock

    def report(self) -> OpenApiReportView:
        merged = self._catalog.merged
        now = self._clock.unix()
        stubs = dict.fromkeys(operation.route for operation in merged.operations if not operation.documented)
        return OpenApiReportView(
            len(merged.operations),
            tuple(_document(kept, now) for kept in self._catalog.documents.kept.values()),
            _remarks(merged.left_out),
            tuple(stubs),
            (*_remarks(merged.lost), *(() if self._catalog.contracts is None else self._catalog.contracts.remarks())),
        )

    async def document(
        self, form: str, roles: frozenset[str] = frozenset(), scopes: frozenset[str] = frozenset()
    ) -> tuple[bytes, str]:
        """The whole document with routes and owners; with roles or scopes, the one that their holder gets. (text, ETag)"""
        if not roles and not scopes:
            text = await self._catalog.text(EVERYBODY, form, operators=True)
        else:
            text = await self._catalog.text(audience_with(roles, scopes, self._configuration), form)
        return text.body, text.etag

    @property
    def _configuration(self) -> Configuration:
        return self._current.snapshot.configuration


def _document(kept: KeptDocument, now: float) -> OpenApiDocumentView:
    operations = 0 if kept.document is None else sum(1 for _ in kept.document.operations())
    return OpenApiDocumentView(
        kept.upstream,
        kept.source.path or kept.source.file,
        kept.state,
        operations,
        kept.checked_at or None,
        kept.changed_at or None,
        max(0.0, now - kept.checked_at) if kept.checked_at else None,
        kept.digest[:16],
        kept.error,
        tuple(_change(change) for change in kept.changes),
    )


def _change(change: Change) -> OpenApiChangeView:
    return OpenApiChangeView(change.severity, change.rule, change.operation, change.where, change.detail)


def _remarks(remarks: Iterable[LeftOut]) -> tuple[OpenApiRemarkView, ...]:
    return tuple(OpenApiRemarkView(one.upstream, one.place, one.why) for one in remarks)
