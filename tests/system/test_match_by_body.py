"""Routes that fields of the JSON body tell apart, through a real gateway."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.servers import gateway_process
from tests.system.test_commands import spork
from tests.targets import Target

CONFIG = """
access_log: off
edge: {drain_delay: 0s, grace: 1s}
upstreams:
  small: {targets: [%s]}
  large: {targets: [%s]}
routes:
  - name: small
    match: {path: /v1/chat, methods: [POST], body: {model: small-*}}
    upstream: small
    limits: [{name: by-model, quota: 2, per: 1h, by: "json:model"}]
  - {name: rest, match: {path: /v1/chat, methods: [POST]}, upstream: large, body_bytes: 200KiB}
  - {name: only, match: {path: /v1/only, methods: [POST], body: {kind: a}}, upstream: small}
"""


async def test_the_body_says_where_a_request_goes_and_arrives_whole(tmp_path: Path) -> None:
    async with Target().up() as small, Target().up() as large:
        text = CONFIG % (small.url, large.url)
        with gateway_process(text, tmp_path) as gateway:
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:

                async def ask(document: object, path: str = "/v1/chat", **headers: str) -> httpx.Response:
                    return await client.post(
                        path, content=json.dumps(document), headers={"content-type": "application/json", **headers}
                    )

                async def asked(document: object, **headers: str) -> str:
                    return {str(small.port): "small", str(large.port): "large"}[(await ask(document, **headers)).text]

                assert await asked({"model": "small-1"}) == "small"
                assert await asked({"model": "large-1"}) == "large"
                assert await asked({"model": "small-1"}, **{"content-type": "text/plain"}) == "large"
                assert await asked({"model": "small-1", "fill": "x" * 100_000}) == "large", "more than is looked into"
                assert await asked({"model": "small-1"}) == "small"
                assert (await ask({"model": "small-1"})).status_code == 429, "the third of this model"
                assert await asked({"model": "small-2"}) == "small"
                assert (await ask({"kind": "a"}, "/v1/only")).status_code == 200
                refused = await ask({"kind": "b"}, "/v1/only")
                assert (refused.status_code, refused.json()["type"]) == (404, "urn:spork:problem:no_route")
                assert (await ask({"model": "x", "fill": "x" * 300_000})).status_code == 413

                async def pieces():  # type: ignore[no-untyped-def]
                    for piece in (b'{"model": "sm', b"all-", b'3"}'):
                        yield piece

                streamed = await client.post("/v1/chat", content=pieces(), headers={"content-type": "application/json"})
                assert streamed.text == str(small.port)
        config = tmp_path / "explained.yaml"
        config.write_text(text)
        for model, route in (("small-9", "small"), ("other", "rest")):
            said = spork(
                "explain", "POST", "http://gateway/v1/chat", "-c", str(config), "-H", "content-type: application/json",
                "--data", json.dumps({"model": model}), "--json",
            )  # fmt: skip
            assert json.loads(said.stdout)["route"] == route, said.stdout + said.stderr


def test_a_limit_by_a_field_that_no_route_knows_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "spork.yaml"
    config.write_text(
        'upstreams: {a: {targets: ["http://127.0.0.1:1"]}}\n'
        'routes: [{match: {path: /x, body: {"a..b": "x*y"}}, upstream: a, limits: [{quota: 1, per: 1s, by: "json:model"}]}]\n'
    )
    said = spork("check", "-c", str(config))
    assert said.returncode != 0
    for sentence in ("counts by json:model", "is no field", "* stands at the end only"):
        assert sentence in said.stdout + said.stderr
