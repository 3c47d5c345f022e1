"""CPU microseconds that credentials cost one request: a JWT whose verdict is remembered, an API key that is known.

Prints one line per case: `case  microseconds`. The bar is 5 microseconds each. Run: python bench/auth.py
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind PYTHONPATH, where the compiled sources may be

from tests.exchanges import exchange
from tests.tokens import NOW, private_key, token
from tests.unit.adapters.jwt.test_hostile import NoNetwork, issuer_of, public_jwk

from spork.adapters.jwt.verifier import JwtVerifier, trust
from spork.adapters.memory.records import MemoryRecords
from spork.application.callers.keys import KeyRequest, KeyRing, Keys
from spork.application.callers.methods import ApiKeyHeader, BearerToken
from spork.application.callers.verdicts import TokenCache
from spork.application.guards.authorization import AuthorizationGuard
from spork.application.guards.credentials import CredentialsGuard
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet

ORDINARY = [
    (b"host", b"api.example.com"), (b"user-agent", b"bench/1"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip"),
]  # fmt: skip
ROUNDS = 20_000


def microseconds(admit: Callable[[Any], Any], one: Any) -> float:
    """CPU per call, the best of five runs: the machine's noise only ever adds."""
    best = float("inf")
    for _ in range(5):
        before = time.process_time()
        for _ in range(ROUNDS):
            admit(one)
            one.request_headers.clear()
        best = min(best, time.process_time() - before)
    return best / ROUNDS * 1e6


async def main() -> None:
    private_key("rsa")
    revoked = RevocationSet()
    revoked.add(Revocation(RevocationKind.TOKEN, "another"))
    verdicts = TokenCache(JwtVerifier([trust(issuer_of(public_jwk("rsa", "k1")), NoNetwork())]), revoked)
    records = MemoryRecords()
    text = (await Keys(records, b"pepper").issue(KeyRequest("acme"), NOW)).text
    ring = KeyRing(records, b"pepper", revoked)
    jwt = BearerToken("jwt", verdicts)
    key = ApiKeyHeader(ring, "users")
    with_jwt = exchange(headers=[*ORDINARY, (b"authorization", b"Bearer " + token())])
    with_key = exchange(headers=[*ORDINARY, (b"x-api-key", str(text).encode())])
    admitted = CredentialsGuard(AuthPolicy(any_of=("api_key",)), [key]).admit(with_key)
    assert admitted is not None
    await admitted  # type: ignore[misc]
    policy = AuthPolicy(roles=frozenset(("reader",)), scopes=frozenset(("users:read",)))
    cases: list[tuple[str, Any, Any]] = [
        ("jwt, verdict remembered", CredentialsGuard(AuthPolicy(), [jwt]), with_jwt),
        ("api key, known", CredentialsGuard(AuthPolicy(any_of=("api_key",)), [key]), with_key),
        ("jwt or api key, key given", CredentialsGuard(AuthPolicy(any_of=("jwt", "api_key")), [jwt, key]), with_key),
        ("roles and scopes", AuthorizationGuard(policy), with_jwt),
    ]
    for name, guard, one in cases:
        assert guard.admit(one) is None
        print(f"{name:32s} {microseconds(guard.admit, one):6.2f}")


asyncio.run(main())
