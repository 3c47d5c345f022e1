"""A TokenVerifier over tokens that are simply known: for an embedded gateway and for tests."""

from __future__ import annotations

from spork.domain.identity.tokens import Principal, Refused, Verified, refuse_times


class KnownTokens:
    """Takes exactly the tokens it was told of, while they are valid."""

    def __init__(self, tokens: dict[bytes, Principal] | None = None) -> None:
        self._tokens = dict(tokens or {})

    def __repr__(self) -> str:
        return f"KnownTokens({len(self._tokens)})"

    def know(self, token: bytes, principal: Principal) -> None:
        self._tokens[token] = principal

    def forget(self, token: bytes) -> None:
        self._tokens.pop(token, None)

    def verify(self, token: bytes, now: float) -> Verified | Refused:
        principal = self._tokens.get(token)
        if principal is None:
            return Refused("unknown")
        times = {"exp": principal.expires_at} if principal.expires_at else {}
        reason = refuse_times(times, 0.0, now, must_expire=False)
        return Refused(reason) if reason else Verified(principal)
