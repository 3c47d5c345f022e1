"""Who calls: keys, remembered verdicts, and the guard that sets the principal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.memory.records import MemoryRecords
from spork.application.callers.consumers import Consumers
from spork.application.callers.failures import FailedAuthentication
from spork.application.callers.keys import REMEMBER, KeyRequest, KeyRing, Keys
from spork.application.callers.methods import ApiKeyHeader, BearerToken, ClientCertificate, Method
from spork.application.callers.verdicts import LONGEST, TokenCache
from spork.application.guards.credentials import CredentialsGuard
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.consumers import ApiKey, Consumer
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.subjects import NameSpaces
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Unverifiable, Verified
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, Throttled
from spork.domain.outcomes import Denial
from tests.exchanges import bearer, exchange
from tests.tokens import NOW

PEPPER = b"pepper"


class Verdicts:
    """A verifier whose answers are given, asked for later when `slow`, counting how often it was asked."""

    def __init__(self, answers: dict[bytes, TokenOutcome], slow: bool = False) -> None:
        self.answers = answers
        self.slow = slow
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def verify(self, token: bytes, now: float) -> TokenOutcome | Awaitable[TokenOutcome]:
        self.asked += 1
        answer = self.answers.get(token, Refused("signature_mismatch"))
        return self._later(answer) if self.slow else answer

    async def _later(self, answer: TokenOutcome) -> TokenOutcome:
        await self.gate.wait()
        return answer


def principal(**more: Any) -> Principal:
    given = {"subject": "alice", "method": "jwt", "issuer": "idp", "expires_at": NOW + 300, "issued_at": NOW - 10}
    return Principal(**{**given, **more})


GOOD = Verified(principal(roles=frozenset(("b", "a")), session="s1", token_id="t1"))


async def settle(verdict: Any) -> Any:
    return await verdict if isinstance(verdict, Awaitable) else verdict


# --------------------------------------------------------------------------------------------------- remembered verdicts


def test_a_good_verdict_is_asked_for_once_a_minute() -> None:
    inner = Verdicts({b"t": GOOD})
    verdicts = TokenCache(inner, RevocationSet())
    first = verdicts.verify(b"t", NOW)
    assert verdicts.verify(b"t", NOW + LONGEST - 0.1) is first
    assert inner.asked == 1
    verdicts.verify(b"t", NOW + LONGEST)
    assert inner.asked == 2


def test_a_verdict_is_not_kept_past_the_tokens_end_nor_before_it_was_made() -> None:
    inner = Verdicts({b"t": Verified(principal(expires_at=NOW + 5))})
    verdicts = TokenCache(inner, RevocationSet())
    verdicts.verify(b"t", NOW)
    verdicts.verify(b"t", NOW + 5)
    verdicts.verify(b"t", NOW - 100)
    assert inner.asked == 3


def test_bad_verdicts_are_not_kept() -> None:
    inner = Verdicts({})
    verdicts = TokenCache(inner, RevocationSet())
    for _ in range(3):
        assert verdicts.verify(b"x", NOW) == Refused("signature_mismatch")
    assert inner.asked == 3


@pytest.mark.parametrize(
    ("revocation", "reason"),
    [
        (Revocation(RevocationKind.TOKEN, "t1"), "token_revoked"),
        (Revocation(RevocationKind.TOKEN, "t1", "idp"), "token_revoked"),
        (Revocation(RevocationKind.SESSION, "s1"), "session_revoked"),
        (Revocation(RevocationKind.SUBJECT, "alice", before=NOW), "subject_revoked"),
        (Revocation(RevocationKind.SUBJECT, "alice", before=NOW - 10), "subject_revoked"),
        (Revocation(RevocationKind.SUBJECT, "alice", before=NOW - 11), None),
        (Revocation(RevocationKind.TOKEN, "t1", "other"), None),
        (Revocation(RevocationKind.TOKEN, "s1"), None),
        (Revocation(RevocationKind.KEY, "t1"), None),
        (Revocation(RevocationKind.SUBJECT, "bob", before=NOW), None),
    ],
)
def test_what_was_revoked_is_refused(revocation: Revocation, reason: str | None) -> None:
    revoked = RevocationSet()
    verdicts = TokenCache(Verdicts({b"t": GOOD}), revoked)
    assert isinstance(verdicts.verify(b"t", NOW), Verified)
    revoked.add(revocation)
    verdicts.forget()
    found = verdicts.verify(b"t", NOW)
    assert (found.reason if isinstance(found, Refused) else None) == reason


async def test_one_question_for_many_who_ask_at_once() -> None:
    inner = Verdicts({b"t": GOOD}, slow=True)
    inner.gate.clear()
    verdicts = TokenCache(inner, RevocationSet())
    asking = [asyncio.ensure_future(settle(verdicts.verify(b"t", NOW))) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # one who leaves takes nothing from the others
    inner.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert inner.asked == 1
    assert all(isinstance(answer, Verified) for answer in answers)
    assert isinstance(verdicts.verify(b"t", NOW), Verified)


async def test_a_revocation_while_asking_is_honoured() -> None:
    inner, revoked = Verdicts({b"t": GOOD}, slow=True), RevocationSet()
    inner.gate.clear()
    verdicts = TokenCache(inner, revoked)
    asking = asyncio.ensure_future(settle(verdicts.verify(b"t", NOW)))
    await asyncio.sleep(0)
    revoked.add(Revocation(RevocationKind.TOKEN, "t1"))
    verdicts.forget()
    inner.gate.set()
    assert await asking == Refused("token_revoked")


async def test_a_verdict_asked_for_before_trust_changed_is_not_kept() -> None:
    inner = Verdicts({b"t": GOOD}, slow=True)
    inner.gate.clear()
    verdicts = TokenCache(inner, RevocationSet())
    asking = asyncio.ensure_future(settle(verdicts.verify(b"t", NOW)))
    await asyncio.sleep(0)
    verdicts.forget()
    inner.gate.set()
    assert isinstance(await asking, Verified)
    await settle(verdicts.verify(b"t", NOW))
    assert inner.asked == 2


def test_the_memory_of_verdicts_is_bounded() -> None:
    inner = Verdicts({str(n).encode(): GOOD for n in range(100)})
    verdicts = TokenCache(inner, RevocationSet(), capacity=10)
    for n in range(100):
        verdicts.verify(str(n).encode(), NOW)
        assert len(verdicts._kept) <= 10
    asked = inner.asked
    verdicts.verify(b"99", NOW)
    assert inner.asked == asked


def test_a_consumer_adds_to_what_the_token_says() -> None:
    consumer = Consumer("acme", "premium", ("alice",), roles=("partner",))
    verdicts = TokenCache(Verdicts({b"t": GOOD}), RevocationSet(), lambda p: consumer)
    found = verdicts.verify(b"t", NOW)
    assert isinstance(found, Verified)
    assert (found.principal.consumer, found.principal.plan) == ("acme", "premium")
    assert found.principal.roles == {"a", "b", "partner"}
    assert dict(found.identity)[b"x-consumer-id"] == b"acme"
    assert dict(found.identity)[b"x-user-roles"] == b"a,b,partner"


# -------------------------------------------------------------------------------------------------------------- API keys


class CountingRecords(MemoryRecords):
    def __init__(self) -> None:
        super().__init__()
        self.looked_up = 0

    async def find(self, key_id: str) -> ApiKey | None:
        self.looked_up += 1
        return await super().find(key_id)


class Ring:
    """A key ring with one issued key."""

    def __init__(self, **request: Any) -> None:
        self.records = CountingRecords()
        self.keys = Keys(self.records, PEPPER)
        self.revoked = RevocationSet()
        self.ring = KeyRing(self.records, PEPPER, self.revoked, {"acme": Consumer("acme", "basic", roles=("r",))}.get)
        self.request = KeyRequest("acme", **request)
        self.text = b""
        self.id = ""

    async def issue(self) -> Ring:
        issued = await self.keys.issue(self.request, NOW)
        self.text, self.id = str(issued.text).encode(), issued.key.id
        self.records.looked_up = 0
        return self

    async def check(self, text: bytes = b"", route: str = "users", client: str = "192.0.2.1", now: float = NOW) -> Any:
        return await settle(self.ring.check(text or self.text, route, client, now))

    async def reason(self, *args: Any, **kwargs: Any) -> str | None:
        found = await self.check(*args, **kwargs)
        return found.reason if isinstance(found, Refused) else None


async def test_a_good_key_is_looked_up_once() -> None:
    ring = await Ring(scopes=frozenset(("a",))).issue()
    found = await ring.check()
    assert found.principal.consumer == "acme"
    assert found.principal.plan == "basic"
    assert (found.principal.roles, found.principal.scopes) == ({"r"}, {"a"})
    assert isinstance(ring.ring.check(ring.text, "users", "192.0.2.1", NOW + 1), Verified)
    assert ring.records.looked_up == 1
    await ring.check(now=NOW + REMEMBER)
    assert ring.records.looked_up == 2


@pytest.mark.parametrize(
    "bad", [b"", b"x", b"spk_", b"spk_" + b"a" * 51, b"spk_aaaaaaaaaaaa_" + b"a" * 38, b"\xff" * 55]
)
async def test_what_cannot_be_a_key_costs_no_look_up(bad: bytes) -> None:
    ring = await Ring().issue()
    assert ring.ring.check(bad, "users", "", NOW) == Refused("key_malformed")
    assert ring.ring.check(ring.text[:-1] + b"!", "users", "", NOW) == Refused("key_malformed")
    assert ring.records.looked_up == 0


async def test_an_unknown_key_and_a_wrong_secret_take_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: look-ups, digests and comparisons are the same, so are the steps between them."""
    import spork.application.callers.keys as at_work
    import spork.domain.identity.consumers as consumers

    ring, other = await Ring().issue(), await Ring().issue()
    unknown = other.text
    wrong = str(consumers.mint(ring.id, b"\x07" * 24)).encode()
    work: list[str] = []
    digest, compare = consumers.secret_digest, consumers.hmac.compare_digest
    monkeypatch.setattr(at_work, "secret_digest", lambda *a: (work.append("digest"), digest(*a))[1])
    monkeypatch.setattr(consumers.hmac, "compare_digest", lambda *a: (work.append("compare"), compare(*a))[1])

    async def steps(text: bytes, now: float) -> tuple[list[str], int]:
        work.clear()
        before = ring.records.looked_up
        assert isinstance(await ring.check(text, now=now), Refused)
        return list(work), ring.records.looked_up - before

    for now in (NOW, NOW + 1, NOW + REMEMBER - 1, NOW + REMEMBER, NOW + REMEMBER + 1):
        of_unknown, of_wrong = await steps(unknown, now), await steps(wrong, now)
        assert of_unknown == of_wrong
        assert of_unknown[0] == ["digest", "compare", "compare"]


