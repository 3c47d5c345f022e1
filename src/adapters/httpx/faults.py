"""What httpx raises, as faults: one table, first match wins, so subclasses stand before their bases."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import httpx

from spork.application.kernel.faults import FaultError
from spork.domain.outcomes import Fault, FaultKind, Side

_TABLE: tuple[tuple[type[Exception], FaultKind, Side], ...] = (
    (httpx.PoolTimeout, FaultKind.CONNECTION_LIMIT_REACHED, Side.GATEWAY),
    (httpx.ConnectTimeout, FaultKind.CONNECTION_TIMEOUT, Side.UPSTREAM),
    (httpx.WriteTimeout, FaultKind.CONNECTION_WRITE_TIMEOUT, Side.UPSTREAM),
    (httpx.ReadTimeout, FaultKind.HTTP_RESPONSE_TIMEOUT, Side.UPSTREAM),
    (httpx.ProxyError, FaultKind.DESTINATION_UNAVAILABLE, Side.UPSTREAM),
    (httpx.LocalProtocolError, FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY),
    (httpx.RemoteProtocolError, FaultKind.HTTP_PROTOCOL_ERROR, Side.UPSTREAM),
    (httpx.ConnectError, FaultKind.CONNECTION_TERMINATED, Side.UPSTREAM),
    (httpx.NetworkError, FaultKind.CONNECTION_TERMINATED, Side.UPSTREAM),
    (httpx.TransportError, FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY),
)

#: What lies beneath a failure to connect.
_CAUSES: tuple[tuple[type[BaseException], FaultKind], ...] = (
    (ssl.SSLCertVerificationError, FaultKind.TLS_CERTIFICATE_ERROR),
    (ssl.SSLError, FaultKind.TLS_PROTOCOL_ERROR),
    (socket.gaierror, FaultKind.DNS_ERROR),
    (ConnectionRefusedError, FaultKind.CONNECTION_REFUSED),
)
_UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOENT))

#: httpcore says these two in words only.
_NO_RESPONSE = "Server disconnected"
_CUT = "peer closed connection"


def of_head(error: Exception, *, written: bool, fresh: bool) -> FaultError:
    """`error` came before the response head. `written`: request bytes were; `fresh`: the connection was new."""
    kind, side = _look_up(error)
    if isinstance(error, httpx.RemoteProtocolError) and str(error).startswith(_NO_RESPONSE):
        kind = FaultKind.CONNECTION_TERMINATED
    elif not written and isinstance(error, httpx.NetworkError):
        kind = _beneath(error) or kind
    return FaultError(Fault(kind, side, retry_safe=not written, fresh_connection=fresh, note=_note(error)))


def of_body(error: Exception) -> FaultError:
    """`error` came after the response head."""
    kind, side = _look_up(error)
    if isinstance(error, httpx.ReadTimeout):
        kind = FaultKind.CONNECTION_READ_TIMEOUT
    elif isinstance(error, httpx.NetworkError) or str(error).startswith(_CUT):
        kind = FaultKind.HTTP_RESPONSE_INCOMPLETE
    return FaultError(Fault(kind, side, note=_note(error)))


def upstream(kind: FaultKind, note: str, *, retry_safe: bool = False) -> FaultError:
    return FaultError(Fault(kind, Side.UPSTREAM, retry_safe=retry_safe, note=note))


def gateway(kind: FaultKind, note: str, *, retry_safe: bool = False) -> FaultError:
    return FaultError(Fault(kind, Side.GATEWAY, retry_safe=retry_safe, note=note))


def _look_up(error: Exception) -> tuple[FaultKind, Side]:
    for family, kind, side in _TABLE:
        if isinstance(error, family):
            return kind, side
    if isinstance(error, OSError):
        return FaultKind.CONNECTION_TERMINATED, Side.UPSTREAM
    return FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY


def _beneath(error: BaseException) -> FaultKind | None:
    for cause in _chain(error):
        for family, kind in _CAUSES:
            if isinstance(cause, family):
                return kind
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return FaultKind.DESTINATION_UNAVAILABLE
    return None


def _chain(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    while error is not None and depth < 16:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _chain(inner, depth + 1)
        error = error.__cause__ or error.__context__
        depth += 1


def _note(error: Exception) -> str:
    if isinstance(error, httpx.RemoteProtocolError):
        return type(error).__name__  # its text quotes the target
    return f"{type(error).__name__}: {error}"
