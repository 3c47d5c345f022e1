"""Who may call, through real gateway processes: tokens, keys, revocation across replicas, request security."""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from spork.domain.http.head import RequestHead
from spork.domain.identity.signatures import sign_request
from tests import proofs, servers, tokens
from tests.authorities import Authority, authority
from tests.servers import GatewayProcess, gateway_process

PEPPER = "test-pepper"


def pem(kind: str = "rsa", number: int = 0) -> str:
    return (
        tokens.private_key(kind, number)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@contextmanager
def echo() -> Iterator[Authority]:
    """A target that answers with the request it got, as JSON."""
    with authority() as target:

        def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
            said = {"method": method, "path": path, "headers": headers, "body": body.decode("latin-1")}
            own = {
                "access-control-allow-origin": "*",
                "x-frame-options": "SAMEORIGIN",
                "content-type": "application/json",
            }
            return 200, own, json.dumps(said).encode()

        target.instead = answer
        yield target


def token(**changes: object) -> str:
    """A token that is good now, in real time."""
    now = time.time()
    given: dict[str, object] = {"exp": now + 300, "iat": now - 1, "jti": f"t-{time.monotonic_ns()}"}
    return tokens.token(**{**given, **changes}).decode()


def bearer(raw: str) -> dict[str, str]:
    return {"authorization": f"Bearer {raw}"}


CONFIG = """
access_log: off
expose: [health, ready, auth, jwks]
auth_service: "{idp}"
trusted_proxies: [127.0.0.1/32]
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [RS256], jwks_url: "{idp}/jwks",
         claim_names: {{amr: how.factors, acr: how.level, auth_time: how.since}}}}
plans: {{basic: {{}}, premium: {{}}}}
consumers:
  acme: {{plan: basic, subjects: [alice], roles: [partner]}}
  basil: {{basic_password_hash: "{password}"}}
  sigrid: {{signature_secret: "a shared secret of some length"}}
upstreams:
  echo: {{targets: ["{target}"]}}
routes:
  - {{name: tokens, match: /tokens/*, upstream: echo, auth: {{any_of: [jwt], roles: [reader], scopes: ["users:read"]}}}}
  - {{name: admin, match: /admin/*, upstream: echo, auth: {{any_of: [jwt], scopes: [root]}}}}
  - {{name: mfa, match: /mfa/*, upstream: echo, auth: {{any_of: [jwt], mfa: true}}}}
  - {{name: tenant, match: "/tenants/{{tenant}}/*", upstream: echo, auth: {{any_of: [jwt], tenant: tenant}}}}
  - {{name: header, match: /header/*, upstream: echo, auth: {{any_of: [jwt], tenant: X-Tenant}}}}
  - {{name: fresh, match: /fresh/*, upstream: echo, auth: {{any_of: [jwt], acr: [gold], max_age: 1m}}}}
  - {{name: keys, match: /keys/*, upstream: echo, auth: {{any_of: [api_key]}}}}
  - {{name: either, match: /either/*, upstream: echo, auth: {{any_of: [jwt, api_key, anonymous]}}}}
  - {{name: both, match: /both/*, upstream: echo, auth: {{all_of: [jwt, api_key]}}}}
  - {{name: basic, match: /basic/*, upstream: echo, auth: {{any_of: [basic]}}}}
  - {{name: signed, match: /signed/*, upstream: echo, auth: {{any_of: [signature]}}}}
  - {{name: told, match: /told/*, upstream: echo, auth: {{any_of: [jwt], signed_identity: true}}}}
  - {{name: kept, match: /kept/*, upstream: echo, auth: {{any_of: [jwt], forward_credentials: true}}}}
  - name: web
    match: {{path: /web/*, methods: [GET, POST]}}
    upstream: echo
    cors: {{origins: ["https://app.example.com"], credentials: true}}
    security: {{csrf: true, headers: true, screen: block}}
  - {{name: far, match: /far/*, upstream: echo, security: {{allow: [10.0.0.0/8]}}}}
  - {{name: secure, match: /secure/*, upstream: echo, security: {{https: redirect, hsts: max-age=31536000}}}}
  - {{name: formed, match: /formed/*, upstream: echo, security: {{schema: {schema}}}}}
"""


@dataclass
class World:
    gateway: GatewayProcess
    client: httpx.Client
    idp: Authority
    target: Authority
    admin: httpx.Client

    def issue(self, **wanted: object) -> dict[str, Any]:
        """A new API key through the admin API: its id and its text."""
        answer = self.admin.post("/admin/v1/keys", json={"consumer": "acme", **wanted})
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        text = next(value for value in _texts(found) if value.startswith("spk_"))
        return {"id": text.split("_")[1], "text": text}


def _texts(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield from found.split()
    elif isinstance(found, dict):
        for value in found.values():
            yield from _texts(value)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value)


def configured(tmp: Path, idp: Authority, target: Authority, extra: str = "") -> str:
    from argon2 import PasswordHasher

    schema = tmp / "schema.json"
    schema.write_text(json.dumps({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}))
    idp.jwks = {"keys": [tokens.public_jwk("rsa", "k1")]}
    password = PasswordHasher(time_cost=1, memory_cost=64).hash("open sesame")
    return CONFIG.format(idp=idp.url, target=target.url, schema=schema, password=password) + extra


def ready(gateway: GatewayProcess) -> None:
    """Sockets listen before the gateway serves: wait until it says so."""

    def ask() -> bool:
        try:
            return httpx.get(gateway.url + "/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            assert gateway.process.poll() is None, gateway.log()
            return False

    servers.wait_until(ask, 20, "readiness")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        idp, target = stack.enter_context(authority()), stack.enter_context(echo())
        gateway = stack.enter_context(gateway_process(configured(tmp, idp, target), tmp, SPORK_KEY_PEPPER=PEPPER))
        client = stack.enter_context(httpx.Client(base_url=gateway.url, trust_env=False))
        ready(gateway)
        admin = stack.enter_context(
            httpx.Client(base_url=gateway.admin_url, headers=bearer(gateway.admin_token), trust_env=False)
        )
        yield World(gateway, client, idp, target, admin)


@pytest.fixture(autouse=True)
def address(request: pytest.FixtureRequest) -> None:
    """An address of its own for each test that shares the gateway: failures are counted by address."""
    if "world" in request.fixturenames:
        number = sum(request.node.name.encode()) % 60_000
        client: httpx.Client = request.getfixturevalue("world").client
        client.headers["x-forwarded-for"] = f"198.18.{number // 250}.{number % 250}"


# ---------------------------------------------------------------------------------------------------------------- tokens


def test_a_good_token_reaches_the_target_with_its_identity(world: World) -> None:
    claimed = {"x-user-id": "root", "X-User-Roles": "admin", "x-consumer-id": "evil"}
    answer = world.client.get("/tokens/x", headers={**bearer(token()), **claimed})
    assert answer.status_code == 200, answer.text
    seen = answer.json()["headers"]
    assert seen["x-user-id"] == "alice"
    assert seen["x-user-roles"] == "partner,reader"
    assert (seen["x-consumer-id"], seen["x-consumer-plan"]) == ("acme", "basic")
    assert "authorization" not in seen


def test_a_client_that_shows_nothing_cannot_claim_anything(world: World) -> None:
    answer = world.client.get("/either/x", headers={"x-user-id": "root", "x-consumer-id": "evil"})
    assert answer.status_code == 200
    assert not [name for name in answer.json()["headers"] if name.startswith(("x-user", "x-consumer"))]


@pytest.mark.parametrize(
    ("path", "headers", "status", "challenge"),
    [
        ("/tokens/x", {}, 401, 'Bearer realm="spork"'),
        ("/tokens/x", {"authorization": "Bearer nonsense"}, 401, 'Bearer realm="spork", error="invalid_token"'),
        ("/either/x", {"authorization": "Bearer nonsense"}, 401, None),
    ],
)
def test_refusals_carry_challenges(
    world: World, path: str, headers: dict[str, str], status: int, challenge: str | None
) -> None:
    answer = world.client.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if challenge is not None:
        assert answer.headers["www-authenticate"] == challenge


def test_scopes_roles_tenants_and_factors(world: World) -> None:
    short = world.client.get("/admin/x", headers=bearer(token()))
    assert short.status_code == 403
    assert short.headers["www-authenticate"] == 'Bearer realm="spork", error="insufficient_scope", scope="root"'
    assert "root" not in short.text
    assert world.client.get("/tokens/x", headers=bearer(token(roles=["writer"], sub="bob"))).status_code == 403
    assert world.client.get("/tenants/acme/x", headers=bearer(token())).status_code == 200
    assert world.client.get("/tenants/globex/x", headers=bearer(token())).status_code == 403


def test_a_tenant_is_named_once(world: World) -> None:
    """Two tenants in one request are none: which of them a target would believe nobody knows."""
    may = bearer(token())
    for given, status in ((["acme"], 200), (["globex"], 403), (["acme", "globex"], 403), (["globex", "acme"], 403)):
        headers = [*may.items(), *(("X-Tenant", tenant) for tenant in given)]
        assert world.client.get("/header/x", headers=headers).status_code == status, given


def test_step_up_by_the_claims_that_the_configuration_names(world: World) -> None:
    def status(path: str, **claims: object) -> int:
        return world.client.get(path, headers=bearer(token(**claims))).status_code

    weak = world.client.get("/mfa/x", headers=bearer(token(amr=["pwd", "otp"])))  # not the claim that counts here
    assert weak.status_code == 401
    assert 'error="insufficient_user_authentication"' in weak.headers["www-authenticate"]
    assert status("/mfa/x", how={"factors": ["pwd", "otp"]}) == 200
    gold = {"level": "gold", "since": time.time() - 5}
    assert status("/fresh/x", how=gold) == 200
    assert status("/fresh/x", how={**gold, "level": "silver"}) == 401
    assert status("/fresh/x", how={**gold, "since": time.time() - 90}) == 401
    assert status("/fresh/x", acr="gold", auth_time=time.time()) == 401


def test_the_gateways_own_identity_token_can_be_checked(world: World) -> None:
    import jwt

    answer = world.client.get("/told/x", headers=bearer(token()))
    signed = answer.json()["headers"]["x-gateway-identity"]
    key = (world.gateway.directory / ".spork" / "signing-key.pem").read_text()
    public = serialization.load_pem_private_key(key.encode(), None).public_key()
    claims = jwt.decode(signed, public, ["EdDSA"], audience="echo")
    assert (claims["sub"], claims["client_id"], claims["iss"]) == ("alice", "acme", "spork")
    assert claims["exp"] - claims["iat"] <= 60


def test_a_route_may_pass_the_credential_on(world: World) -> None:
    raw = token()
    assert world.client.get("/kept/x", headers=bearer(raw)).json()["headers"]["authorization"] == f"Bearer {raw}"


# ------------------------------------------------------------------------------------------------------------------ keys


def test_a_key_is_issued_used_rotated_and_revoked(world: World) -> None:
    refused = world.admin.post("/admin/v1/keys", json={"consumer": "acme", "scopes": ["a"]})
    assert refused.status_code == 422, "no route asks for this scope"
    key = world.issue(scopes=["a"], force=True)
    headers = {"x-api-key": key["text"]}
    answer = world.client.get("/keys/x", headers=headers)
    assert answer.status_code == 200, answer.text
    seen = answer.json()["headers"]
    assert (seen["x-consumer-id"], seen["x-user-method"]) == ("acme", "api_key")
    assert "x-api-key" not in seen
    rotated = world.admin.post(f"/admin/v1/keys/{key['id']}/rotate", json={"overlap": 60})
    assert rotated.status_code in (200, 201), rotated.text
    new = next(text for text in _texts(rotated.json()) if text.startswith("spk_"))
    assert world.client.get("/keys/x", headers=headers).status_code == 200
    assert world.client.get("/keys/x", headers={"x-api-key": new}).status_code == 200
    assert world.admin.post(f"/admin/v1/keys/{key['id']}/revoke", json={"reason": "lost"}).status_code in (200, 201)
    assert world.client.get("/keys/x", headers=headers).status_code == 401
    assert world.client.get("/keys/x", headers={"x-api-key": new}).status_code == 401


def test_keys_of_another_system_are_brought_found_and_revoked_together(world: World) -> None:
    texts = [f"their-{number:04}-{'k' * 24}" for number in range(30)]
    rows = [{"consumer": "acme", "text": text, "owner": "Moved", "roles": ["reader"]} for text in texts]
    asked = {"keys": rows, "reason": "move"}
    assert world.admin.post("/admin/v1/keys/import", params={"dry_run": True}, json=asked).json()["applied"] is False
    assert world.client.get("/keys/x", headers={"x-api-key": texts[0]}).status_code == 401
    done = world.admin.post("/admin/v1/keys/import", json=asked)
    assert (done.status_code, done.json()["after"]) == (200, "30 added, 0 there already"), done.text
    assert texts[0] not in done.text
    answers = [world.client.get("/keys/x", headers={"x-api-key": text}) for text in texts[:3]]
    assert [answer.json()["headers"]["x-consumer-id"] for answer in answers] == ["acme"] * 3
    unknown = world.admin.post("/admin/v1/keys/import", json={"keys": [{"consumer": "nobody", "text": texts[0] + "x"}]})
    assert (unknown.status_code, "force" in unknown.text) == (422, True)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = world.admin.get(
            "/admin/v1/keys", params={"q": "moved", "state": "active", "top": 7, "cursor": cursor}
        ).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(set(seen)) == len(seen) == 30
    exported = world.admin.get("/admin/v1/keys/export").json()["items"]
    assert set(seen) <= {row["id"] for row in exported}
    assert "text" not in exported[0]
    ended = world.admin.post("/admin/v1/keys/revoke", json={"ids": seen, "reason": "over"})
    assert ended.json()["after"] == "30 revoked", ended.text
    assert [world.client.get("/keys/x", headers={"x-api-key": text}).status_code for text in texts[:3]] == [401] * 3


def test_no_secret_is_listed_or_logged(world: World) -> None:
    key = world.issue()
    world.client.get("/keys/x", headers={"x-api-key": key["text"]})
    secret = key["text"].split("_")[2]
    assert secret not in world.admin.get("/admin/v1/keys").text
    assert secret not in world.gateway.log()
    assert secret.encode() not in (world.gateway.directory / ".spork" / "records.db").read_bytes()


@pytest.mark.alone
def test_an_unknown_key_and_a_wrong_secret_look_the_same(world: World) -> None:
    """Status, body, headers and the median time of many, asked in turn. The steps themselves are counted in
    test_credentials.py; each request has an address of its own, for failures are limited by address."""
    from spork.domain.identity.consumers import mint, mint_id

    key = world.issue()
    wrong = str(mint(key["id"], b"\x01" * 24))
    unknown = str(mint(mint_id(b"\x02" * 9), b"\x01" * 24))

    addresses = (f"198.20.{number // 250}.{number % 250}" for number in range(10_000))

    def ask(text: str) -> tuple[int, str, dict[str, str], float]:
        headers = {"x-api-key": text, "x-forwarded-for": next(addresses)}
        began = time.perf_counter()
        answer = world.client.get("/keys/x", headers=headers)
        took = time.perf_counter() - began
        body = {k: v for k, v in answer.json().items() if k != "instance"}
        headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date", "retry-after")}
        return answer.status_code, json.dumps(body), headers, took

    pairs = [(ask(wrong), ask(unknown)) for _ in range(400)]
    assert all(one[:3] == other[:3] == pairs[0][0][:3] for one, other in pairs)
    assert pairs[0][0][0] == 401
    medians = [statistics.median(pair[side][3] for pair in pairs) for side in (0, 1)]
    assert 0.85 < medians[0] / medians[1] < 1.18


@pytest.mark.alone
@pytest.mark.parametrize("shared", ["redis", "records"])
def test_two_gateways_see_revocations_and_key_changes_within_a_second(tmp_path: Path, shared: str) -> None:
    """Sharing a Redis with records apart, and sharing records without any Redis."""
    with ExitStack() as stack:
        idp, target = stack.enter_context(authority()), stack.enter_context(echo())
        redis = stack.enter_context(servers.redis_process())
        extra = f"shared: {redis.url}\n" if shared == "redis" else f"records: sqlite:///{tmp_path}/shared.db\n"
        one, two = (
            stack.enter_context(
                gateway_process(configured(tmp_path, idp, target, extra), tmp_path / name, SPORK_KEY_PEPPER=PEPPER)
            )
            for name in ("one", "two")
        )
        client = stack.enter_context(httpx.Client(trust_env=False))

        def status(gateway: GatewayProcess, path: str, headers: dict[str, str]) -> int:
            return client.get(gateway.url + path, headers=headers).status_code

        def admin(gateway: GatewayProcess, path: str, body: dict[str, object]) -> dict[str, Any]:
            answer = client.post(gateway.admin_url + path, json=body, headers=bearer(gateway.admin_token))
            assert answer.status_code in (200, 201), answer.text
            return dict(answer.json())

        headers = bearer(token(sid="s-7"))
        assert (status(one, "/tokens/x", headers), status(two, "/tokens/x", headers)) == (200, 200)
        admin(one, "/admin/v1/sessions/s-7/revoke", {"reason": "stolen"})
        assert status(one, "/tokens/x", headers) == 401
        _within_a_second(lambda: status(two, "/tokens/x", headers) == 401)

        if shared == "records":
            issued = admin(one, "/admin/v1/keys", {"consumer": "acme"})
            text = next(text for text in _texts(issued) if text.startswith("spk_"))
            key = {"x-api-key": text}
            assert (status(one, "/keys/x", key), status(two, "/keys/x", key)) == (200, 200)
            admin(two, f"/admin/v1/keys/{text.split('_')[1]}/revoke", {"reason": "lost"})
            _within_a_second(lambda: status(one, "/keys/x", key) == 401)
            return

        redis.kill()
        redis.start()  # emptied
        assert (status(one, "/tokens/x", headers), status(two, "/tokens/x", headers)) == (401, 401)
        third = stack.enter_context(
            gateway_process(configured(tmp_path, idp, target, extra), tmp_path / "three", SPORK_KEY_PEPPER=PEPPER)
        )
        _within_a_second(lambda: status(third, "/tokens/x", headers) == 401)


def _within_a_second(check: Callable[[], bool]) -> None:
    """Within the promised second."""
    servers.wait_until(check, 1.0, "the other gateway's answer")


# --------------------------------------------------------------------------------------------------------- other methods


def test_passwords(world: World) -> None:
    assert world.client.get("/basic/x", auth=("basil", "open sesame")).json()["headers"]["x-consumer-id"] == "basil"
    for auth in (("basil", "wrong"), ("nobody", "open sesame"), ("acme", "")):
        answer = world.client.get("/basic/x", auth=auth)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="spork", charset="UTF-8"'


def test_failures_of_one_address_end_in_429_and_leave_its_neighbours_alone(world: World) -> None:
    statuses = [world.client.get("/tokens/x", headers=bearer("nonsense")).status_code for _ in range(40)]
    assert statuses[:25] == [401] * 25
    assert statuses[-1] == 429
    assert int(world.client.get("/tokens/x", headers=bearer("nonsense")).headers["retry-after"]) >= 1
    neighbour = {**bearer("nonsense"), "x-forwarded-for": "198.19.0.1"}
    assert world.client.get("/tokens/x", headers=neighbour).status_code == 401
    assert world.client.get("/tokens/x", headers=bearer(token())).status_code == 200


def signed_write(url: str, body: bytes, age: int = 0) -> dict[str, bytes]:
    """The headers with which sigrid signed a POST of `body` to /signed/x?a=1 at `url`, `age` seconds ago."""
    digest = b"sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()) + b":"
    host = url.removeprefix("http://").encode()
    head = RequestHead("POST", b"/signed/x", b"a=1", ((b"content-digest", digest),), "http", host)
    covered = ("@method", "@authority", "@path", "@query", "content-digest")
    created = int(time.time()) - age
    given, signature = sign_request(head, b"a shared secret of some length", "sigrid", created, covered)
    return {"content-digest": digest, "signature-input": given, "signature": signature}


def test_signed_requests(world: World) -> None:
    body = b'{"amount": 5}'
    headers = signed_write(world.gateway.url, body)

    def send(content: bytes = body, path: str = "/signed/x?a=1") -> int:
        return world.client.post(path, content=content, headers={k: v.decode() for k, v in headers.items()}).status_code

    assert send(path="/signed/x?a=2") == 401
    assert send(b'{"amount": 6}') == 401
    headers = signed_write(world.gateway.url, body, age=60)  # never the same second as above
    assert send() == 200
    assert send() == 401  # a replay


def test_a_signed_write_is_taken_once_by_the_whole_fleet(tmp_path: Path) -> None:
    with ExitStack() as stack:
        idp, target = stack.enter_context(authority()), stack.enter_context(echo())
        redis = stack.enter_context(servers.redis_process())
        config = configured(tmp_path, idp, target, f"shared: {redis.url}?timeout=5\n")
        gateways = [
            stack.enter_context(gateway_process(config, tmp_path / name, SPORK_KEY_PEPPER=PEPPER))
            for name in ("one", "two")
        ]
        client = stack.enter_context(httpx.Client(trust_env=False))
        body, name = b"{}", "http://api.example.com"

        def send(gateway: GatewayProcess, headers: dict[str, bytes]) -> int:
            given = {key: value.decode() for key, value in headers.items()} | {"host": "api.example.com"}
            return client.post(f"{gateway.url}/signed/x?a=1", content=body, headers=given).status_code

        for number, (first, second) in enumerate([gateways, gateways[::-1]]):
            headers = signed_write(name, body, age=60 * number)  # never the same second twice
            assert [send(first, headers), send(second, headers), send(first, headers)] == [200, 401, 401]
        assert len(target.asked) == 2


def test_a_bound_token_is_shown_by_its_sender_and_each_proof_once_in_the_whole_fleet(tmp_path: Path) -> None:
    with ExitStack() as stack:
        idp, target = stack.enter_context(authority()), stack.enter_context(echo())
        redis = stack.enter_context(servers.redis_process())
        config = configured(tmp_path, idp, target, f"shared: {redis.url}?timeout=5\n")
        one, two = (
            stack.enter_context(gateway_process(config, tmp_path / name, SPORK_KEY_PEPPER=PEPPER))
            for name in ("one", "two")
        )
        client = stack.enter_context(httpx.Client(trust_env=False))
        bound = token(cnf={"jkt": proofs.jkt()})

        def get(gateway: GatewayProcess, headers: dict[str, str], path: str = "/kept/x") -> int:
            return client.get(gateway.url + path, headers={**headers, "host": "api.example.com"}).status_code

        def shown(path: str = "/kept/x", **changes: Any) -> dict[str, str]:
            made = proofs.proof(bound, uri=f"http://api.example.com{path}", **changes)
            return {"authorization": f"DPoP {bound}", "dpop": made.decode()}

        for first, second in ((one, two), (two, one)):
            proven = shown()
            assert [get(first, proven), get(second, proven), get(first, proven)] == [200, 401, 401]
        assert get(one, bearer(bound)) == 401
        assert get(one, shown(number=1)) == 401
        assert get(one, shown("/kept/y")) == 401
        assert get(one, shown(method="POST")) == 401
        # The gateway's own endpoints ask for no proof, and so take no bound token.
        assert client.get(one.url + "/auth/sessions", headers=bearer(bound)).status_code == 401
        assert len(target.asked) == 2


def test_both_credentials(world: World) -> None:
    key = {"x-api-key": world.issue()["text"]}
    assert world.client.get("/both/x", headers={**bearer(token()), **key}).status_code == 200
    assert world.client.get("/both/x", headers=key).status_code == 401


# ------------------------------------------------------------------------------------------------------------- the desk


def test_a_caller_sees_its_sessions_and_ends_them(world: World) -> None:
    mine, other = (bearer(token(sid=sid, sub="carol")) for sid in ("c-1", "c-2"))
    for headers in (mine, other):
        assert world.client.get("/tokens/x", headers=headers).status_code == 200
    listed = world.client.get("/auth/sessions", headers=mine).json()["items"]
    assert {item["id"] for item in listed} == {"c-1", "c-2"}
    assert world.client.post("/auth/logout", headers=mine).status_code == 204
    assert world.client.get("/tokens/x", headers=mine).status_code == 401
    assert world.client.get("/tokens/x", headers=other).status_code == 200
    assert world.client.get("/auth/sessions").status_code == 401


def test_introspection_and_revocation_of_tokens(world: World) -> None:
    raw = token(sub="dave", jti="d-1")
    own, stranger = bearer(raw), bearer(token(sub="erin"))
    may = bearer(token(sub="ops", scope="auth:introspect auth:revoke"))
    said = world.client.post("/auth/introspect", data={"token": raw}, headers=own).json()
    assert (said["active"], said["sub"], said["jti"]) == (True, "dave", "d-1")
    assert world.client.post("/auth/introspect", data={"token": "x"}, headers=own).json() == {"active": False}
    assert world.client.post("/auth/introspect", data={"token": raw}, headers=stranger).status_code == 403
    assert world.client.post("/auth/introspect", data={"token": raw}, headers=may).json()["active"] is True
    assert world.client.post("/auth/introspect", data={"token": raw}).status_code == 401
    assert world.client.post("/auth/revoke", data={"token": raw}, headers=stranger).status_code == 403
    assert world.client.post("/auth/revoke", json={"token": raw}, headers=may).status_code == 200
    assert world.client.get("/tokens/x", headers=own).status_code == 401
    assert world.client.post("/auth/introspect", data={"token": raw}, headers=may).json() == {"active": False}
    assert world.client.post("/auth/revoke", data={"subject": "erin"}, headers=may).status_code == 200
    assert world.client.get("/tokens/x", headers=stranger).status_code == 401
    assert world.client.post("/auth/revoke", data={}, headers=may).status_code == 400


def test_signing_in_is_the_auth_services_work(world: World) -> None:
    world.idp.active["ticket"] = {"token": "ticket"}
    answer = world.client.post("/auth/login", json={"name": "a"})
    assert answer.status_code == 404  # what this authority says
    assert world.idp.asked[-1][1] == "/login"
    assert json.loads(world.idp.asked[-1][3]) == {"name": "a"}
    world.client.post("/auth/refresh", json={})
    assert world.idp.asked[-1][1] == "/refresh"


def test_the_gateways_public_keys(world: World) -> None:
    import jwt

    signed = world.client.get("/told/x", headers=bearer(token())).json()["headers"]["x-gateway-identity"]
    keys = jwt.PyJWKSet.from_dict(world.client.get("/.well-known/jwks.json").json())
    key = keys[jwt.get_unverified_header(signed)["kid"]]
    assert jwt.decode(signed, key, ["EdDSA"], audience="echo")["sub"] == "alice"
    assert "d" not in world.client.get("/.well-known/jwks.json").json()["keys"][0]


# ------------------------------------------------------------------------------------------------------ request security


def test_cors(world: World) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    good, evil = {"origin": "https://app.example.com"}, {"origin": "https://app.example.com.evil.example"}
    preflight = world.client.options("/web/x", headers={**good, **asks})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert preflight.headers["access-control-allow-credentials"] == "true"
    refused = world.client.options("/web/x", headers={**evil, **asks})
    assert not [name for name in refused.headers if name.startswith("access-control")]
    assert "evil" not in str(refused.headers)
    assert world.client.get("/web/x", headers=good).headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in world.client.get("/web/x", headers=evil).headers
    assert world.client.get("/web/x").headers.get_list("x-frame-options") == ["DENY"]
    assert world.client.get("/either/x").headers["access-control-allow-origin"] == "*"  # not ours to say there


def test_csrf(world: World) -> None:
    cookie = {"cookie": "session=1"}
    cross = {**cookie, "sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert world.client.post("/web/x", headers=cross).status_code == 403
    assert world.client.post("/web/x", headers=cookie).status_code == 403
    assert world.client.post("/web/x", headers={**cookie, "sec-fetch-site": "same-origin"}).status_code == 200
    given = world.client.get("/web/x", headers=cookie).headers["set-cookie"]
    value = given.split(";")[0].partition("=")[2]
    proof = {"cookie": f"session=1; spork-csrf={value}", "x-csrf-token": value}
    assert world.client.post("/web/x", headers=proof).status_code == 200


def test_screen_headers_addresses_https_and_schemas(world: World) -> None:
    assert world.client.get("/web/x", params={"q": "1' OR '1'='1"}).status_code == 403
    assert world.client.get("/web/x", params={"q": "O'Brien & sons"}).headers["x-content-type-options"] == "nosniff"
    assert world.client.get("/far/x").status_code == 403
    assert world.client.get("/far/x", headers={"x-forwarded-for": "10.1.2.3"}).status_code == 200
    moved = world.client.get("/secure/x?a=1")
    assert (moved.status_code, moved.headers["location"]) == (308, "https://127.0.0.1/secure/x?a=1")
    assert world.client.post("/secure/x").status_code == 403
    assert world.client.post("/formed/x", json={"name": "a"}).json()["body"] == '{"name":"a"}'
    bad = world.client.post("/formed/x", json={"name": 1})
    assert (bad.status_code, bad.json()["errors"]) == (422, ["/name: must be string"])
    assert world.client.post("/formed/x", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
