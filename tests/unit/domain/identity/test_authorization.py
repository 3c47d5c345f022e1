"""What a principal may do: every demand a route can make, met and not met."""

from __future__ import annotations

from typing import Any

import pytest

from spork.domain.identity.authorization import AuthorizationInput, AuthPolicy, authorize, demands_anything
from spork.domain.identity.tokens import Principal

NOW = 1_800_000_000.0


def principal(**more: Any) -> Principal:
    given: dict[str, Any] = {"subject": "alice", "method": "jwt"}
    for name in ("roles", "scopes", "amr"):
        if name in more:
            more[name] = frozenset(more[name])
    return Principal(**{**given, **more})


def asked(method: str = "GET", headers: dict[bytes, bytes] | None = None, **params: str) -> AuthorizationInput:
    return AuthorizationInput(method, NOW, params, (headers or {}).get)


@pytest.mark.parametrize(
    ("policy", "caller", "request_", "reason"),
    [
        (AuthPolicy(), principal(), asked(), None),
        (AuthPolicy(scopes=frozenset("ab")), principal(scopes="abc"), asked(), None),
        (AuthPolicy(scopes=frozenset("ab")), principal(scopes="a"), asked(), "insufficient_scope"),
        (AuthPolicy(roles=frozenset("ab")), principal(roles="b"), asked(), None),
        (AuthPolicy(roles=frozenset("ab")), principal(roles="c"), asked(), "forbidden"),
        (AuthPolicy(roles=frozenset("ab")), principal(scopes="ab"), asked(), "forbidden"),
        (AuthPolicy(claims=(("a.b", "x"),)), principal(claims={"a": {"b": "x"}}), asked(), None),
        (AuthPolicy(claims=(("a", "x"),)), principal(claims={"a": ["x", "y"]}), asked(), None),
        (AuthPolicy(claims=(("a", "true"),)), principal(claims={"a": True}), asked(), None),
        (AuthPolicy(claims=(("a", "1"),)), principal(claims={"a": True}), asked(), "forbidden"),
        (AuthPolicy(claims=(("a", "7"),)), principal(claims={"a": 7}), asked(), None),
        (AuthPolicy(claims=(("a", "x"),)), principal(), asked(), "forbidden"),
        (AuthPolicy(claims=(("a", "x"),)), principal(claims={"a": "xx"}), asked(), "forbidden"),
        (AuthPolicy(permissions=(("DELETE", frozenset("pq")),)), principal(scopes="p", claims={"permissions": ["q"]}), asked("DELETE"), None),
        (AuthPolicy(permissions=(("DELETE", frozenset("pq")),)), principal(scopes="p"), asked("DELETE"), "forbidden"),
        (AuthPolicy(permissions=(("DELETE", frozenset("p")),)), principal(), asked("GET"), None),
        (AuthPolicy(permissions=(("GET", frozenset("p")),)), principal(), asked("HEAD"), "forbidden"),
        (AuthPolicy(permissions=(("GET", frozenset()), ("*", frozenset("p")))), principal(), asked("PATCH"), "forbidden"),
        (AuthPolicy(permissions=(("GET", frozenset()), ("*", frozenset("p")))), principal(), asked("GET"), None),
        (AuthPolicy(tenant="org"), principal(tenant="acme"), asked(org="acme"), None),
        (AuthPolicy(tenant="org"), principal(tenant="acme"), asked(org="globex"), "tenant_mismatch"),
        (AuthPolicy(tenant="org"), principal(), asked(org=""), "tenant_mismatch"),
        (AuthPolicy(tenant="X-Tenant"), principal(tenant="acme"), asked(headers={b"x-tenant": b"acme"}), None),
        (AuthPolicy(tenant="X-Tenant"), principal(tenant="acme"), asked(), "tenant_mismatch"),
        (AuthPolicy(tenant="org"), principal(tenant="zoë"), asked(org="zo%C3%AB"), None),
        (AuthPolicy(tenant="org"), principal(tenant="zo%C3%AB"), asked(org="zo%C3%AB"), "tenant_mismatch"),
        (AuthPolicy(tenant="org"), principal(tenant="50%"), asked(org="50%25"), None),
        (AuthPolicy(tenant="X-Tenant"), principal(tenant="zoë"), asked(headers={b"x-tenant": "zoë".encode()}), None),
        (AuthPolicy(mfa=True), principal(amr=["mfa"]), asked(), None),
        (AuthPolicy(mfa=True), principal(amr=["pwd", "otp"]), asked(), None),
        (AuthPolicy(mfa=True), principal(amr=["pwd", "pin"]), asked(), "step_up_required"),
        (AuthPolicy(mfa=True), principal(amr=["otp"]), asked(), "step_up_required"),
        (AuthPolicy(mfa=True), principal(method="api_key"), asked(), "step_up_required"),
        (AuthPolicy(acr=("gold",)), principal(acr="gold"), asked(), None),
        (AuthPolicy(acr=("gold",)), principal(acr="silver"), asked(), "step_up_required"),
        (AuthPolicy(max_age=60.0), principal(signed_in_at=NOW - 60), asked(), None),
        (AuthPolicy(max_age=60.0), principal(signed_in_at=NOW - 61), asked(), "step_up_required"),
        (AuthPolicy(max_age=60.0), principal(claims={"auth_time": NOW}), asked(), "step_up_required"),
        (AuthPolicy(tenant="X-Tenant"), principal(tenant="acme"), asked(headers={b"x-tenant": b""}), "tenant_mismatch"),
        (AuthPolicy(max_age=60.0), principal(issued_at=NOW), asked(), "step_up_required"),
    ],
)  # fmt: skip
def test_decisions(policy: AuthPolicy, caller: Principal, request_: AuthorizationInput, reason: str | None) -> None:
    denial = authorize(caller, policy, request_)
    assert (denial.reason if denial is not None else None) == reason
    if denial is not None:
        assert demands_anything(policy)


def test_step_up_says_what_would_do() -> None:
    """RFC 9470 3: error, acr_values and max_age in the challenge."""
    denial = authorize(principal(), AuthPolicy(acr=("gold", "platinum"), max_age=300.0), asked())
    assert denial is not None
    ((_, challenge),) = denial.headers
    assert b'error="insufficient_user_authentication"' in challenge
    assert b'acr_values="gold platinum"' in challenge
    assert b'max_age="300"' in challenge


def test_refusals_name_no_rule() -> None:
    policy = AuthPolicy(roles=frozenset(("secret-role",)))
    denial = authorize(principal(), policy, asked())
    assert denial is not None
    assert "secret-role" not in repr(denial)


def test_nothing_demanded_needs_no_guard() -> None:
    assert not demands_anything(AuthPolicy(any_of=("jwt",), issuers=("idp",), forward_credentials=True))
