"""Certificates of a TLS listener: one by default, others by the name that a client asks for (SNI, RFC 6066 3)."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from spork.application.configuration.model import ListenerTls

#: Chooses the context of a handshake by the name asked for.
Chooser = Callable[[ssl.SSLObject | ssl.SSLSocket, str | None, ssl.SSLContext], None]


#: The DNS names that the first certificate in a PEM file is for, in lower case. Raises OSError or ValueError.
NamesOf = Callable[[str], tuple[str, ...]]


def no_names(_: str) -> tuple[str, ...]:
    """What is known of certificates where nobody reads them: then only the first is ever shown."""
    return ()


def server_context(tls: ListenerTls, names_of: NamesOf = no_names) -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/1.1; with `client_ca` a certificate is asked for, with `require_client` demanded. Further
    certificates are shown to who asks for one of their names. Raises OSError, ssl.SSLError or ValueError for a file that cannot
    be used."""
    context = _context(tls, tls.cert, tls.key)
    context.sni_callback = chooser(tls, names_of)
    return context


def renew(context: ssl.SSLContext, tls: ListenerTls, names_of: NamesOf) -> None:
    """Read everything again into a context in use, for handshakes to come; what cannot be read leaves it as it was."""
    fresh = server_context(tls, names_of)  # a broken pair must not replace a good one half-way
    context.load_cert_chain(tls.cert, tls.key)
    context.sni_callback = fresh.sni_callback


def chooser(tls: ListenerTls, names_of: NamesOf) -> Chooser | None:
    """None where there is one certificate only."""
    if not tls.certificates:
        return None
    exact: dict[str, ssl.SSLContext] = {}
    below: dict[str, ssl.SSLContext] = {}
    own = _context(tls, tls.cert, tls.key)
    for cert, context in ((tls.cert, own), *((p.cert, _context(tls, p.cert, p.key)) for p in tls.certificates)):
        for name in names_of(cert):
            if name.startswith("*."):
                below.setdefault(name[2:], context)
            else:
                exact.setdefault(name, context)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        asked = (name or "").lower().rstrip(".")
        found = exact.get(asked) or below.get(asked.partition(".")[2])
        if found is not None:
            connection.context = found

    return choose


def _context(tls: ListenerTls, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client else ssl.CERT_OPTIONAL
    return context
