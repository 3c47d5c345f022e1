"""Event streams, cost from the answer and fallback by status, through a real gateway in front of a model server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.live_target import Asked, LiveTarget, live_target
from tests.servers import GatewayProcess, gateway_process, wait_until

CONFIG = """
access_log: off
upstreams:
  small: {{targets: ["http://127.0.0.1:{one}"], fallback: {{upstream: large, statuses: [429, 500]}}}}
  large: {{targets: ["http://127.0.0.1:{two}"]}}
  failing: {{targets: ["http://127.0.0.1:{two}"], breaker: {{min_requests: 2, failure_ratio: 0.5, window: 60s, open_for: 60s}}}}
routes:
  - {{name: beating, match: /beating, upstream: large, stream: {{heartbeat: 300ms}}}}
  - {{name: slow, match: /slow, upstream: large, stream: {{first_event: 1s, heartbeat: 200ms}}}}
  - {{name: brief, match: /brief, upstream: large, stream: {{lifetime: 1s, retry: 3s}}}}
  - {{name: silent, match: /silent, upstream: large, stream: {{idle: 700ms}}}}
  - name: chat
    match: {{path: /chat, methods: [POST]}}
    upstream: large
    limits:
      - {{name: tokens, quota: 100000, per: 1h, by: global, algorithm: fixed_window,
          cost: {{fields: {{usage.prompt_tokens: 1, usage.completion_tokens: 4}}, reserve: 2000, most: 50000, missing: 500}}}}
  - name: priced
    match: /priced
    upstream: large
    limits: [{{name: money, quota: 100, per: 1h, by: global, cost: {{header: X-Cost, reserve: 1, most: 500}}}}]
  - {{name: early, match: /early, upstream: large, stream: {{heartbeat: 200ms, heartbeat_early: true}}}}
  - {{name: failing, match: /failing, upstream: failing, stream: {{error_event: error}}}}
  - name: behind
    match: /behind
    upstream: large
    limits: [{{name: rows, quota: 100, per: 1h, by: global, cost: {{trailer: X-Rows, reserve: 1, most: 500}}}}]
  - {{name: spare, match: /spare, upstream: small}}
"""

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(status: int, body: bytes, more: bytes = b"", kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n" % (status, kind, len(body), more) + body


@dataclass
class World:
    one: LiveTarget
    two: LiveTarget
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live_target() as one, live_target() as two:
        text = CONFIG.format(one=one.port, two=two.port)
        with gateway_process(text, tmp_path_factory.mktemp("streams")) as gateway:
            yield World(one, two, gateway)


Say = Callable[[asyncio.StreamWriter], object]


def says(target: LiveTarget, *pieces: bytes | float, cut: bool = False) -> None:
    """What the target answers next: bytes to write and seconds to wait."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(piece)
                await writer.drain()
        if cut:
            writer.close()

    target.answer = answer


def read(world: World, path: str) -> tuple[bytes, httpx.Headers, bool]:
    """What came, and whether it was whole."""
    got = b""
    with httpx.stream("GET", world.gateway.url + path, timeout=10) as answer:
        try:
            for piece in answer.iter_raw():
                got += piece
        except httpx.RemoteProtocolError:
            return got, answer.headers, False
        return got, answer.headers, True


def test_heartbeats_stand_between_events_only(world: World) -> None:
    says(world.two, HEAD, chunk(b"data: 1\n\n"), 0.8, chunk(b"data: be"), 0.8, chunk(b"gun\r\n\r\n"), 0.5, b"0\r\n\r\n")
    got, headers, is_whole = read(world, "/beating")
    assert is_whole
    assert got.startswith(b"data: 1\n\n: \n\n")
    assert b"data: begun\r\n\r\n" in got, "never within an event"
    assert got.count(b": \n\n") >= 3
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


def test_a_stream_without_a_first_event_is_cut(world: World) -> None:
    says(world.two, HEAD, 5.0)
    began = time.monotonic()
    got, _, is_whole = read(world, "/slow")
    assert not is_whole
    assert got.strip(b": \n") == b""
    assert 0.9 < time.monotonic() - began < 3


def test_a_lifetime_ends_between_events_and_says_when_to_come_back(world: World) -> None:
    says(world.two, HEAD, *[piece for _ in range(30) for piece in (chunk(b"data: x\n\n"), 0.1)])
    got, _, is_whole = read(world, "/brief")
    assert is_whole
    assert got.endswith(b"data: x\n\nretry: 3000\n\n")


def test_silence_longer_than_idle_cuts(world: World) -> None:
    says(world.two, HEAD, chunk(b"data: 1\n\n"), 5.0)
    began = time.monotonic()
    assert read(world, "/silent")[2] is False
    assert time.monotonic() - began < 3


def used(world: World) -> float:
    text = httpx.get(f"{world.gateway.admin_url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith('gateway_cost_units_total{limit="tokens"')]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


def left(world: World) -> int:
    says(world.two, whole(204, b""))
    state = httpx.post(f"{world.gateway.url}/chat").headers["ratelimit"]
    return int(state.split("r=")[1].split(";")[0])


USAGE = json.dumps({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 25}}).encode()


