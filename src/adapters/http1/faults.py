"""Every fault this transport raises is made here, and foreign exceptions become faults in one table."""

from __future__ import annotations

import errno
import socket
import ssl

from spork.application.kernel.faults import FaultError
from spork.domain.outcomes import Fault, FaultKind, Side

_UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENOENT, errno.EADDRNOTAVAIL))

#: First match wins, so subclasses stand before their bases.
_TABLE: tuple[tuple[type[BaseException], FaultKind], ...] = (
    (ssl.SSLCertVerificationError, FaultKind.TLS_CERTIFICATE_ERROR),
    (ssl.CertificateError, FaultKind.TLS_CERTIFICATE_ERROR),
    (ssl.SSLError, FaultKind.TLS_PROTOCOL_ERROR),
    (socket.gaierror, FaultKind.DNS_ERROR),
    (UnicodeError, FaultKind.DNS_ERROR),
    (ConnectionRefusedError, FaultKind.CONNECTION_REFUSED),
    (ConnectionError, FaultKind.CONNECTION_TERMINATED),
    (TimeoutError, FaultKind.CONNECTION_TIMEOUT),
)


def kind_of(error: BaseException) -> FaultKind:
    """The fault kind of an exception that sockets, TLS or name resolution raised."""
    for family, kind in _TABLE:
        if isinstance(error, family):
            return kind
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return FaultKind.DESTINATION_UNAVAILABLE
    return FaultKind.CONNECTION_TERMINATED


def connecting(error: BaseException) -> FaultError:
    """A connection could not be made: no byte of the request was written, so sending it again is safe."""
    return FaultError(Fault(kind_of(error), Side.UPSTREAM, retry_safe=True, note=f"connect: {error or type(error)}"))


def out_of_descriptors(error: BaseException | None = None) -> bool:
    """Whether the system refused because this process, or the machine, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def short_of_descriptors() -> FaultError:
    """No descriptor is left for a connection: this gateway's own trouble, which says nothing about the target."""
    return gateway(FaultKind.CONNECTION_LIMIT_REACHED, "out of file descriptors", retry_safe=True)


def upstream(kind: FaultKind, note: str, *, retry_safe: bool = False, fresh: bool = True) -> FaultError:
    return FaultError(Fault(kind, Side.UPSTREAM, retry_safe=retry_safe, fresh_connection=fresh, note=note))


def gateway(kind: FaultKind, note: str, *, retry_safe: bool = False) -> FaultError:
    return FaultError(Fault(kind, Side.GATEWAY, retry_safe=retry_safe, note=note))


def protocol(note: str) -> FaultError:
    """The target's answer breaks RFC 9112."""
    return upstream(FaultKind.HTTP_PROTOCOL_ERROR, note)
