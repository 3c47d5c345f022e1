"""Request bodies changed on their way to the target (`transform: {request: {json: ...}}`)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.json_values import JsonValues, NotJson
from spork.application.exchange.reading import BodyReader, Read
from spork.application.exchange.words import words_of
from spork.application.guards.decode import CODED_FIELDS
from spork.application.guards.policy import Policy
from spork.application.guards.screen import content_type
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial
from spork.domain.transforms.operations import NotThere, compile_operation
from spork.domain.transforms.policy import MOST_FOR_SHAPE, TransformPolicy

_TOO_LARGE: Final = Denial("body_too_large", "The request body is larger than this address takes.", close=True)
_NOT_JSON: Final = Denial("unsupported_media_type", "The request body must be JSON.")


class TransformGuard:
    """Stands last: screen, schema and fingerprints see what the client sent. Retries and mirrors send what is made here."""

    phase = "transform"
    response_fields = NO_FIELDS

    def __init__(self, policy: TransformPolicy, bodies: BodyReader, values: JsonValues) -> None:
        self._values = values
        self._policy = policy
        self._operations = tuple(compile_operation(one, policy.strict) for one in policy.request)
        self._bodies = bodies

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        if exchange.body.length == 0 or not self._policy.when.holds(exchange.head, exchange.principal):
            return None
        if content_type(exchange.head.headers) != b"application/json":
            return _NOT_JSON if self._policy.on_other == "refuse" else None
        read = self._bodies.read(exchange, self._policy.maximum)
        if read is None or isinstance(read, bytes | Denial):
            return self._change(exchange, read)
        return self._later(exchange, read)

    async def _later(self, exchange: Exchange, read: Awaitable[Read]) -> Verdict:
        return self._change(exchange, await read)

    def _change(self, exchange: Exchange, whole: Read) -> Verdict:
        if isinstance(whole, Denial):
            return whole
        if whole is None:
            return _TOO_LARGE if self._policy.larger == "refuse" else None
        if not whole or not isinstance(exchange.body, HeldBody):
            return None
        lookup = words_of(exchange)
        try:
            value = self._values.read_request(whole)
            for apply in self._operations:
                value = apply(value, lookup)
            changed = self._values.write(value)
        except NotJson as error:
            return _invalid(str(error))
        except NotThere as error:
            return _invalid(f"{error} is missing")
        exchange.body.replace(changed)
        exchange.consumed |= CODED_FIELDS
        return None

    async def explain(self, exchange: Exchange) -> GuardVerdict:
        """With a body at hand (`explain --data`): what the target would get."""
        if exchange.body.length == 0:
            return GuardVerdict(
                self.phase, "pass", f"{len(self._operations)} operation(s) on a JSON body, when it comes"
            )
        asked = self.admit(exchange)
        verdict = await asked if isinstance(asked, Awaitable) else asked
        if isinstance(verdict, Denial):
            return GuardVerdict(self.phase, "refuse", verdict.reason)
        sent = exchange.body.whole() or b""
        return GuardVerdict(self.phase, "pass", "the target gets " + sent[:2000].decode("utf-8", "replace"))


class TransformingPolicy(Policy):
    """`transform:`; what it does to answers is compiled beside the plan."""

    phase = "transform"

    def __init__(self, codings: Codings, values: JsonValues) -> None:
        self._codings = codings
        self._values = values

    def compile(self, route: RouteConfig, configuration: Configuration) -> TransformGuard | None:
        if route.transform is None or not route.transform.request:
            return None
        return TransformGuard(route.transform, BodyReader(self._codings, route.decode), self._values)

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        policy = route.transform
        if policy is None:
            return
        path = f"routes[{configuration.routes.index(route)}].transform"
        if (policy.reads_answers or policy.request) and (why := streams(route)):
            yield Diagnostic(
                path, f"would hold whole bodies, and {why}", "give what streams a route of its own", "warning"
            )
        if policy.shape and policy.maximum > MOST_FOR_SHAPE:
            yield Diagnostic(f"{path}.bytes", "is more than the 256KiB that `shape` is given", "", "warning")
        for index, rule in enumerate(policy.response):
            if rule.problem and (rule.replaces or rule.operations):
                yield Diagnostic(f"{path}.response[{index}]", "a problem document replaces body and json", "write one")
        covered = frozenset((b"content-digest", b"signature", b"content-md5"))
        if policy.reads_answers and any(name in covered for name, _ in route.response_headers.set):
            yield Diagnostic(path, "changes bodies that a field of the answer is about", "", "warning")


def streams(route: RouteConfig) -> str:
    """Why this route's bodies may be endless, in half a sentence; "" when nothing says so."""
    for name, value in route.match.headers:
        if name == b"upgrade":
            return "the route takes upgrades"
        if name in (b"accept", b"content-type") and value is not None:
            if value.startswith(b"text/event-stream"):
                return "the route is of event streams"
            if value.startswith(b"application/grpc"):
                return "the route is of gRPC"
        if name == b"range":
            return "the route is of ranges"
    return ""


def _invalid(why: str) -> Denial:
    return Denial("body_invalid", "The request body does not have the required form.", members={"errors": [why]})
