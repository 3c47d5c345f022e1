"""Makes connections: names, addresses, TLS. Every failure is a fault that is safe to retry."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

from spork.adapters.http1 import faults
from spork.adapters.http1.connection import Connection
from spork.application.kernel.descriptors import Descriptors
from spork.application.upstreams.tls import client_context
from spork.domain.outcomes import FaultKind
from spork.domain.security.ssrf import may_connect
from spork.domain.upstreams.model import Target, TlsToTarget

#: How long one address may keep silent before the next is tried beside it (RFC 8305 8).
STAGGER = 0.25
#: What `Target.family` asks the resolver for.
FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def tls_context(tls: TlsToTarget) -> ssl.SSLContext:
    """A context that offers HTTP/1.1. Raises FaultError when a file is missing or wrong."""
    context = client_context(tls)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Connects to one target. Keeps the addresses its name had last, in case resolution fails."""

    def __init__(self, target: Target, descriptors: Descriptors | None = None) -> None:
        self._target = target
        self._descriptors = descriptors
        self._tls = target.tls or TlsToTarget()
        self._context = tls_context(self._tls) if target.scheme == "https" else None
        self._addresses: list[str] = [target.host] if _is_address(target.host) else []
        self._literal = bool(self._addresses)

    async def dial(self, factory: Callable[[], Connection], timeout: float) -> Connection:
        """A new connection within `timeout` seconds. Raises FaultError."""
        try:
            async with asyncio.timeout(timeout):
                return self._kept(await self._connect(factory))
        except TimeoutError as error:
            raise faults.upstream(FaultKind.CONNECTION_TIMEOUT, "connect timeout", retry_safe=True) from error
        except OSError as error:
            descriptors = self._descriptors
            if faults.out_of_descriptors(error) or (
                descriptors is not None and descriptors.short and isinstance(error, socket.gaierror)
            ):
                if descriptors is not None:
                    descriptors.exhausted()
                raise faults.short_of_descriptors() from error
            raise faults.connecting(error) from error

    def _kept(self, connection: Connection) -> Connection:
        """The connection, unless it takes one of the last descriptors. Raises FaultError."""
        if self._descriptors is not None:
            made = connection.transport.get_extra_info("socket")
            if made is not None and not self._descriptors.target(made.fileno()):
                connection.transport.abort()
                raise faults.short_of_descriptors()
        return connection

    async def _connect(self, make: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        factory = cast("Callable[[], asyncio.Protocol]", make)  # it has every method of one, and no base
        name = self._tls.server_name or self._target.host
        sni = name if self._context is not None else None
        if self._target.unix_path is not None:
            made = await loop.create_unix_connection(
                factory, self._target.unix_path, ssl=self._context, server_hostname=sni
            )
            return cast(Connection, made[1])
        addresses = self._addresses if self._literal else await self._resolve(loop)
        if self._target.allow:
            addresses = [address for address in addresses if may_connect(address, self._target.allow)]
            if not addresses:
                raise faults.upstream(FaultKind.DESTINATION_UNAVAILABLE, "address not allowed", retry_safe=True)

        def attempt(address: str) -> Callable[[], Awaitable[Connection]]:
            async def connect() -> Connection:
                made = await loop.create_connection(
                    factory, address, self._target.port, ssl=self._context, server_hostname=sni
                )
                return cast(Connection, made[1])

            return connect

        if len(addresses) == 1:
            return await attempt(addresses[0])()
        return await race([attempt(address) for address in addresses])

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        """The addresses of the target's name, families in turn; those it had last when resolution fails."""
        try:
            family = FAMILIES[self._target.family]
            found = await loop.getaddrinfo(self._target.host, self._target.port, family=family, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if self._addresses:
                return self._addresses
            if isinstance(error, OSError):
                raise
            raise faults.connecting(error) from error
        self._addresses = interleave([(family, str(address[0])) for family, _, _, _, address in found])
        return self._addresses


def interleave(found: list[tuple[int, str]]) -> list[str]:
    """Addresses without duplicates, families in turn, beginning with the first (RFC 8305 4)."""
    families: dict[int, list[str]] = {}
    for family, address in found:
        row = families.setdefault(family, [])
        if address not in row:
            row.append(address)
    rows = list(families.values())
    longest = max(map(len, rows), default=0)
    return [row[i] for i in range(longest) for row in rows if i < len(row)]


async def race(attempts: list[Callable[[], Awaitable[Connection]]], stagger: float = STAGGER) -> Connection:
    """The first attempt that succeeds; each starts when the one before failed or kept silent for `stagger` seconds.

    A TLS failure is final: it speaks of the target, not of one address. Raises the first failure if all fail.
    """
    running: set[asyncio.Task[Connection]] = set()
    waiting = list(reversed(attempts))
    failures: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(_run(waiting.pop())))
            done, running = await asyncio.wait(
                running, timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            winner = _settle(done, failures)
            if winner is not None:
                return winner
        raise failures[0]
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_drop)


def _settle(done: set[asyncio.Task[Connection]], failures: list[BaseException]) -> Connection | None:
    winner: Connection | None = None
    for task in done:
        error = task.exception()
        if error is None and winner is None:
            winner = task.result()
        elif error is None:
            task.result().abort()
        else:
            failures.append(error)
    if winner is None and failures and isinstance(failures[-1], ssl.SSLError):
        raise failures[-1]
    return winner


async def _run(attempt: Callable[[], Awaitable[Connection]]) -> Connection:
    return await attempt()


def _drop(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
