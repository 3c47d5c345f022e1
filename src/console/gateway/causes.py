"""Why a gateway could not be reached, in words: what the network's own errors say at the end of their chain."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from spork.console.text.sanitize import clean


def cause_of(error: BaseException) -> str:
    """The cause and, where there is one, what to look at."""
    for found in _chain(error):
        told = _told(found)
        if told:
            return told
    return clean(str(error) or type(error).__name__, 120)


def _told(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return clean(
            f"TLS: certificate not trusted: {error.verify_message} (`ca` of the context names an authority)", 160
        )
    if isinstance(error, ssl.SSLError):
        return clean(f"TLS: {error.reason or error}: is this port one that speaks TLS?", 120)
    if isinstance(error, socket.gaierror):
        return "DNS: no address for that host name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, ConnectionResetError):
        return "connection reset: it speaks another protocol, or something between cut it"
    if isinstance(error, OSError) and error.errno and error.strerror:
        return clean(error.strerror, 120)
    return ""


def _chain(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    """What caused it, deepest first."""
    below = error.__cause__ or error.__context__
    if depth < 12:
        if below is not None:
            yield from _chain(below, depth + 1)
        for part in getattr(error, "exceptions", ()):
            yield from _chain(part, depth + 1)
    yield error
