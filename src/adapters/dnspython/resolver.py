"""Names to addresses: A and AAAA by the system's resolver (hosts file included), SRV by dnspython."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from application.discovery import ServiceRecord


class DnsResolver:
    """`application.registration.Resolver` and `application.discovery.ServiceResolver`.

    `nameservers` and `port` override the system's for SRV; `timeout` in seconds bounds each lookup.
    """

    def __init__(self, nameservers: Sequence[str] = (), port: int = 53, timeout: float = 2.0) -> None:
        self._timeout = timeout
        self._nameservers = list(nameservers)
        self._port = port

    async def addresses(self, name: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise OSError(f"{name} does not resolve: {error}") from error
        return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))

    async def services(self, name: str) -> Sequence[ServiceRecord]:
        import dns.asyncresolver  # start-up need not wait for what few use
        import dns.exception

        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
            resolver.port = self._port
        try:
            answer = await resolver.resolve(name, "SRV", lifetime=self._timeout)
        except dns.exception.DNSException as error:
            raise OSError(f"{name} does not resolve: {error}") from error
        return [ServiceRecord(str(r.target).rstrip("."), int(r.port), int(r.priority), int(r.weight)) for r in answer]
