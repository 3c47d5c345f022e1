"""The admin API, spoken as a polite client: one connection pool, one request in flight per topic, typed answers.

Every document passes `clean.scrub` before it becomes a view. Unknown fields are ignored (a newer gateway); a missing
required one raises BadData with its path. Foreign exceptions become `spork.console.gateway.faults` here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import msgspec

from spork.application.views import ActionResult, BreakerView, Explanation, Nodes, Whoami
from spork.console.gateway.causes import cause_of
from spork.console.gateway.faults import (
    Absent,
    AccessDenied,
    BadData,
    Broken,
    Changed,
    Invalid,
    LinkFault,
    TooManyRequests,
    Unauthenticated,
    Unreachable,
)
from spork.console.gateway.own_rows import cache_rows, channel_rows, document_rows
from spork.console.gateway.sse import Oversized, Parser, ServerEvent
from spork.console.gateway.topics import TEXTS, TOPICS, segment
from spork.console.text.sanitize import clean, scrub

CONNECT_SECONDS = 3.0
STREAM_SILENCE = 15.0
"""Three missed heartbeats."""
ANSWER_SECONDS = 10.0
THREAD_ABOVE = 256 * 1024
"""Documents longer than this are decoded in a thread, so that keys stay live."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one topic, as one answer gave them. `total` is how many the server holds, if it says so."""

    rev: int
    as_of: float
    nodes: Nodes | None
    items: list[Any]
    next_cursor: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ConsoleSnapshot:
    """Rows per topic; topics whose rows could not be decoded or read carry a fault instead."""

    rev: int
    as_of: float
    nodes: Nodes | None
    rows: dict[str, list[Any]]
    faults: dict[str, LinkFault]
    etag: str | None
    totals: dict[str, int]


_ROWS = {"cache": cache_rows, "channels": channel_rows, "documents": document_rows}
"""Topics whose answer is one object that has the rows in it."""


