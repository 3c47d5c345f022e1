"""A gateway's admin API on loopback, scripted: real HTTP and a real event stream, invented rows.

It runs in a thread of its own, so that tests, the soak and the pictures can drive a console against it. Everything
that may go wrong with an admin API can be switched on: see the attributes.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import uvicorn

from spork.application.fleet import concern_rules
from spork.application.fleet.concerns import ConcernLedger
from spork.application.views import (
    ActionResult,
    ApiKeyView,
    Candidate,
    EventView,
    Explanation,
    GuardVerdict,
    Nodes,
    TrafficView,
)
from spork.console.gateway.topics import LIVE, TOPICS
from tests.servers import free_port, wait_until
from tests.unit.console import seeds

Scope = dict[str, Any]
TOKENS = {"admin-token": "admin", "operator-token": "operator", "viewer-token": "viewer"}


class FakeGateway:
    """See the module. Rows live in `topics`; `publish` and friends may be called from any thread."""

    def __init__(self, at: float | None = None) -> None:
        self.port = free_port()
        self.started = at or time.time()
        self.frozen = at is not None
        self.topics: dict[str, Any] = seeds.all_topics(self.started)
        self.rev = 88_213
        self.ledger = ConcernLedger()
        self.nodes = seeds.NODES
        self.delay = 0.0
        self.deny: set[str] = set()
        self.broken: dict[str, Any] = {}
        self.no_stream = False
        self.mute_stream = False
        self.ticking = True
        self.fail_status = 0
        self.retry_after = ""
        self.skew = 0.0
        self.stuck_as_of: float | None = None
        self.lose_answers = False
        self.apply_lost = True
        self.change_under = False
        self.quota_total = 0
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.history: list[tuple[int, bytes]] = []
        self.keep_history = True
        self._queues: list[asyncio.Queue[bytes | None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.secret = f"spk_knew1_IIXRojKjKxa4D4cALz2eWaOASmL0u{self.port:05}"
        self.idempotent: dict[str, ActionResult] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # ----------------------------------------------------------------------------------------------- life cycle

    def start(self) -> None:
        config = uvicorn.Config(
            self, host="127.0.0.1", port=self.port, log_level="error", timeout_graceful_shutdown=1, lifespan="off"
        )
        server = uvicorn.Server(config)

        def run() -> None:
            asyncio.run(self._serve(server))

        self._server = server
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, 10, "the fake gateway")

    async def _serve(self, server: uvicorn.Server) -> None:
        self._loop = asyncio.get_running_loop()
        beat = asyncio.create_task(self._beat())
        await server.serve()
        beat.cancel()

    def stop(self) -> None:
        """As a killed process: streams end, the port is closed."""
        if self._server is not None and self._thread is not None:
            self._on_loop(self._end_streams)
            self._server.should_exit = True
            self._thread.join(10)
            self._server = None

    def cut_streams(self) -> None:
        self._on_loop(self._end_streams)

    def _end_streams(self) -> None:
        for queue in self._queues:
            queue.put_nowait(None)

    def _on_loop(self, call: Callable[[], object]) -> None:
        if self._thread is threading.current_thread():
            call()
        elif self._loop is not None and not self._loop.is_closed():
            done = threading.Event()

            def run() -> None:
                call()
                done.set()

            self._loop.call_soon_threadsafe(run)
            done.wait(5)

    @property
    def streams(self) -> int:
        return len(self._queues)

    def behind(self) -> int:
        """Chunks the slowest stream's reader has not taken yet."""
        return max((queue.qsize() for queue in list(self._queues)), default=0)

    # ------------------------------------------------------------------------------------------------ publishing

    def now(self) -> float:
        return (self.started if self.frozen else time.time()) + self.skew

    def as_of(self) -> float:
        return self.stuck_as_of if self.stuck_as_of is not None else self.now()

    def publish(self, topic: str, rows: list[Any], gone: list[str] | None = None) -> int:
        """Change rows and tell every stream; answers the revision."""
        key = TOPICS[topic].key
        held = {key(row): row for row in self.topics[topic]}
        held.update({key(row): row for row in rows})
        for name in gone or ():
            held.pop(name, None)
        self.topics[topic] = list(held.values())
        rev = self.send("delta", {"topic": topic, "rows": rows, "gone": gone or []})
        if topic in ("breakers", "targets", "services", "quotas"):
            self.tell_concerns()
        return rev

    def concerns(self) -> list[Any]:
        """As the real gateway finds them, from the rows as they are."""
        named = ("services", "targets", "breakers", "quotas")
        found = concern_rules.everything(*(self.topics[name] for name in named), self.nodes)
        self.ledger.observe(found, self.now())
        return self.ledger.rows()

    def tell_concerns(self) -> None:
        self.send("delta", {"topic": "concerns", "rows": self.concerns(), "gone": []})

    def sample(self, rows: list[TrafficView], rate: int = 20) -> None:
        self.send("sample", {"rows": rows, "rate": rate})

    def audit(self, rows: list[EventView]) -> None:
        self.topics["events"] = [*rows, *self.topics["events"]][:200]
        self.send("audit", {"rows": rows})

    def gap(self, lost: int) -> None:
        self.send("gap", {"lost": lost, "since": "12:03:10Z"})

    def tick(self) -> None:
        self.send("tick", {"pulse": self.topics["pulse"], "nodes": self.nodes, "as_of": self.as_of()})

    def send(self, name: str, body: dict[str, Any]) -> int:
        self.rev += 1
        raw = f"event: {name}\nid: {self.rev}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
        if self.keep_history:
            self.history = [*self.history[-500:], (self.rev, raw)]
        self.raw(raw)
        return self.rev

    def raw(self, chunk: bytes) -> None:
        if self._loop is None:
            return

        def put() -> None:
            for queue in self._queues:
                queue.put_nowait(chunk)

        self._on_loop(put)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1.0)  # a real gateway's beat
            if self.ticking and self._queues:
                body = msgspec.json.encode({"pulse": self.topics["pulse"], "nodes": self.nodes, "as_of": self.as_of()})
                self.rev += 1
                for queue in self._queues:
                    queue.put_nowait(f"event: tick\nid: {self.rev}\ndata: ".encode() + body + b"\n\n")

    # ------------------------------------------------------------------------------------------------------------------ HTTP

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode().removeprefix("/admin/v1")
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        self.requests.append((scope["method"], path, headers, body))
        del self.requests[:-500]
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.fail_status:
            more = [(b"retry-after", self.retry_after.encode())] if self.retry_after else []
            await answer(send, self.fail_status, {"title": "made to fail"}, more)
            return
        role = TOKENS.get(headers.get("authorization", "").removeprefix("Bearer "))
        if role is None:
            await answer(send, 401, {"title": "unauthenticated", "detail": "token expired 12:01"})
        elif path == "/stream":
            await self._stream(send, receive, headers, query)
        elif scope["method"] == "POST" and path != "/explain":
            await self._write(send, path, headers, query, json.loads(body or b"{}"), role)
        else:
            status, document, more = self._read(path, query, headers, body, role)
            await answer(send, status, document, more)

    def _read(
        self, path: str, query: dict[str, str], headers: dict[str, str], body: bytes, role: str
    ) -> tuple[int, Any, list[Any]]:
        envelope = {"rev": self.rev, "as_of": self.as_of(), "nodes": self.nodes}
        if path == "/whoami":
            return 200, {"name": "ana", "role": role, "gateway": "prod-eu1", "version": "1.0", "later_field": 1}, []
        if path == "/snapshot":
            names = query.get("topics", ",".join(LIVE)).split(",")
            denied = self.deny & set(names)
            if denied:
                return (
                    403,
                    {"title": "forbidden", "detail": f"needs role admin for {', '.join(denied)}", "needs": "admin"},
                    [],
                )
            etag = f'"{self.rev}"'
            if headers.get("if-none-match") == etag:
                return 304, None, [(b"etag", etag.encode())]
            return 200, {**envelope, "topics": {name: self._rows(name) for name in names}}, [(b"etag", etag.encode())]
        if path == "/explain":
            return 200, explained(json.loads(body)), []
        if path == "/openapi/report":
            return 200, {**envelope, "item": {"published": 1, "documents": self._rows("documents")}}, []
        name, _, rest = path.strip("/").partition("/")
        if name in self.deny:
            return 403, {"title": "forbidden", "detail": "needs role admin", "needs": "admin"}, []
        if name in TOPICS and not rest:
            rows = self._rows(name)
            if name == "config":
                return 200, rows, []
            if query.get("q"):
                rows = [row for row in rows if query["q"].lower() in str(row).lower()]
            return 200, {**envelope, "items": rows, "total": self.quota_total or len(rows), "next_cursor": None}, []
        if name == "breakers" and rest:
            found = [row for row in self.topics["breakers"] if row.name == unquote(rest)]
            return (200, {**envelope, "item": found[0]}, []) if found else (404, {"title": "no such breaker"}, [])
        return 404, {"title": "not found"}, []

    def _rows(self, name: str) -> Any:
        if name == "concerns" and not self.broken.get(name):
            return self.concerns() + list(self.topics["concerns"])
        return self.broken.get(name, self.topics[name])

    async def _stream(self, send: Any, receive: Any, headers: dict[str, str], query: dict[str, str]) -> None:
        if self.no_stream:
            await answer(send, 404, {"title": "not found"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        if not self.mute_stream:
            self._queues.append(queue)
            queue.put_nowait(b": hello\n\n")
            last = headers.get("last-event-id", "")
            for rev, raw in self.history if last.isdigit() else ():
                if rev > int(last):
                    queue.put_nowait(raw)
        gone = asyncio.create_task(receive())
        try:
            while not gone.done():
                take = asyncio.create_task(queue.get())
                await asyncio.wait({take, gone}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
                if take.done():
                    chunk = take.result()
                    if chunk is None:
                        break
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                else:
                    take.cancel()
                    if not self.mute_stream:
                        await send({"type": "http.response.body", "body": b": beat\n\n", "more_body": True})
        finally:
            gone.cancel()
            if queue in self._queues:
                self._queues.remove(queue)
        await send({"type": "http.response.body", "body": b""})

    # ---------------------------------------------------------------------------------------------------- writes

    async def _write(
        self, send: Any, path: str, headers: dict[str, str], query: dict[str, str], body: dict[str, Any], role: str
    ) -> None:
        needed = (
            "admin" if path.startswith(("/keys", "/sessions", "/subjects", "/config", "/consumers")) else "operator"
        )
        if role == "viewer" or (needed == "admin" and role != "admin"):
            await answer(send, 403, {"title": "forbidden", "detail": f"needs role {needed}", "needs": needed})
            return
        dry = query.get("dry_run") == "true"
        result, change = self._act(path, body)
        if result is None:
            await answer(send, 404, {"title": "no such object"})
            return
        if dry:
            await answer(send, 200, replace(result, applied=False, audit_id=None, secret=None))
            return
        seen = headers.get("if-match", "").strip('"')
        if self.change_under and seen:
            self.change_under = False
            await answer(
                send, 412, {"title": "changed", "detail": "the object changed", "current": "closed", "rev": self.rev}
            )
            return
        key = headers.get("idempotency-key", "")
        if key in self.idempotent:
            await answer(send, 200, self.idempotent[key])
            return
        if self.lose_answers:
            if self.apply_lost:
                change()
            await asyncio.sleep(30)  # an answer that never comes
            return
        rev = change()
        done = replace(result, applied=True, revision=rev, audit_id=f"01J9-A{self.rev}")
        self.idempotent[key] = replace(done, secret=None)
        self.audit(
            [
                EventView(
                    f"a{self.rev}",
                    self.now(),
                    f"admin.{result.action}",
                    "ana",
                    result.object,
                    "ok",
                    str(body.get("reason", "")),
                    "info",
                    done.audit_id,
                    "gw-1",
                )
            ]
        )
        await answer(send, 200, done)

    def _act(self, path: str, body: dict[str, Any]) -> tuple[ActionResult | None, Callable[[], int]]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        verb = parts[-1]
        changes: dict[str, tuple[str, Callable[[Any], bool], Callable[[Any], Any], Callable[[Any], str]]] = {
            "breakers": ("breakers", lambda r: r.name == parts[1], self._breaker(verb, body), lambda r: r.state),
            "targets": (
                "targets",
                lambda r: (r.upstream, r.name) == tuple(parts[1:3]),
                self._target(verb),
                lambda r: r.config,
            ),
            "quotas": (
                "quotas",
                lambda r: r.id == parts[1],
                self._quota(verb, body),
                lambda r: f"{r.used} of {r.quota}",
            ),
            "consumers": (
                "consumers",
                lambda r: r.name == parts[1],
                lambda r: replace(r, plan=body.get("plan")),
                lambda r: r.plan or "-",
            ),
            "keys": ("keys", lambda r: r.id == parts[1], self._key(verb), lambda r: r.state),
            "sessions": ("sessions", lambda r: r.id == parts[1], lambda r: r, lambda r: "live"),
        }
        if parts[0] in ("connections", "cache", "logging"):
            done = ActionResult(
                verb, parts[0], "as it is", "done", False, self.rev, None, "Changes nothing that is measured."
            )
            return done, lambda: self._done_with(parts)
        if parts == ["keys"]:
            return self._issue(body)
        if parts[0] == "config" and verb == "rollback":
            return self._rollback(str(body.get("revision")))
        if parts[0] in ("config", "subjects"):
            name = parts[1] if parts[0] == "subjects" else "configuration"
            return ActionResult(
                verb, name, "live", "done", False, self.rev, None, "no traffic changes"
            ), lambda: self.send("audit", {"rows": []})
        topic, wanted, change, tell = changes[parts[0]]
        row = next((row for row in self.topics[topic] if wanted(row)), None)
        if row is None:
            return None, lambda: 0
        after = change(row)
        result = ActionResult(
            verb,
            parts[1],
            tell(row),
            tell(after),
            False,
            self.rev,
            None,
            "402 rps would be refused with 503 on 6 routes; no fallback",
        )
        if verb == "rotate":
            result = replace(result, secret=self.secret)
        return result, lambda: self.publish_now(topic, [after])

    def _key(self, verb: str) -> Callable[[Any], Any]:
        return lambda r: replace(r, state="rotating" if verb == "rotate" else "revoked")

    def _issue(self, body: dict[str, Any]) -> tuple[ActionResult, Callable[[], int]]:
        consumer, lifetime = str(body["consumer"]), body.get("expires_in")
        until = None if lifetime is None else self.now() + float(lifetime)
        key = ApiKeyView("knew1", consumer, str(body.get("owner", "")), str(body.get("plan", "")),
                         tuple(body.get("scopes", ())), self.now(), until, None, "active")  # fmt: skip
        result = ActionResult("key.issue", f"keys of {consumer}", "-", "active, id knew1", False, self.rev, None,
                              f"{consumer} can authenticate with one more key.", secret=self.secret)  # fmt: skip
        return result, lambda: self.publish_now("keys", [key])

    def _rollback(self, revision: str) -> tuple[ActionResult | None, Callable[[], int]]:
        view = self.topics["config"]
        if revision not in {former.revision for former in view.history}:
            return None, lambda: 0

        def change() -> int:
            self.topics["config"] = replace(view, revision=revision)
            return self.tell_config()

        return ActionResult(
            "rollback", "configuration", view.revision, revision, False, self.rev, None, "2 routes change"
        ), change

    def tell_config(self) -> int:
        """As the gateway does: only which revision it is."""
        named = {"revision": self.topics["config"].revision}
        return self.send("delta", {"topic": "config", "rows": [named], "gone": []})

    def publish_now(self, topic: str, rows: list[Any]) -> int:
        """As `publish`, from the gateway's own thread."""
        key = TOPICS[topic].key
        held = {key(row): row for row in self.topics[topic]} | {key(row): row for row in rows}
        self.topics[topic] = list(held.values())
        return self.send("delta", {"topic": topic, "rows": rows, "gone": []})

    def _done_with(self, parts: list[str]) -> int:
        if parts[0] == "connections":
            self.topics["connections"] = [row for row in self.topics["connections"] if row.id != parts[1]]
        return self.send("delta", {"topic": "breakers", "rows": [], "gone": []})

    def _breaker(self, verb: str, body: dict[str, Any]) -> Callable[[Any], Any]:
        if verb == "trip":
            return lambda r: replace(
                r,
                state="forced_open",
                since=self.now(),
                forced_by="ana",
                forced_reason=str(body.get("reason")),
                expires_at=self.now() + float(body.get("ttl") or 0),
            )
        return lambda r: replace(
            r, state="closed", since=self.now(), forced_by=None, forced_reason=None, expires_at=None
        )

    def _target(self, verb: str) -> Callable[[Any], Any]:
        return {
            "drain": lambda r: replace(r, config="draining"),
            "undrain": lambda r: replace(r, config="active"),
        }.get(verb, lambda r: replace(r, last_probe_at=self.now()))

    def _quota(self, verb: str, body: dict[str, Any]) -> Callable[[Any], Any]:
        if verb != "raise":
            return lambda r: replace(r, used=0, remaining=r.quota)
        return lambda r: replace(r, quota=int(body["quota"]), override=f"raised to {body['quota']}")


def explained(body: dict[str, Any]) -> Explanation:
    return Explanation(
        f"{body['method']} {body['url']}",
        None,
        (
            Candidate("billing-v1", "/api/v1/billing/*", False, "path differs at segment 3"),
            Candidate("users-v1", "/api/v1/users/*", True, "longest prefix, method allowed"),
            Candidate("users-v2", "/api/v2/users/*", False, "path differs at segment 2"),
        ),
        "users-v1",
        {"id": "8841"},
        "users",
        "10.0.5.1:8080",
        "/8841",
        (
            GuardVerdict("address", "pass", "no list"),
            GuardVerdict("limits", "pass", "per-ip 29 of 30 left"),
            GuardVerdict("credentials", "refuse", "no token was given"),
        ),
        (("X-Request-Id", "set by the gateway"), ("X-Forwarded-For", "127.0.0.1")),
        "closed",
    )


async def answer(send: Any, status: int, document: Any, more: list[tuple[bytes, bytes]] | None = None) -> None:
    raw = b"" if document is None else msgspec.json.encode(document)
    kind = b"application/json" if status < 400 else b"application/problem+json"
    headers = [(b"content-type", kind), (b"content-length", str(len(raw)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


@contextmanager
def fake_gateway(at: float | None = None) -> Any:
    """A started one, stopped at the end. With `at`, its clock stands still there."""
    gateway = FakeGateway(at)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


__all__ = ["TOKENS", "FakeGateway", "Nodes", "fake_gateway"]