async def test_rotation_overlaps_and_then_ends() -> None:
    ring = await Ring().issue()
    rotated = await ring.keys.rotate(ring.id, NOW, overlap=30)
    ring.ring.forget(ring.id)
    new = str(rotated.text).encode()
    assert await ring.reason() is None
    assert await ring.reason(new) is None
    assert await ring.reason(now=NOW + 30) == "key_mismatch"
    assert await ring.reason(new, now=NOW + 30) is None
    third = await ring.keys.rotate(ring.id, NOW + 1, overlap=30)
    ring.ring.forget(ring.id)
    assert await ring.reason(now=NOW + 2) == "key_mismatch"  # never more than two
    assert await ring.reason(new, now=NOW + 2) is None
    assert await ring.reason(str(third.text).encode(), now=NOW + 2) is None


async def test_a_key_ends_on_time_though_it_is_remembered() -> None:
    ring = await Ring(lifetime=10).issue()
    assert await ring.reason(now=NOW + 9.9) is None
    assert await ring.reason(now=NOW + 10) == "key_expired"


async def test_a_revoked_key_is_refused_once_forgotten() -> None:
    ring = await Ring().issue()
    assert await ring.reason() is None
    await ring.keys.revoke(ring.id, NOW)
    ring.ring.forget(ring.id)
    assert await ring.reason() == "key_revoked"


