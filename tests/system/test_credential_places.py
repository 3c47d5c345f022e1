"""Where credentials may stand, groups of methods and claims as headers, through a real gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests import tokens
from tests.authorities import Authority, authority
from tests.live_target import live_target
from tests.servers import GatewayProcess, gateway_process
from tests.system.test_auth import bearer, echo, ready, token

CONFIG = """
access_log: stdout
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [RS256], jwks_url: "{idp}/jwks"}}
consumers: {{acme: {{}}}}
upstreams:
  echo: {{targets: ["{target}"]}}
  live: {{targets: ["http://127.0.0.1:{live}"]}}
routes:
  - name: places
    match: /places/*
    upstream: echo
    auth:
      any_of: [jwt, api_key, anonymous]
      tokens: {{headers: [X-Token], cookie: sid, query: access_token}}
      keys: {{headers: [X-Key], query: api_key}}
      claim_headers: {{X-Org: org.id, X-Mail: email}}
    security: {{csrf: true}}
  - {{name: socket, match: /socket, upstream: live, auth: {{tokens: {{authorization: false, protocol: bearer}}}}}}
  - {{name: kept, match: /kept/*, upstream: echo,
      auth: {{forward_credentials: true, tokens: {{query: access_token}}}}}}
  - {{name: nested, match: /nested/*, upstream: echo, auth: {{any_of: [basic, {{all_of: [jwt, api_key]}}]}}}}
"""


@dataclass
class World:
    gateway: GatewayProcess
    client: httpx.Client
    key: str

    def seen(self, path: str, **asked: Any) -> dict[str, Any]:
        """What the target got: its path and headers."""
        answer = self.client.get(path, **asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def status(self, path: str, method: str = "GET", **asked: Any) -> int:
        return self.client.request(method, path, **asked).status_code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp: Path = tmp_path_factory.mktemp("places")
    with ExitStack() as stack:
        idp: Authority = stack.enter_context(authority())
        idp.jwks = {"keys": [tokens.public_jwk("rsa", "k1")]}
        target, live = stack.enter_context(echo()), stack.enter_context(live_target())
        text = CONFIG.format(idp=idp.url, target=target.url, live=live.socket_port)
        gateway = stack.enter_context(gateway_process(text, tmp))
        client = stack.enter_context(httpx.Client(base_url=gateway.url, trust_env=False))
        ready(gateway)
        issued = httpx.post(
            gateway.admin_url + "/admin/v1/keys", json={"consumer": "acme"}, headers=bearer(gateway.admin_token),
            trust_env=False,
        )  # fmt: skip
        key = next(word for word in json.dumps(issued.json()).replace('"', " ").split() if word.startswith("spk_"))
        yield World(gateway, client, key)


def test_a_token_in_each_place_means_its_caller_and_reaches_no_target(world: World) -> None:
    good = token(org={"id": 7}, email="zo\u00eb@example.com")
    for shown in (
        {"headers": bearer(good)},
        {"headers": {"X-Token": good}},
        {"headers": {"Cookie": f"theme=dark; sid={good}"}},
        {"params": {"access_token": good, "q": "1"}},
    ):
        seen = world.seen("/places/x", **shown)
        assert seen["headers"]["x-user-id"] == "alice"
        assert (seen["headers"]["x-org"], seen["headers"]["x-mail"]) == ("7", "zo%C3%AB@example.com")
        assert good not in json.dumps(seen), shown
    assert world.seen("/places/x", params={"access_token": good, "q": "1"})["path"] == "/places/x?q=1"
    assert world.seen("/places/x", headers={"Cookie": f"theme=dark; sid={good}"})["headers"]["cookie"] == "theme=dark"
    assert world.status("/places/x", params={"access_token": good}, headers={"X-Token": good}) == 401
    assert world.status("/places/x", headers={"Cookie": "sid=bad"}) == 401
    # Only the gateway says what claims say, also of those who show nothing.
    assert "x-org" not in world.seen("/places/x", headers={"X-Org": "8"})["headers"]
    assert good.split(".")[2][:20] not in world.gateway.log()


def test_a_key_in_each_place_and_what_is_the_targets_own(world: World) -> None:
    for shown in ({"headers": {"X-Key": world.key}}, {"params": {"api_key": world.key}}):
        seen = world.seen("/places/x", **shown)
        assert seen["headers"]["x-consumer-id"] == "acme"
        assert world.key not in json.dumps(seen)
    theirs = world.seen("/places/x", headers={"X-API-Key": "the target's own"})["headers"]
    assert theirs["x-api-key"] == "the target's own"
    assert "x-consumer-id" not in theirs
    assert world.key not in world.gateway.log()


def test_a_cookie_that_carries_a_token_can_be_forged_by_no_page(world: World) -> None:
    cookie = {"Cookie": f"sid={token()}"}
    assert world.status("/places/x", "POST", headers={**cookie, "Origin": "https://evil.example"}) == 403
    assert world.status("/places/x", "POST", headers=cookie) == 403
    assert world.status("/places/x", "POST", headers={**cookie, "Sec-Fetch-Site": "same-origin"}) == 200


def test_a_forwarded_credential_is_an_authorization_header(world: World) -> None:
    good = token()
    seen = world.seen("/kept/x", params={"access_token": good})
    assert (seen["path"], seen["headers"]["authorization"]) == ("/kept/x", f"Bearer {good}")


def test_a_subprotocol_may_carry_the_token_of_a_handshake(world: World) -> None:
    address = f"ws://127.0.0.1:{world.gateway.port}/socket"
    with connect(address, subprotocols=["bearer", token()]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "bearer"
    with pytest.raises(Exception, match="401"):
        connect(address, additional_headers=bearer(token()))


def test_groups_of_methods(world: World) -> None:
    good, key = bearer(token()), {"X-API-Key": world.key}
    assert world.status("/nested/x", headers={**good, **key}) == 200
    assert [world.status("/nested/x", headers=one) for one in (good, key, {})] == [401, 401, 401]
