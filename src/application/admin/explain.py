"""What would happen to a request: the same phases as a real one, with everything that sends or consumes left out.

The exchange is opened and routed by the admission of real requests, guards are asked for what they would say (`explain`, where a
guard has it), the target comes from a copy of the balancer, and the request head is the sender's own. So what is shown is
what would be sent, and nothing was counted, charged or dialled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from spork.application.admin.explain_cache import explain_cache
from spork.application.admin.upstream_views import fallback_word
from spork.application.caching.response_cache import ResponseCache
from spork.application.configuration.checks.routes import EXPOSED, PROBED
from spork.application.configuration.model import Configuration
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.exchange import Exchange, Guard, RoutePlan
from spork.application.fleet.overview import upstreams_of
from spork.application.kernel.tasks import now_or_later
from spork.application.pipeline.admission import Admission, host_name, preflight_for, route
from spork.application.pipeline.background import NoBody, NoSink
from spork.application.pipeline.by_body import choose
from spork.application.pipeline.redirects import redirect
from spork.application.pipeline.sender import Sender, split_upstream
from spork.application.upstreams.upstream import LiveUpstream
from spork.application.views import Candidate, Explanation, GuardVerdict
from spork.domain.http.authority import HostList
from spork.domain.http.forwarding import underscored_name
from spork.domain.http.head import (
    BAD_HEADER_NAME,
    BAD_METHOD,
    BAD_TARGET,
    METHODS,
    Header,
    RequestHead,
    header_name,
    judged_host,
    split_target,
)
from spork.domain.outcomes import Denial

#: Request headers whose value is shown only as present.
_SECRET = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"x-api-key"))


class NotARequest(Exception):
    """What was asked about cannot be a request; str() says why."""


class Explainer:
    """Explains requests against the snapshot in force."""

    def __init__(self, admission: Admission, sender: Sender, cache: ResponseCache | None = None) -> None:
        self._cache = cache
        self._admission = admission
        self._sender = sender

    async def explain(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        client: str = "",
        data: str = "",
    ) -> Explanation:
        """Raises NotARequest for a method, URL or header that cannot be sent at all. With `data` the request has that body,
        and guards that only read or change bodies say what they make of it."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        head = head_of(method, url, pairs, client, self._admission.configuration.edge.methods)
        if isinstance(head, Denial):
            return _refused(f"{method} {url}", head)
        exchange = self._admission.open(head, HeldBody(data.encode()) if data else NoBody(), NoSink())
        if b"%2F" in head.path and not exchange.snapshot.keeps_slashes:
            return _refused(f"{method} {url}", BAD_TARGET)
        at_the_edge = _at_the_edge(f"{method} {url}", head, exchange.snapshot.configuration)
        if at_the_edge is not None:
            return at_the_edge
        verdict = route(exchange)
        by_body = None if isinstance(verdict, Denial) else verdict.by_body
        if by_body is not None:
            verdict = await choose(exchange, by_body)
            if isinstance(verdict, Denial):
                return _refused(f"{method} {url}", verdict, self._candidates(exchange), exchange.plan)
        candidates = self._candidates(exchange)
        plan = exchange.plan
        if plan is None or isinstance(verdict, Denial):
            assert isinstance(verdict, Denial)
            return _refused(f"{method} {url}", verdict, candidates, plan)
        guards: list[GuardVerdict] = []
        refusal: str | None = None
        for guard in plan.guards:
            said = await ask(guard, exchange)
            guards.append(said)
            if said.verdict == "refuse" and refusal is None:
                refusal = f"{said.phase}: {said.detail}"
            if said.verdict == "answer" and refusal is None:  # the request ends here, as it would in `admit`
                note = f"{said.phase}: {said.detail}"
                return Explanation(
                    f"{method} {url}", None, candidates, plan.name, exchange.params, None, None, None, tuple(guards), (),
                    None, (note,),
                )  # fmt: skip
        return await self._explanation(f"{method} {url}", exchange, plan, candidates, tuple(guards), refusal)

    def _candidates(self, exchange: Exchange) -> tuple[Candidate, ...]:
        head = exchange.head
        asked = preflight_for(head)  # it goes where the request that it announces will go
        with_cors = exchange.plan is not None and exchange.plan.config.cors is not None
        method = asked if asked and with_cors else head.method
        rows = exchange.snapshot.table.explain(host_name(head.host), head.path, method, head.headers, head.query)
        return tuple(Candidate(plan.name, plan.config.match.path.text, won, why) for plan, won, why in rows)

    async def _explanation(
        self,
        request: str,
        exchange: Exchange,
        plan: RoutePlan,
        candidates: tuple[Candidate, ...],
        guards: tuple[GuardVerdict, ...],
        refusal: str | None,
    ) -> Explanation:
        notes: list[str] = []
        if plan.redirect is not None:
            answer = redirect(plan.redirect, exchange)
            notes.append(f"answered here: {answer.status} to {dict(answer.headers)[b'location'].decode()}")
            return Explanation(
                request,
                refusal,
                candidates,
                plan.name,
                exchange.params,
                None,
                None,
                None,
                guards,
                (),
                None,
                tuple(notes),
            )
        if plan.respond is not None:
            notes.append(f"answered here: {plan.respond.status}, as `respond` says")
            return Explanation(
                request, refusal, candidates, plan.name, exchange.params, None, None, None, guards, (), None, tuple(notes),
            )  # fmt: skip
        if plan.front:
            notes.append(f"answered here: channels ({plan.front}); a channel's rule says who may subscribe and publish")
            return Explanation(
                request, refusal, candidates, plan.name, exchange.params, None, None, None, guards, (), None, tuple(notes)
            )  # fmt: skip
        upstream = _upstream(exchange, plan)
        if upstream is None:
            named = plan.config.upstream or "(none)"
            return Explanation(
                request, refusal or f"no_route: no upstream {named}", candidates, plan.name, exchange.params, None, None,
                None, guards, (), None, ("the upstream that the path names is not configured",),
            )  # fmt: skip
        own = upstream
        upstream = split_upstream(exchange, plan, own, 1.0)
        notes += _splits(exchange, plan, upstream if upstream is not own else None)
        if plan.cache is not None and plan.cache.policy is not None and self._cache is not None:
            notes += await explain_cache(self._cache, exchange, plan.cache, upstream.name)
        breaker = _breaker(upstream, exchange.now)
        if breaker is not None and breaker not in ("closed", "half_open") and refusal is None:
            refusal = f"breaker_open: the circuit of {upstream.name} is {breaker}"
        fallback = fallback_word(upstream.declared)
        if fallback is not None:
            notes.append(f"should {upstream.name} fail or its circuit be open, its fallback answers: {fallback}")
        target = upstream.preview(exchange, exchange.now)
        if target is None:
            notes.append(f"no target of {upstream.name} may be used now")
            return Explanation(
                request, refusal or "destination_unavailable", candidates, plan.name, exchange.params, upstream.name,
                None, None, guards, (), breaker, tuple(notes),
            )  # fmt: skip
        balance = upstream.declared.balance.algorithm
        if len(upstream.targets) > 1 and balance != "hash":
            notes.append(f"{balance} among {len(upstream.targets)} targets: another request may get another one")
        sent = self._sender.upstream_request(exchange, plan, upstream, target, None)
        return Explanation(
            request, refusal, candidates, plan.name, exchange.params, upstream.name, target.name,
            sent.target.decode("ascii", "backslashreplace"), guards, _shown(sent.headers), breaker, tuple(notes),
        )  # fmt: skip