async def test_a_key_revoked_elsewhere_is_refused_though_our_records_do_not_know() -> None:
    ring = await Ring().issue()
    ring.revoked.add(Revocation(RevocationKind.KEY, ring.id))
    assert await ring.reason() == "key_revoked"
    expiring = await Ring(lifetime=1000).issue()
    expiring.revoked.add(Revocation(RevocationKind.KEY, expiring.id))
    assert await expiring.reason() == "key_revoked"


async def test_a_key_is_held_to_its_routes_and_addresses() -> None:
    ring = await Ring(routes=frozenset(("users",)), cidrs=("10.0.0.0/8", "2001:db8::/32")).issue()
    assert await ring.reason(client="10.1.2.3") is None
    assert await ring.reason(client="2001:db8::1") is None
    assert await ring.reason(client="::ffff:10.1.2.3") is None
    assert await ring.reason(client="192.0.2.1") == "key_address"
    assert await ring.reason(client="not an address") == "key_address"
    assert await ring.reason(client="10.1.2.3", route="orders") == "key_route"


async def test_guessing_at_ids_does_not_push_out_keys_in_use() -> None:
    ring = await Ring().issue()
    ring.ring._capacity = 20
    await ring.check()
    for n in range(200):
        from spork.domain.identity.consumers import mint, mint_id

        await ring.check(str(mint(mint_id(n.to_bytes(9, "big")), bytes(24))).encode())
    assert len(ring.ring._missing) <= 20
    looked_up = ring.records.looked_up
    assert await ring.reason() is None
    assert ring.records.looked_up == looked_up


