"""Documents of upstreams in one gateway process: who fetches, keeps, merges and shows them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from dependency_injector import containers, providers

from spork.adapters.files.openapi_shelf import OpenApiShelf
from spork.adapters.litestar.problems import status_of
from spork.adapters.yaml.openapi_reader import YamlDocuments
from spork.application.callers.self_service import AuthDesk
from spork.application.catalog.catalog import Catalog
from spork.application.catalog.contracts import Contracts
from spork.application.catalog.documents import Documents
from spork.application.catalog.fetching import PooledFetcher
from spork.application.catalog.report import CatalogReport
from spork.application.configuration.model import Configuration
from spork.application.exchange.answers import ProblemResponses
from spork.application.exchange.exchange import Current
from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.sender import Sender
from spork.domain.openapi.contract import Schema


def contracts_of_upstreams() -> Contracts:
    """What is compiled for them is only imported when a route checks by a document."""

    def compiled(schema: Mapping[str, Any]) -> Schema:
        from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema

        return JsonBodySchema(json.dumps(schema))

    return Contracts(compiled)


def _fetcher(current: Current, sender: Sender, clock: Clock) -> PooledFetcher:
    return PooledFetcher(lambda: current.snapshot.upstreams, sender.transport_of, clock)


def _documents(
    fetcher: PooledFetcher, clock: Clock, events: EventSink, configuration: Configuration, current: Current
) -> Documents:
    def keeps() -> bool:
        docs = current.snapshot.configuration.docs
        return docs is not None and docs.on_breaking == "keep"

    return Documents(fetcher, YamlDocuments(), clock, events, OpenApiShelf(configuration.state_dir), keeps)


@contextlib.asynccontextmanager
async def _running(catalog: Catalog) -> AsyncIterator[None]:
    """Follow the documents until the block ends."""
    await catalog.open()
    try:
        yield
    finally:
        await catalog.close()


class DocumentPages:
    """The handlers of the data listener, made where they are wanted: what they import is not needed elsewhere."""

    def __init__(self, catalog: Catalog, current: Current, refusals: ProblemResponses, clients: ClientAddress) -> None:
        self._catalog = catalog
        self._current = current
        self._refusals = refusals
        self._clients = clients

    def handlers(self, desk: Callable[[], AuthDesk]) -> list[Any]:
        """None where the configuration says nothing of `docs:`."""
        from spork.adapters.litestar.docs.handlers import DocumentHandlers, docs_handlers

        def configuration() -> Configuration:
            return self._current.snapshot.configuration

        return docs_handlers(DocumentHandlers(self._catalog, desk(), self._refusals, self._clients, configuration))


class CatalogContainer(containers.DeclarativeContainer):
    """`catalog` is what is served, `report` what operators see of it; `running` follows the documents."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    events: providers.Dependency[Any] = providers.Dependency()
    sender: providers.Dependency[Sender] = providers.Dependency()
    refusals: providers.Dependency[Any] = providers.Dependency()
    clients: providers.Dependency[ClientAddress] = providers.Dependency()
    contracts: providers.Dependency[Contracts] = providers.Dependency()

    documents = providers.Singleton(
        _documents, providers.Singleton(_fetcher, current, sender, clock), clock, events, configuration, current
    )
    catalog = providers.Singleton(Catalog, current, documents, clock, contracts, status_of=providers.Object(status_of))
    report = providers.Singleton(CatalogReport, catalog, current, clock)
    pages = providers.Singleton(DocumentPages, catalog, current, refusals, clients)
    running = providers.Callable(_running, catalog)
