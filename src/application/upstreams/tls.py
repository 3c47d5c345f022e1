"""TLS towards targets: one reading of an upstream's `tls`, for every transport and for probes."""

from __future__ import annotations

import ssl

from spork.application.kernel.faults import FaultError
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.model import TlsToTarget


def client_context(tls: TlsToTarget) -> ssl.SSLContext:
    """A context to connect with; protocols are the transport's to offer. Raises FaultError for a file that is missing or
    wrong."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:
        fault = Fault(FaultKind.TLS_CERTIFICATE_ERROR, Side.GATEWAY, retry_safe=True, note=f"{error}")
        raise FaultError(fault) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
