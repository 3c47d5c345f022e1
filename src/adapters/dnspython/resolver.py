"""Names to addresses: A and AAAA by the system's resolver (hosts file included), SRV by DNS; all by DNS when name
servers are given."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spork.application.upstreams.discovery import ServiceRecord

if TYPE_CHECKING:
    import dns.asyncresolver


class DnsResolver:
    """`application.registration.Resolver` and `application.discovery.ServiceResolver`.

    `name_servers` are (address, port), asked instead of the system's; `timeout` in seconds bounds each lookup.
    """

    def __init__(self, name_servers: Sequence[tuple[str, int]] = (), timeout: float = 2.0) -> None:
        self._timeout = timeout
        self._name_servers = tuple(name_servers)

    async def addresses(self, name: str) -> Sequence[str]:
        if self._name_servers and not _is_address(name):
            return await self._asked_addresses(name)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise OSError(f"{name} does not resolve: {error}") from error
        return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))

    async def services(self, name: str) -> Sequence[ServiceRecord]:
        answer = await self._ask(name, "SRV")
        return [ServiceRecord(str(r.target).rstrip("."), int(r.port), int(r.priority), int(r.weight)) for r in answer]

    async def _asked_addresses(self, name: str) -> list[str]:
        """Both kinds at once; one of them is enough."""
        answers = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"), return_exceptions=True)
        found: list[str] = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                found += [str(record.address) for record in answer]
            elif not isinstance(answer, OSError):
                raise answer
        if not found:
            raise OSError(f"{name} does not resolve: {answers[0]}")
        return found

    async def _ask(self, name: str, kind: str) -> Any:
        import dns.exception

        try:
            return await self._resolver().resolve(name, kind, lifetime=self._timeout)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise OSError(f"{name} does not resolve: {error}") from error

    def _resolver(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver  # start-up need not wait for what few use
        import dns.nameserver

        resolver = dns.asyncresolver.Resolver(configure=not self._name_servers)
        if self._name_servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self._name_servers]
        return resolver


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
