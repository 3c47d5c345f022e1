"""Active probes: one request, or one connection, on a connection of its own; redirects are answers like any other."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import httpx

from spork.adapters.httpx import faults
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.tls import client_context
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.health import ProbePolicy
from spork.domain.upstreams.model import Target, TlsToTarget


class HttpxProber:
    """`application.probe.Prober`. Reads no body, keeps no connection."""

    def __init__(self) -> None:
        self._contexts: dict[TlsToTarget, ssl.SSLContext] = {}

    async def ask(self, target: Target, policy: ProbePolicy) -> int:
        try:
            async with asyncio.timeout(policy.timeout):
                if policy.kind == "tcp":
                    return await self._connect(target)
                return await self._request(target, policy)
        except TimeoutError:
            raise FaultError(Fault(FaultKind.HTTP_RESPONSE_TIMEOUT, Side.UPSTREAM)) from None

    async def close(self) -> None:
        """Nothing stays open."""

    async def _connect(self, target: Target) -> int:
        try:
            if target.unix_path is not None:
                _, writer = await asyncio.open_unix_connection(target.unix_path)
            else:
                _, writer = await asyncio.open_connection(target.host, target.port)
        except ConnectionRefusedError:
            raise FaultError(Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM, retry_safe=True)) from None
        except OSError as error:
            raise FaultError(Fault(FaultKind.DESTINATION_UNAVAILABLE, Side.UPSTREAM, note=str(error))) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return 0

    async def _request(self, target: Target, policy: ProbePolicy) -> int:
        host = f"[{target.host}]" if ":" in target.host else target.host
        named = policy.host.encode("ascii") if policy.host else target.authority
        request = httpx.Request(
            "GET",
            httpx.URL(f"{target.scheme}://{host}:{target.port}/"),
            headers=[(b"host", named), (b"user-agent", b"spork-probe"), (b"connection", b"close")],
            extensions={"target": policy.path.encode("ascii"), **self._server_name(target)},
        )
        async with httpx.AsyncHTTPTransport(
            verify=self._context(target), trust_env=False, uds=target.unix_path
        ) as probe:
            try:
                response = await probe.handle_async_request(request)
            except httpx.HTTPError as error:
                raise faults.of_head(error, written=False, fresh=True) from error
            await response.aclose()
            return response.status_code

    @staticmethod
    def _server_name(target: Target) -> dict[str, str]:
        name = target.tls.server_name if target.tls is not None else None
        return {"sni_hostname": name} if name else {}

    def _context(self, target: Target) -> ssl.SSLContext:
        """One context per TLS policy: making one reads the trust store, which takes tens of milliseconds."""
        tls = target.tls or TlsToTarget()
        context = self._contexts.get(tls)
        if context is None:
            context = client_context(tls)
            self._contexts[tls] = context
        return context