async def test_last_use_is_written_when_told_to() -> None:
    ring = await Ring().issue()
    await ring.check(now=NOW + 3)
    await ring.ring.note_use()
    stored = await ring.records.find(ring.id)
    assert stored is not None
    assert stored.last_used_at == NOW + 3


# ------------------------------------------------------------------------------------------------------------- the guard


class Bucket:
    """A limiter that admits so many charges."""

    def __init__(self, admits: int, slow: bool = False) -> None:
        self.left = admits
        self.slow = slow
        self.keeps_time = False
        self.charged: list[str] = []

    def acquire(self, charges: Any, now: float | None = None) -> Decision | Awaitable[Decision]:
        charge: Charge = charges[0]
        self.charged.append(charge.identity)
        self.left -= 1
        decision: Decision = Admitted(()) if self.left >= 0 else Throttled((), 7.0)

        async def later() -> Decision:
            return decision

        return later() if self.slow else decision

    def release(self, lease: object) -> None: ...


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, object]]] = []

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        self.seen.append((kind, subject, data))


def jwt_method(slow: bool = False, name: str = "jwt", **answers: TokenOutcome) -> BearerToken:
    return BearerToken(name, Verdicts({k.encode(): v for k, v in answers.items()}, slow))


def guard(*methods: Method, **more: Any) -> CredentialsGuard:
    policy = more.pop("policy", AuthPolicy(any_of=tuple(method.name for method in methods)))
    return CredentialsGuard(policy, methods, **more)


@pytest.mark.parametrize("slow", [False, True])
async def test_a_good_token_makes_a_principal_and_its_headers(slow: bool) -> None:
    from spork.domain.identity.tokens import identity_headers

    one = exchange(headers=bearer(b"good"))
    verdict = Verified(GOOD.principal, identity_headers(GOOD.principal))
    answer = guard(jwt_method(slow, good=verdict)).admit(one)
    assert isinstance(answer, Awaitable) is slow
    assert await settle(answer) is None
    assert one.principal is GOOD.principal
    assert dict(one.request_headers)[b"x-user-id"] == b"alice"


