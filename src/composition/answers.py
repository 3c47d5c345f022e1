"""What becomes of the answers of each route, put together."""

from __future__ import annotations

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.compression import Compression
from spork.application.exchange.stages import AnswerStages
from spork.composition.codings import codings


def answer_stages(route: RouteConfig, configuration: Configuration) -> AnswerStages | None:
    """None for a route whose answers go out as they came."""
    if route.compression is None:
        return None
    return AnswerStages(Compression(route.compression, codings()))