def test_tokens_are_charged_from_the_answer_whole_or_streamed(world: World) -> None:
    answers: list[tuple[tuple[bytes | float, ...], int]] = [
        ((whole(200, USAGE),), 200),
        (
            (
                HEAD,
                chunk(b'data: {"usage": null, "text": "usage.prompt_tokens"}\n\n'),
                *[chunk(bytes((byte,))) for byte in b"data: " + USAGE + b"\r\n\r\ndata: [DONE]\n\n"],
                b"0\r\n\r\n",
            ),
            200,
        ),
        (
            (HEAD, chunk(b'data: {"usage":{"prompt_tokens":5}}\n\n'), chunk(b"data: " + USAGE + b"\n\n"), b"0\r\n\r\n"),
            200,
        ),
        ((whole(200, b"{}"),), 500),
        ((whole(429, b"{}"),), 0),
        ((whole(200, json.dumps({"usage": {"prompt_tokens": 10**9}}).encode()),), 50000),
    ]
    for pieces, cost in answers:
        before, room = used(world), left(world)
        before = used(world)
        says(world.two, *pieces)
        httpx.post(f"{world.gateway.url}/chat", headers={"accept-encoding": "gzip"})
        assert "accept-encoding" not in world.two.asked[-1].headers
        wait_until(lambda: used(world) == before + cost, 5, f"{cost} units")
        # the probe itself reserves 2000 while it is asked, and costs 500 as an answer that says nothing
        assert room - left(world) == 500 + cost


def test_a_client_that_leaves_pays_what_was_reserved(world: World) -> None:
    before = used(world)
    says(world.two, HEAD, chunk(b"data: 1\n\n"), 5.0)
    with httpx.stream("POST", f"{world.gateway.url}/chat", timeout=5) as answer:
        next(answer.iter_raw())
    wait_until(lambda: used(world) == before + 2000, 5, "the reserve")


def test_a_cost_in_a_header_overdraws_and_the_next_is_refused(world: World) -> None:
    says(world.two, whole(200, b"{}", b"x-cost: 150\r\n"))
    assert httpx.get(f"{world.gateway.url}/priced").status_code == 200
    refused = httpx.get(f"{world.gateway.url}/priced")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 1800, "the debt is paid in time"


def test_a_status_of_the_first_model_leads_to_the_second_and_the_first_rests(world: World) -> None:
    world.one.asked.clear()
    says(world.one, whole(429, b"busy", b"retry-after: 2\r\n"))
    says(world.two, whole(200, b'"large"'))
    body = {"model": "small", "messages": []}
    answer = httpx.post(f"{world.gateway.url}/spare", json=body)
    assert (answer.status_code, answer.json()) == (200, "large")
    assert json.loads(world.two.asked[-1].body) == body
    assert httpx.post(f"{world.gateway.url}/spare", json=body).json() == "large"
    assert len(world.one.asked) == 1, "it asked to be left alone"
    says(world.one, whole(200, b'"small"'))
    wait_until(lambda: httpx.post(f"{world.gateway.url}/spare", json=body).json() == "small", 5, "its return")
    says(world.one, whole(400, b'"mine"'))
    assert httpx.post(f"{world.gateway.url}/spare", json=body).status_code == 400


def early(world: World, accept: str = "text/event-stream") -> tuple[int, bytes]:
    answer = httpx.get(world.gateway.url + "/early", headers={"accept": accept}, timeout=10)
    return answer.status_code, answer.content


def test_a_stream_begins_before_its_target_does(world: World) -> None:
    says(world.two, 0.9, HEAD, chunk(b"data: 1\n\n"), b"0\r\n\r\n")
    status, got = early(world)
    assert (status, got.replace(b": \n\n", b"")) == (200, b"data: 1\n\n")
    assert got.startswith(b": \n\n: \n\n")
    says(world.two, HEAD, chunk(b"data: 1\n\n"), b"0\r\n\r\n")
    assert early(world) == (200, b"data: 1\n\n"), "one that is quick is as it was"


def test_what_goes_wrong_after_an_early_head_is_told_in_the_stream(world: World) -> None:
    says(world.two, 0.5, whole(500, b'{"error": "model\nis away"}'))
    status, got = early(world)
    assert (status, got[got.index(b"event") :]) == (200, b'event: error\ndata: {"error": "model\ndata: is away"}\n\n')
    says(world.two, 0.5, b"no http", cut=True)
    status, got = early(world)
    event, data = got[got.index(b"event") :].strip().split(b"\n")
    assert (status, event) == (200, b"event: error")
    assert json.loads(data[6:])["status"] == 502


def test_nothing_begins_early_for_who_asks_for_something_else(world: World) -> None:
    says(world.two, 0.5, whole(429, b"{}"))
    assert early(world, "application/json") == (429, b"{}")


def test_an_error_event_counts_against_the_target(world: World) -> None:
    for _ in range(2):
        says(world.two, HEAD, chunk(b"data: 1\n\neve"), 0.1, chunk(b"nt: error\r\ndata: x\r\n\r\n"), b"0\r\n\r\n")
        assert httpx.get(world.gateway.url + "/failing", timeout=10).status_code == 200
    wait_until(lambda: httpx.get(world.gateway.url + "/failing", timeout=10).status_code == 503, 10, "an open circuit")


def test_a_cost_behind_the_answer_is_charged(world: World) -> None:
    left = []
    for rows in (40, 59, 1):
        says(world.two, HEAD, chunk(b"data: 1\n\n"), b"0\r\nX-Rows: %d\r\nX-Other: 7\r\n\r\n" % rows)
        answer = httpx.get(world.gateway.url + "/behind", timeout=10)
        assert (answer.status_code, answer.content) == (200, b"data: 1\n\n")
        assert "x-rows" not in answer.headers
        left.append(answer.headers["ratelimit"])
    assert [int(text.partition("r=")[2].partition(";")[0]) for text in left] == [99, 59, 0]
    assert httpx.get(world.gateway.url + "/behind", timeout=10).status_code == 429