async def ask(guard: Guard, exchange: Exchange) -> GuardVerdict:
    """What a guard would say; a guard that cannot say is named all the same."""
    try:
        return await now_or_later(guard.explain(exchange))
    except Exception as error:
        return GuardVerdict(guard.phase, "unknown", f"could not be asked: {type(error).__name__}")


def head_of(
    method: str, url: str, headers: Sequence[tuple[str, str]], client: str, further: Collection[str] = ()
) -> RequestHead | Denial:
    """The request head the edge would have read, or its refusal. `further` are methods taken by choice. Raises NotARequest."""
    if not url.startswith("/") and "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query or url.endswith("?") else "")
        raw = target.encode("ascii")
        host = parts.netloc.rpartition("@")[2].encode("ascii")
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    except (ValueError, UnicodeError) as error:
        raise NotARequest(f"cannot be sent: {error}") from error
    if not method.isascii() or not method.replace("-", "").isalpha():
        raise NotARequest("the method is a word of ASCII letters")
    if method.upper() not in METHODS and method.upper() not in further:
        return BAD_METHOD
    fields: list[Header] = []
    for name, value in encoded:
        known = header_name(name) or underscored_name(name, False, frozenset())
        if known is None or any(octet in value for octet in b"\r\n\0"):
            raise NotARequest(f"{name.decode('ascii')!r} is no acceptable header")
        if known == b"host":
            host = value
        fields.append((known, value))
    if not host:
        host = b"localhost"
    named = judged_host(host, HostList())
    if isinstance(named, Denial):
        return named
    host = named
    split = split_target(method.upper(), raw, host, slashes=True)
    if isinstance(split, Denial):
        return split
    fields = [(b"host", host), *(f for f in fields if f[0] != b"host")]
    return RequestHead(
        method.upper(), split[0], split[1], tuple(fields), parts.scheme or "http", host, peer=client or "127.0.0.1"
    )


