"""Asking a service whether a request may pass: the facts it is told, how each kind is asked, what its answer means.

Three kinds of service: `http` gets the facts as JSON, and 2xx is a yes unless the answer says `{"allow": false}`;
`opa` is Open Policy Agent's data API, which gets `{"input": facts}` and whose `result` is true, or `{"allow": true}`, for a yes;
`ext_authz` gets the request's own method and path below the URL with chosen headers, as Envoy's HTTP authorization service
does, and 200 is a yes, while its other answers go to the client. Whatever is neither yes nor no is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from spork.domain.http.head import Headers
from spork.domain.identity.tokens import Principal, claim_at

Facts = dict[str, object]


@dataclass(frozen=True, slots=True)
class ExternalPolicy:
    """Whom a route asks. `timeout` and `keep` in seconds; `keep` 0 keeps nothing, else answers are kept for equal facts of
    `by`. `headers` are told of the request, `forward` are headers of a yes that the target gets."""

    url: str
    kind: str = "http"
    timeout: float = 0.5
    on_error: str = "deny"
    headers: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()
    keep: float = 0.0
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One call to the service."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Yes:
    """The request may pass; `headers` go with it."""

    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class No:
    """The request may not pass. `status` 0: the gateway words the refusal."""

    status: int = 0
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The service did not say. `reason` is for operators."""

    reason: str
    retry_after: float = 1.0


Judgement = Yes | No | NoAnswer

#: Facts that a kept answer may be told apart by, beside header:NAME, param:NAME and claim:NAME.
BY: Final = ("subject", "issuer", "consumer", "tenant", "roles", "scopes", "method", "host", "path", "query", "client")


def facts_of(
    route: str,
    method: str,
    path: str,
    query: str | None,
    scheme: str,
    host: str,
    client: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    principal: Principal | None,
) -> Facts:
    """What a service is told of a request. No credential is among it unless its header was chosen."""
    return {
        "route": route,
        "method": method,
        "path": path,
        "segments": [segment for segment in path.split("/") if segment],
        "query": parse_qs(query or "", keep_blank_values=True, max_num_fields=200),
        "scheme": scheme,
        "host": host,
        "client": client,
        "params": dict(params),
        "headers": dict(headers),
        "principal": None if principal is None else _told(principal),
    }


def _told(principal: Principal) -> Facts:
    return {
        "subject": principal.subject,
        "method": principal.method,
        "issuer": principal.issuer,
        "consumer": principal.consumer,
        "plan": principal.plan,
        "tenant": principal.tenant,
        "session": principal.session,
        "roles": sorted(principal.roles),
        "scopes": sorted(principal.scopes),
        "claims": dict(principal.claims),
    }


def key_of(by: tuple[str, ...], facts: Mapping[str, object]) -> str:
    """What tells one kept answer from another: the values of the facts in `by`. Injective, as JSON is."""
    principal = facts["principal"]
    caller: Mapping[str, object] = principal if isinstance(principal, Mapping) else {}
    values: list[object] = [caller.get("method")]
    for name in by:
        kind, _, rest = name.partition(":")
        if kind == "header":
            values.append(_in(facts["headers"], rest.lower()))
        elif kind == "param":
            values.append(_in(facts["params"], rest))
        elif kind == "claim":
            claims = caller.get("claims")
            values.append(claim_at(claims, rest) if isinstance(claims, Mapping) else None)
        else:
            values.append(caller.get(name) if name in _OF_CALLERS else facts[name])
    return json.dumps(values, sort_keys=True, default=str)


_OF_CALLERS: Final = frozenset(("subject", "issuer", "consumer", "tenant", "roles", "scopes"))


def _in(mapping: object, name: str) -> object:
    return mapping.get(name) if isinstance(mapping, Mapping) else None


def question(policy: ExternalPolicy, facts: Facts, target: str, request_id: str) -> Question:
    """How `policy`'s service is asked about `facts`. `target` is the request's path with its query."""
    headers = {"accept": "application/json", "x-request-id": request_id}
    if policy.kind == "ext_authz":
        told = facts["headers"]
        pairs = told.items() if isinstance(told, dict) else ()
        chosen = {str(name): str(value) for name, value in pairs if str(name) not in _OF_THE_CALL}
        more = {"x-forwarded-for": str(facts["client"]), "x-forwarded-host": str(facts["host"])}
        more["x-forwarded-proto"] = str(facts["scheme"])
        return Question(str(facts["method"]), policy.url.rstrip("/") + target, {**chosen, **more, **headers}, b"")
    asked: object = {"input": facts} if policy.kind == "opa" else facts
    headers["content-type"] = "application/json"
    return Question("POST", policy.url, headers, json.dumps(asked, default=str).encode("utf-8"))


#: Headers that are the call's own to say.
_OF_THE_CALL: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade")
)


def judged(policy: ExternalPolicy, status: int, headers: Headers, body: bytes) -> Judgement:
    """What an answer of `policy`'s service means."""
    if policy.kind == "ext_authz":
        return _envoy(policy, status, headers, body)
    if policy.kind == "opa":
        return _opa(policy, status, body)
    if status in (401, 403):
        return No()
    if not 200 <= status < 300:
        return NoAnswer(f"answered {status}")
    said = _object(body) if body.strip() else {}
    if said is None or not isinstance(said.get("allow", True), bool):
        return NoAnswer("the answer is not understood")
    return Yes(_chosen(policy, headers)) if said.get("allow", True) is True else No()


#: Of a refusal, what is the gateway's own to say on its connection to the client.
_NOT_PASSED: Final = frozenset(
    (b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"date", b"server", b"content-encoding",
     b"upgrade", b"trailer", b"proxy-authenticate", b"x-request-id")
)  # fmt: skip


def _envoy(policy: ExternalPolicy, status: int, headers: Headers, body: bytes) -> Judgement:
    if status == 200:
        return Yes(_chosen(policy, headers))
    if 300 <= status < 500:
        return No(status, tuple(header for header in headers if header[0] not in _NOT_PASSED), body)
    return NoAnswer(f"answered {status}")


def _opa(policy: ExternalPolicy, status: int, body: bytes) -> Judgement:
    """A rule that is undefined has no result, which is a no (OPA's data API answers 200 with `{}`)."""
    said = _object(body) if status == 200 else None
    if said is None:
        return NoAnswer(f"answered {status}" if status != 200 else "the answer is not understood")
    result = said.get("result", False)
    if isinstance(result, dict):
        told = result.get("headers")
        allow = result.get("allow", False)
        pairs = told.items() if isinstance(told, dict) else ()
        texts = tuple(
            (n.lower().encode("latin-1", "replace"), v.encode("utf-8")) for n, v in pairs if isinstance(v, str)
        )
        return Yes(_chosen(policy, texts)) if allow is True else No()
    return Yes() if result is True else No()


def _chosen(policy: ExternalPolicy, headers: Headers) -> Headers:
    """The headers of a yes that the target gets, without what could end a line."""
    wanted = {name.lower().encode("ascii") for name in policy.forward}
    return tuple(
        (name, value) for name, value in headers if name in wanted and not any(byte in value for byte in b"\r\n\0")
    )


def _object(body: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
