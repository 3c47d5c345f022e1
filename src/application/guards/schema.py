"""Request bodies must have the form the route declares (JSON Schema)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from spork.application.callers.ports import BodySchema
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.reading import BodyReader, Read
from spork.application.guards.policy import Policy
from spork.application.guards.screen import content_type
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial

#: Largest body that is checked, bytes, if the schema itself allows as much; a larger one is refused.
MAX_BODY = 1024 * 1024

TOO_LARGE = Denial("body_too_large", "The request body is larger than this address takes.", close=True)
NOT_JSON = Denial("unsupported_media_type", "The request body must be JSON.")
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class SchemaGuard:
    """Reads the body without its content coding, checks it, and lets it go on to the target as it came."""

    phase = "schema"
    response_fields = NO_FIELDS

    def __init__(self, schema: BodySchema, maximum: int = MAX_BODY, bodies: BodyReader | None = None) -> None:
        self._schema = schema
        self._bodies = bodies or BodyReader(Codings())
        self._maximum = min(maximum, schema.max_bytes)

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        head = exchange.head
        length = exchange.body.length
        if head.method not in _WITH_BODY and length == 0:
            return None
        if length and length > self._maximum:
            return TOO_LARGE
        if content_type(head.headers) != b"application/json":
            return NOT_JSON
        read = self._bodies.read(exchange, self._maximum)
        return self._judge(read) if read is None or isinstance(read, bytes | Denial) else self._later(read)

    def explain(self, exchange: Exchange) -> GuardVerdict:
        if exchange.head.method not in _WITH_BODY and exchange.body.length == 0:
            return GuardVerdict(self.phase, "pass", "no body")
        if content_type(exchange.head.headers) != b"application/json":
            return GuardVerdict(self.phase, "refuse", NOT_JSON.reason)
        return GuardVerdict(self.phase, "unknown", "depends on the body")

    async def _later(self, read: Awaitable[Read]) -> Verdict:
        return self._judge(await read)

    def _judge(self, whole: Read) -> Verdict:
        if whole is None:
            return TOO_LARGE
        if isinstance(whole, Denial):
            return whole
        problem = self._schema.problem(whole)
        if problem is None:
            return None
        return Denial(
            "body_invalid", "The request body does not have the required form.", members={"errors": [problem]}
        )


class SchemaPolicy(Policy):
    """`security: {schema}` of routes. `read` compiles the JSON Schema of a file."""

    phase = "schema"

    def __init__(self, codings: Codings, read: Callable[[str], BodySchema]) -> None:
        self._codings = codings
        self._read = read

    def compile(self, route: RouteConfig, configuration: Configuration) -> SchemaGuard | None:
        policy = route.security
        if policy is None or not policy.schema:
            return None
        return SchemaGuard(self._read(policy.schema), bodies=BodyReader(self._codings, route.decode))
