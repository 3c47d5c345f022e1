"""Transport and browser security of a route: https enforced, HSTS and the usual security headers on answers."""

from __future__ import annotations

from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import Exchange, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, ordinary
from spork.application.views import GuardVerdict
from spork.domain.http.head import Header
from spork.domain.identity.authorization import RequestSecurity
from spork.domain.outcomes import Denial, LocalResponse

HTTPS_REQUIRED: Final = Denial("https_required", "This address is only served over https.")

#: What answers carry with `headers: true`, in place of what the target says under these names.
SECURITY_HEADERS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class SecurityGuard:
    """Stands first: nothing is said to a caller over plain http that should have been encrypted."""

    phase = "security"

    def __init__(self, policy: RequestSecurity) -> None:
        self._https = policy.https
        self._plain = SECURITY_HEADERS if policy.headers else ()
        hsts = ((b"strict-transport-security", policy.hsts.encode("ascii")),) if policy.hsts else ()
        self._secure = (*self._plain, *hsts)
        self.response_fields = frozenset(name for name, _ in self._secure)

    def admit(self, exchange: Exchange) -> Verdict:
        head = exchange.head
        if head.scheme == "https":
            exchange.response_headers.extend(self._secure)
            return None
        exchange.response_headers.extend(self._plain)
        if self._https == "off":
            return None
        if self._https == "redirect" and head.method in ("GET", "HEAD") and not head.upgrade:
            return LocalResponse(
                "redirect",
                ((b"location", b"https://" + _without_port(exchange.asked_host or head.host) + head.target),),
                status=308,
            )
        # Redirecting a write would invite the client to send its body, and its credentials, in clear once more.
        return HTTPS_REQUIRED

    def explain(self, exchange: Exchange) -> GuardVerdict:
        return explained(self.phase, self.admit(exchange), f"scheme {exchange.head.scheme}")


@ordinary
class SecurityPolicy(Policy):
    """`security: {https, hsts, headers}` of routes."""

    phase = "security"

    def compile(self, route: RouteConfig, configuration: Configuration) -> SecurityGuard | None:
        policy = route.security
        if policy is None or (policy.https == "off" and not policy.hsts and not policy.headers):
            return None
        return SecurityGuard(policy)


def _without_port(host: bytes) -> bytes:
    """The host alone: the port of the plain listener is not that of the encrypted one."""
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host