@pytest.mark.parametrize(
    ("headers", "reason", "challenge"),
    [
        ({}, "unauthenticated", b'Bearer realm="spork"'),
        ({"Authorization": "Basic YTpi"}, "unauthenticated", b'Bearer realm="spork"'),
        (bearer(b"bad"), "invalid_credentials", b'Bearer realm="spork", error="invalid_token"'),
        ({"Authorization": "Bearer "}, "invalid_credentials", b'Bearer realm="spork", error="invalid_token"'),
        ({"Authorization": "bearer bad"}, "invalid_credentials", b'Bearer realm="spork", error="invalid_token"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("slow", [False, True])
async def test_challenges_say_what_rfc_6750_says(
    headers: dict[str, str], reason: str, challenge: bytes, slow: bool
) -> None:
    one = exchange(headers=headers)
    denial = await settle(guard(jwt_method(slow)).admit(one))
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.headers) == (reason, ((b"www-authenticate", challenge),))
    assert one.principal is None


async def test_two_authorization_headers_are_ambiguous() -> None:
    twice = [(b"authorization", b"Bearer good"), (b"authorization", b"Bearer good")]
    one = exchange(headers=twice)
    denial = await settle(guard(jwt_method(good=GOOD)).admit(one))
    assert denial.reason == "invalid_credentials"
    assert one.credential_problem == "ambiguous"


async def test_a_bad_credential_is_not_made_good_by_another() -> None:
    ring = await Ring().issue()
    both = guard(jwt_method(good=GOOD), ApiKeyHeader(ring.ring, "users"))
    mixed = {**bearer(b"bad"), "X-API-Key": ring.text.decode()}
    denial = await settle(both.admit(exchange(headers=mixed)))
    assert denial.reason == "invalid_credentials"
    alone = exchange(headers={"X-API-Key": ring.text.decode()})
    assert await settle(both.admit(alone)) is None
    assert alone.principal is not None
    assert alone.principal.key_id == ring.id


@pytest.mark.parametrize("slow", [False, True])
async def test_a_token_that_is_not_mine_goes_to_the_next_method(slow: bool) -> None:
    first = jwt_method(slow, opaque=Refused("not_a_jwt"), foreign=Refused("issuer_unknown"))
    second = jwt_method(slow, "introspection", opaque=GOOD)
    one = exchange(headers=bearer(b"opaque"))
    assert await settle(guard(first, second).admit(one)) is None
    assert one.principal is GOOD.principal
    assert (
        await settle(guard(first, second).admit(exchange(headers=bearer(b"foreign"))))
    ).reason == "invalid_credentials"
    assert (await settle(guard(first).admit(exchange(headers=bearer(b"opaque"))))).reason == "invalid_credentials"


@pytest.mark.parametrize("slow", [False, True])
async def test_an_authority_out_of_reach_is_not_the_callers_fault(slow: bool) -> None:
    method = jwt_method(slow, t=Unverifiable("keys_unavailable", 3.0))
    denial = await settle(guard(method).admit(exchange(headers=bearer(b"t"))))
    assert (denial.reason, denial.retry_after, denial.headers) == ("authentication_unavailable", 3.0, ())


async def test_anonymous_means_no_credential_not_a_bad_one() -> None:
    policy = AuthPolicy(any_of=("jwt", "anonymous"))
    one = exchange()
    assert await settle(guard(jwt_method(), policy=policy).admit(one)) is None
    assert one.principal is None
    denial = await settle(guard(jwt_method(), policy=policy).admit(exchange(headers=bearer(b"bad"))))
    assert denial.reason == "invalid_credentials"


async def test_every_credential_of_all_of_is_judged_by_its_issuer() -> None:
    policy = AuthPolicy(all_of=("jwt", "introspection"), issuers=("idp",))
    first = jwt_method(good=GOOD)
    second = jwt_method(False, "introspection", good=Verified(principal(issuer="partners", method="introspection")))
    one = exchange(headers=bearer(b"good"))
    assert (await settle(guard(first, second, policy=policy).admit(one))).reason == "invalid_credentials"
    assert one.credential_problem == "issuer_not_accepted"
    assert await settle(guard(first, first, policy=policy).admit(exchange(headers=bearer(b"good")))) is None


async def test_issuers_do_not_shut_the_auth_service_that_the_route_takes() -> None:
    policy = AuthPolicy(any_of=("jwt", "auth_service"), issuers=("idp",))
    judged = Verified(principal(issuer="auth_service", method="auth_service"))
    subject = guard(
        jwt_method(good=Refused("not_a_jwt")), jwt_method(False, "auth_service", good=judged), policy=policy
    )
    assert await settle(subject.admit(exchange(headers=bearer(b"good")))) is None


async def test_a_signed_identity_is_made_for_the_upstream_it_goes_to() -> None:
    def sign(verdict: Verified, upstream: str, now: float) -> bytes:
        return f"{verdict.principal.subject} for {upstream}".encode()

    one = exchange(headers=bearer(b"good"))
    signing = CredentialsGuard(AuthPolicy(signed_identity=True), (jwt_method(good=GOOD),), sign=sign)
    assert await settle(signing.admit(one)) is None
    assert one.identity_for is not None
    assert [one.identity_for(name) for name in ("users", "shadow")] == [b"alice for users", b"alice for shadow"]
    assert b"x-gateway-identity" not in dict(one.request_headers)


async def test_a_route_takes_tokens_of_its_own_issuers_only() -> None:
    other = Verified(principal(issuer="partners"))
    policy = AuthPolicy(issuers=("idp",))
    subject = guard(jwt_method(good=GOOD, other=other), policy=policy)
    assert await settle(subject.admit(exchange(headers=bearer(b"good")))) is None
    one = exchange(headers=bearer(b"other"))
    assert (await settle(subject.admit(one))).reason == "invalid_credentials"
    assert one.principal is None


async def test_all_of_takes_every_one_and_joins_what_they_know() -> None:
    ring = await Ring().issue()
    policy = AuthPolicy(any_of=(), all_of=("jwt", "api_key"))
    both = guard(jwt_method(True, good=GOOD), ApiKeyHeader(ring.ring, "users"), policy=policy)
    key = {"X-API-Key": ring.text.decode()}
    one = exchange(headers={**bearer(b"good"), **key})
    assert await settle(both.admit(one)) is None
    assert one.principal is not None
    assert (one.principal.subject, one.principal.consumer, one.principal.key_id) == ("alice", "acme", ring.id)
    assert dict(one.request_headers)[b"x-consumer-id"] == b"acme"
    assert (await settle(both.admit(exchange(headers=bearer(b"good"))))).reason == "unauthenticated"
    assert (await settle(both.admit(exchange(headers=key)))).reason == "unauthenticated"
    assert (await settle(both.admit(exchange(headers={**bearer(b"bad"), **key})))).reason == "invalid_credentials"


async def test_consumed_credentials_are_named_unless_the_route_forwards_them() -> None:
    ring = await Ring().issue()
    methods = (jwt_method(), ApiKeyHeader(ring.ring, "users", b"x-key"))
    assert guard(*methods).consumes == {b"authorization", b"x-key"}
    assert guard(*methods, policy=AuthPolicy(forward_credentials=True)).consumes == frozenset()


@pytest.mark.parametrize("slow", [False, True])
async def test_failures_have_a_bucket_per_address(slow: bool) -> None:
    bucket = Bucket(2, slow)
    subject = guard(jwt_method(good=GOOD), failures=FailedAuthentication(bucket, Limit("f", 2, 60)))
    reasons = [(await settle(subject.admit(exchange(headers=bearer(b"bad"))))).reason for _ in range(3)]
    assert reasons == ["invalid_credentials", "invalid_credentials", "too_many_failures"]
    assert bucket.charged == ["192.0.2.1"] * 3
    # A good credential that costs nothing to check still passes, and nothing is charged for it.
    assert await settle(subject.admit(exchange(headers=bearer(b"good")))) is None
    assert await settle(subject.admit(exchange())) is not None
    assert len(bucket.charged) == 3


async def test_costly_methods_rest_for_an_address_that_failed_too_often() -> None:
    verdicts = Verdicts({b"good": GOOD})
    method = BearerToken("introspection", verdicts, costly=True)
    subject = guard(method, failures=FailedAuthentication(Bucket(0)))
    await settle(subject.admit(exchange(headers=bearer(b"bad"))))
    denial = await settle(subject.admit(exchange(headers=bearer(b"good"), now=1006.0)))
    assert (denial.reason, denial.retry_after) == ("too_many_failures", 1.0)
    assert verdicts.asked == 1
    assert await settle(subject.admit(exchange(headers=bearer(b"good"), client="192.0.2.2"))) is None
    assert await settle(subject.admit(exchange(headers=bearer(b"good"), now=1007.0))) is None


async def test_ipv6_neighbours_share_a_bucket() -> None:
    bucket = Bucket(9)
    subject = guard(jwt_method(), failures=FailedAuthentication(bucket))
    for client in ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::9"):
        await settle(subject.admit(exchange(headers=bearer(b"bad"), client=client)))
    assert bucket.charged == ["2001:db8:1:2::/64"] * 2


async def test_operators_hear_why_and_callers_do_not() -> None:
    events = Events()
    one = exchange(headers=bearer(b"bad"))
    denial = await settle(guard(jwt_method(), events=events).admit(one))
    assert events.seen == [("auth.failed", "192.0.2.1", {"outcome": "refused", "detail": "jwt: signature_mismatch"})]
    assert "signature" not in denial.detail


# ------------------------------------------------------------------------------------------------------ certificates


CERTIFICATE: dict[str, object] = {
    "subject": "O=Acme,CN=orders",
    "common_name": "orders",
    "sans": ["URI:spiffe://acme/orders", "DNS:orders.acme.example"],
}


@pytest.mark.parametrize("name", ["spiffe://acme/orders", "orders.acme.example", "O=Acme,CN=orders", "orders"])
def test_a_client_certificate_names_a_consumer(name: str) -> None:
    consumer = Consumer("acme", "premium", (name,), roles=("service",))
    method = ClientCertificate(Consumers((consumer,), spaces=NameSpaces((), certificates=True)).of_certificate)
    found = method.authenticate(exchange(certificate=CERTIFICATE))
    assert isinstance(found, Verified)
    assert (found.principal.subject, found.principal.consumer, found.principal.method) == (name, "acme", "mtls")


def test_a_certificate_of_nobody_is_refused_and_none_is_not_presented() -> None:
    consumers = Consumers((Consumer("acme", subjects=("other",)),), spaces=NameSpaces((), certificates=True))
    method = ClientCertificate(consumers.of_certificate)
    assert method.authenticate(exchange(certificate=CERTIFICATE)) == Refused("certificate_unknown")
    assert not isinstance(method.authenticate(exchange()), Verified | Refused)


def test_only_a_trusted_proxy_may_name_a_certificate() -> None:
    acme = Consumer("acme", subjects=("spiffe://acme/orders",))
    consumers = Consumers((acme,), spaces=NameSpaces((), certificates=True)).of_certificate
    method = ClientCertificate(consumers, b"x-forwarded-client-cert", AddressSet(("10.0.0.0/8",)))
    header = {"X-Forwarded-Client-Cert": 'By=spiffe://us;Hash=ab;Subject="CN=orders";URI=spiffe://acme/orders'}
    assert isinstance(method.authenticate(exchange(headers=header, client="10.0.0.1")), Verified)
    assert not isinstance(method.authenticate(exchange(headers=header, client="192.0.2.1")), Verified)