class ConsoleClient:
    """One gateway's admin API under one token. `aclose` when done. `transport` is for tests of odd networks."""

    def __init__(
        self, url: str, token: str, *, verify: str | bool = True, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        tls: Any = True
        if isinstance(verify, str):
            import ssl

            tls = ssl.create_default_context(cafile=verify)
        elif self.url.startswith("http://"):
            tls = False  # no TLS to verify: spares the start-up the cost of loading a trust store
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"accept": "application/json", "user-agent": "spork-console"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
            verify=tls,
            transport=transport,
        )

    def use_token(self, token: str) -> None:
        self._token = token

    async def aclose(self) -> None:
        await self._http.aclose()

    # ------------------------------------------------------------------------------------------------------- reading

    async def whoami(self) -> Whoami:
        return convert(await self._json("GET", "/whoami"), Whoami, "whoami")

    async def snapshot(self, topics: Iterable[str], etag: str | None = None) -> ConsoleSnapshot | None:
        """Everything at once; None if nothing changed since `etag`."""
        names = list(topics)
        headers = {"if-none-match": etag} if etag else {}
        answer = await self._send("GET", "/snapshot", params={"topics": ",".join(names)}, headers=headers)
        if answer.status_code == 304:
            return None
        document = await self._decode(answer, "snapshot")
        if not isinstance(document, dict) or not isinstance(document.get("topics"), dict):
            raise BadData("snapshot: `topics` is missing")
        if len(answer.content) > THREAD_ABOVE:
            return await asyncio.to_thread(_snapshot, document, names, answer.headers.get("etag"))
        return _snapshot(document, names, answer.headers.get("etag"))

    async def page(self, topic: str, **params: str | int) -> Page:
        """One topic through its own list call (`top`, `q`, `cursor`, `after`, ... as the contract names them)."""
        spec = TOPICS[topic]
        document = await self._json("GET", spec.path, params={**dict(spec.params), **params})
        if not isinstance(document, dict):
            raise BadData(f"{topic}: not an object")
        if topic in _ROWS and isinstance(document.get("item"), dict):
            document = {**document, "items": _ROWS[topic](document["item"])}
        if spec.single:
            body = document.get("item", document)
            return Page(
                _int(document.get("rev")), _number(document.get("as_of")), None, [convert(body, spec.row, topic)]
            )
        return _page(document, spec.row, topic)

    async def breaker(self, name: str) -> BreakerView:
        document = await self._json("GET", f"/breakers/{segment(name)}")
        body = document.get("item", document) if isinstance(document, dict) else document
        return convert(body, BreakerView, "breakers")

    async def explain(self, method: str, url: str, headers: Mapping[str, str], client: str = "") -> Explanation:
        body: dict[str, object] = {"method": method, "url": url, "headers": dict(headers)}
        if client:
            body["client"] = client
        document = await self._json("POST", "/explain", body=body)
        inner = document.get("item", document) if isinstance(document, dict) else document
        return convert(inner, Explanation, "explain")

    async def stream(self, topics: Iterable[str], since: int | None, last_id: str = "") -> AsyncIterator[ServerEvent]:
        """Events as they come, heartbeats included; ends when the gateway ends it. Raises a Fault."""
        params: dict[str, str | int] = {"topics": ",".join(topics)}
        if since is not None:
            params["since"] = since
        headers = {"accept": "text/event-stream", "cache-control": "no-store", **self._bearer()}
        if last_id:
            headers["last-event-id"] = last_id
        timeout = httpx.Timeout(CONNECT_SECONDS, read=STREAM_SILENCE)
        try:
            async with self._http.stream(
                "GET", "/admin/v1/stream", params=params, headers=headers, timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise fault_of(answer)
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    raise Broken("the stream is not text/event-stream (a proxy in between?)")
                parser = Parser()
                async for chunk in answer.aiter_bytes():
                    for event in parser.feed(chunk):
                        yield event
        except httpx.TimeoutException as error:
            raise Unreachable(f"no event or heartbeat for {STREAM_SILENCE:.0f} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Unreachable(cause_of(error)) from error
        except Oversized as error:
            raise Broken(str(error)) from error

    # ------------------------------------------------------------------------------------------------------- writing

    async def act(
        self, path: str, body: Mapping[str, object], *, dry_run: bool, rev: int | None = None, key: str | None = None
    ) -> ActionResult:
        """POST one write. `rev` becomes If-Match, `key` the Idempotency-Key. Never repeated here."""
        headers: dict[str, str] = {}
        if rev is not None and not dry_run:
            headers["if-match"] = f'"{rev}"'
        if key is not None and not dry_run:
            headers["idempotency-key"] = key
        params = {"dry_run": "true"} if dry_run else {}
        document = await self._json("POST", path, params=params, headers=headers, body=dict(body))
        inner = document.get("item", document) if isinstance(document, dict) else document
        return convert(inner, ActionResult, "action")

    # ------------------------------------------------------------------------------------------------------ plumbing

    def _bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._http.request(
                    method,
                    "/admin/v1" + path,
                    params=dict(params or {}),
                    headers={**self._bearer(), **(headers or {})},
                    content=None if body is None else msgspec.json.encode(body),
                )
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Unreachable(f"no answer within {ANSWER_SECONDS:.0f} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unreachable(cause_of(error)) from error
        if answer.status_code >= 300 and answer.status_code != 304:
            raise fault_of(answer)
        return answer

    async def _json(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Any:
        more = {"content-type": "application/json"} if body is not None else {}
        answer = await self._send(method, path, params, {**more, **(headers or {})}, body)
        return await self._decode(answer, path.strip("/"))

    async def _decode(self, answer: httpx.Response, what: str) -> Any:
        if len(answer.content) > THREAD_ABOVE:
            return await asyncio.to_thread(decode, answer.content, what)
        return decode(answer.content, what)


def decode(raw: bytes, what: str) -> Any:
    """JSON bytes as plain, scrubbed objects. Raises BadData."""
    try:
        return scrub(msgspec.json.decode(raw), TEXTS)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadData(f"{what}: not JSON ({clean(str(error), 80)})") from error


def convert(document: object, kind: type[T], what: str) -> T:
    """A scrubbed document as a view; unknown fields are ignored. Raises BadData naming the field."""
    try:
        return msgspec.convert(document, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadData(clean(f"{what}: {error}", 200)) from error


def _snapshot(document: dict[str, Any], names: list[str], etag: str | None) -> ConsoleSnapshot:
    rows: dict[str, list[Any]] = {}
    faults: dict[str, LinkFault] = {}
    totals: dict[str, int] = {}
    for name in names:
        spec = TOPICS[name]
        body = document["topics"].get(name)
        if isinstance(body, dict) and not spec.single:
            if "items" not in body and ("needs" in body or "error" in body):
                faults[name] = _topic_fault(body)
                continue
            if isinstance(body.get("total"), int):
                totals[name] = body["total"]
            body = body.get("items", body)
        if body is None:
            continue
        try:
            rows[name] = [convert(body, spec.row, name)] if spec.single else convert(body, list[spec.row], name)  # type: ignore[name-defined]
        except BadData as fault:
            faults[name] = fault
    return ConsoleSnapshot(
        _int(document.get("rev")),
        _number(document.get("as_of")),
        _nodes(document.get("nodes")),
        rows,
        faults,
        etag,
        totals,
    )


def _topic_fault(body: dict[str, Any]) -> LinkFault:
    if body.get("needs"):
        return AccessDenied(f"needs {body['needs']}", str(body["needs"]))
    return Broken(str(body.get("error", "no rows")))


def _page(document: dict[str, Any], row: type[Any], what: str) -> Page:
    items = convert(document.get("items"), list[row], what)  # type: ignore[valid-type]
    cursor, total = document.get("next_cursor"), document.get("total")
    return Page(
        _int(document.get("rev")),
        _number(document.get("as_of")),
        _nodes(document.get("nodes")),
        items,
        str(cursor) if cursor else None,
        total if isinstance(total, int) else None,
    )


def _nodes(body: object) -> Nodes | None:
    try:
        return None if body is None else msgspec.convert(body, Nodes, strict=False)
    except msgspec.ValidationError:
        return None


def _int(value: object) -> int:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def fault_of(answer: httpx.Response) -> LinkFault:
    """The problem+json of a refusal, as a fault."""
    try:
        problem = scrub(msgspec.json.decode(answer.content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = None
    fields: dict[str, Any] = problem if isinstance(problem, dict) else {}
    status = answer.status_code
    text = str(fields.get("detail") or fields.get("title") or f"status {status}")
    if status == 401:
        return Unauthenticated(text)
    if status == 403:
        return AccessDenied(text, str(fields.get("needs") or ""))
    if status == 404:
        return Absent(text)
    if status in (409, 412):
        rev = fields.get("rev")
        return Changed(text, str(fields.get("current") or ""), rev if isinstance(rev, int) else None)
    if status in (400, 422):
        errors = tuple(_error_line(error) for error in fields.get("errors") or ())
        return Invalid(clean("; ".join((text, *errors))), errors)
    retry = answer.headers.get("retry-after", "")
    if status == 429 or (status == 503 and retry):
        return TooManyRequests(text, min(3600.0, float(retry)) if retry.isdigit() else 5.0)
    return Broken(f"{status}: {text}" if fields else text)


def _error_line(error: object) -> str:
    if isinstance(error, dict):
        return ": ".join(str(error[name]) for name in ("path", "message") if error.get(name)) or clean(str(error))
    return clean(str(error))
