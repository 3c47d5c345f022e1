"""What becomes of the requests' bodies and the answers of each route, put together."""

from __future__ import annotations

from functools import partial

from spork.adapters.litestar.problems import problem_document
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.application.catalog.answers import ContractCheck
from spork.application.catalog.contracts import Contracts
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.compression import Compression
from spork.application.exchange.stages import AnswerStages
from spork.application.exchange.transforming import AnswerTransform, Shape
from spork.application.exchange.versioning import VersionFields
from spork.application.guards.policy import declared
from spork.application.pipeline.compiler import AnswerMaker
from spork.composition.codings import codings
from spork.composition.secrets import key_pepper
from spork.domain.openapi.policy import ValidationRule
from spork.domain.transforms.policy import TransformPolicy
from spork.domain.transforms.queries import QueryTransform


def answer_maker(contracts: Contracts) -> AnswerMaker:
    """Makes the stages of routes; `contracts` are what answers are checked by."""
    return partial(answer_stages, contracts)


def answer_stages(contracts: Contracts, route: RouteConfig, configuration: Configuration) -> AnswerStages | None:
    """None for a route whose answers go out as they came and whose query stays."""
    rule = declared(route, ValidationRule)
    check = None
    if rule is not None and rule.responses != "off":
        check = ContractCheck(route.name, rule, contracts, codings())
    compression = None if route.compression is None else Compression(route.compression, codings())
    transform = route.transform
    version = None if route.version is None else VersionFields(route.version)
    if transform is None:
        return AnswerStages(compression, version=version, check=check) if compression or version or check else None
    query = None if transform.query is None else QueryTransform(transform.query)
    return AnswerStages(compression, _answers(transform, configuration), query, transform.when, version, check)


def _answers(policy: TransformPolicy, configuration: Configuration) -> AnswerTransform | None:
    if not policy.reads_answers:
        return None
    hashing = any(rule.mask is not None and rule.mask.how == "hash" for rule in policy.response)
    key = key_pepper(configuration.state_dir) if hashing else b""
    return AnswerTransform(policy, codings(), problem_document, MsgspecJson(), key, shape_of(policy.shape))


def shape_of(expression: str) -> Shape | None:
    """The compiled expression; None for an empty one. Raises ValueError."""
    if not expression:
        return None
    from spork.adapters.jmespath.shape import compile_shape

    return compile_shape(expression)