def _at_the_edge(request: str, head: RequestHead, configuration: Configuration) -> Explanation | None:
    """What the edge would do with it before any route is looked at; None when it goes on to the routes."""
    path = head.path.decode("ascii")
    for word in configuration.exposed:
        for endpoint in EXPOSED.get(word, ()):
            if path == endpoint or (endpoint.endswith("/*") and (path + "/").startswith(endpoint[:-1])):
                if word not in PROBED and isinstance(
                    refused := judged_host(head.host, HostList(configuration.hosts)), Denial
                ):
                    return _refused(request, refused)
                note = "answered by the gateway itself (" + ("docs" if word == "docs" else f"expose: {word}") + ")"
                return Explanation(request, None, (), None, {}, None, None, None, (), (), None, (note,))
    if configuration.edge.header_underscores != "allow" and any(b"_" in name for name, _ in head.headers):
        if configuration.edge.header_underscores == "refuse":
            return _refused(request, BAD_HEADER_NAME)
        head.headers = tuple(field for field in head.headers if b"_" not in field[0])
    judged = judged_host(head.host, HostList(configuration.hosts))
    return _refused(request, judged) if isinstance(judged, Denial) else None


def _refused(
    request: str, denial: Denial, candidates: tuple[Candidate, ...] = (), plan: RoutePlan | None = None
) -> Explanation:
    text = f"{denial.reason}: {denial.detail}".rstrip(": ")
    route = plan.name if plan is not None else None
    return Explanation(request, text, candidates, route, {}, None, None, None, (), (), None)


def _upstream(exchange: Exchange, plan: RoutePlan) -> LiveUpstream | None:
    return plan.upstream or exchange.snapshot.upstreams.get(exchange.params.get(plan.upstream_param, ""))


def _splits(exchange: Exchange, plan: RoutePlan, named: LiveUpstream | None) -> list[str]:
    """What canary rules do with this request: `named` is the upstream that one of them names for it."""
    if named is not None:
        notes = [f"a split sends this request to {named.name}"]
    else:
        notes = [
            f"{split.weight:.0%} of requests go to {split.upstream}" for split in plan.config.splits if split.weight
        ]
    if plan.config.mirror is not None:
        notes.append(f"{plan.config.mirror.share:.0%} of requests are copied to {plan.config.mirror.upstream}")
    others = upstreams_of(plan.config, exchange.snapshot.configuration)
    if len(others) > 1 and plan.config.splits:
        notes.append("upstreams in question: " + ", ".join(dict.fromkeys(others)))
    return notes


def _breaker(upstream: LiveUpstream, now: float) -> str | None:
    return upstream.breaker.state.value if upstream.breaker is not None else None


def _shown(headers: Sequence[Header]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("ascii"), "[present]" if name in _SECRET else value.decode("latin-1")) for name, value in headers
    )
