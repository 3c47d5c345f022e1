"""Who calls is said by a client certificate: real certificates over a real TLS listener, to the headers a target gets."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import tokens
from tests.authorities import authority
from tests.contract.upstream_transport.certificates import Authority, Pair
from tests.servers import GatewayProcess, gateway_process

CONFIG = """
access_log: stdout
tls: {{cert: "{cert}", key: "{key}", client_ca: "{ca}", require_client: {required}}}
trusted_proxies: [127.0.0.2/32]
mtls_header: X-Forwarded-Client-Cert
plans: {{premium: {{}}}}
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [RS256], keys: ['{jwk}']}}
consumers:
  billing: {{plan: premium, roles: [writer], subjects: [billing.internal]}}
  reports: {{roles: [reader], subjects: [reports.internal]}}
upstreams:
  echo: {{targets: ["{target}"]}}
routes:
  - {{name: write, match: /write/*, upstream: echo, auth: {{any_of: [mtls], roles: [writer]}}}}
  - {{name: bound, match: /bound/*, upstream: echo, auth: {{bound: mtls}}}}
  - {{name: open, match: /open/*, upstream: echo}}
"""
CLAIMS = {"x-user-id": "root", "x-consumer-id": "root", "x-user-method": "mtls"}


@dataclass
class World:
    gateway: GatewayProcess
    ours: Authority
    #: Header names and values of each request that reached the target.
    seen: list[dict[str, str]]

    def get(self, path: str, pair: Pair | None, peer: str = "127.0.0.1", **headers: str) -> httpx.Response:
        """One request on a connection of its own, that shows `pair` and comes from the address `peer`."""
        context = ssl.create_default_context(cafile=self.ours.ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        transport = httpx.HTTPTransport(verify=context, local_address=peer)
        with httpx.Client(transport=transport, base_url=self.gateway.url.replace("http:", "https:")) as client:
            return client.get(path, headers={**CLAIMS, **headers})


@pytest.fixture(scope="module", params=[False, True], ids=["asked", "required"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp = tmp_path_factory.mktemp("mtls")
    ours = Authority(tmp)
    pair = ours.issue("127.0.0.1", "localhost")
    seen: list[dict[str, str]] = []
    with authority() as target:

        def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
            seen.append(headers)
            return 200, {"content-type": "application/json"}, json.dumps(headers).encode()

        target.instead = answer
        config = CONFIG.format(
            cert=pair.cert,
            key=pair.key,
            ca=ours.ca,
            required=str(request.param).lower(),
            target=target.url,
            jwk=json.dumps(tokens.public_jwk("rsa", "k1")),
        )
        with gateway_process(config, tmp / "gateway") as gateway:
            yield World(gateway, ours, seen)


def test_a_certificates_name_is_the_consumer_that_the_target_hears_of(world: World) -> None:
    answer = world.get("/write/x", world.ours.issue("billing.internal"))
    assert answer.status_code == 200, answer.text
    told = {name: value for name, value in answer.json().items() if name.startswith(("x-user", "x-consumer"))}
    assert told == {
        "x-user-id": "billing.internal",
        "x-user-method": "mtls",
        "x-user-roles": "writer",
        "x-consumer-id": "billing",
        "x-consumer-plan": "premium",
    }


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [("stranger.internal", 401, "invalid_credentials"), ("reports.internal", 403, "forbidden")],
)
def test_who_is_nobodys_or_may_not_is_refused(world: World, name: str, status: int, reason: str) -> None:
    before = len(world.seen)
    answer = world.get("/write/x", world.ours.issue(name))
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, reason)
    assert name not in answer.text
    assert len(world.seen) == before


def test_a_certificate_of_another_authority_or_out_of_date_is_no_connection(world: World, tmp_path: Path) -> None:
    theirs = Authority(tmp_path, "their authority")
    before = len(world.seen)
    for pair in (theirs.issue("billing.internal"), world.ours.issue("billing.internal", days=-1)):
        for path in ("/write/x", "/open/x"):
            with pytest.raises(httpx.TransportError):
                world.get(path, pair)
    assert len(world.seen) == before


def test_without_a_certificate_nobody_is_anybody(world: World) -> None:
    """Whatever the client says of itself, the header of a trusted proxy included."""
    before = len(world.seen)
    forged = {"X-Forwarded-Client-Cert": 'Subject="CN=billing";DNS=billing.internal'}
    if "require_client: true" in (world.gateway.directory / "spork.yaml").read_text():
        with pytest.raises(httpx.TransportError):
            world.get("/write/x", None, **forged)
        assert len(world.seen) == before
        return
    assert world.get("/write/x", None, **forged).status_code == 401
    assert len(world.seen) == before
    assert not [name for name in world.get("/open/x", None).json() if name.startswith(("x-user", "x-consumer"))]
    trusted = world.get("/write/x", None, peer="127.0.0.2", **forged)
    assert (trusted.status_code, trusted.json()["x-consumer-id"]) == (200, "billing")
    assert "x-forwarded-client-cert" not in trusted.json()


def test_a_token_bound_to_a_certificate_is_shown_with_it(world: World) -> None:
    """RFC 8705 3, over a real handshake and behind a trusted proxy."""
    own, other = world.ours.issue("billing.internal"), world.ours.issue("reports.internal")
    der = ssl.PEM_cert_to_DER_cert(
        Path(own.cert).read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )
    digest = hashlib.sha256(der)
    now = time.time()

    def shown(**claims: object) -> dict[str, str]:
        text = tokens.token(exp=now + 300, iat=now, **claims).decode()
        return {"Authorization": f"Bearer {text}"}

    bound = shown(cnf={"x5t#S256": base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()})
    assert world.get("/bound/x", own, **bound).status_code == 200
    assert world.get("/bound/x", other, **bound).status_code == 401
    assert world.get("/bound/x", own, **shown()).status_code == 401
    if "require_client: true" not in (world.gateway.directory / "spork.yaml").read_text():
        told = {"X-Forwarded-Client-Cert": f"Hash={digest.hexdigest()}"}
        assert world.get("/bound/x", None, **bound).status_code == 401
        assert world.get("/bound/x", None, **bound, **told).status_code == 401
        assert world.get("/bound/x", None, peer="127.0.0.2", **bound, **told).status_code == 200


def test_a_certificate_is_shown_once_for_all_requests_of_a_connection(world: World) -> None:
    pair = world.ours.issue("billing.internal")
    context = ssl.create_default_context(cafile=world.ours.ca)
    context.load_cert_chain(pair.cert, pair.key)
    with httpx.Client(verify=context, base_url=world.gateway.url.replace("http:", "https:"), trust_env=False) as client:
        assert [client.get("/write/x").status_code for _ in range(5)] == [200] * 5
