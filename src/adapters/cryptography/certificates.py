"""When the certificates that this gateway shows end: read from their PEM files, at most once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from spork.application.views import ComponentHealth

#: Days of life below which an operator should act, and below which it is urgent.
SOON, URGENT = 14.0, 2.0
_AGAIN = 60.0


class CertificateHealth:
    """Degraded from 14 days before a certificate ends, failing from two (and when it cannot be read). `paths` answers
    the files of the configuration in force."""

    name = "certificates"

    def __init__(self, paths: Callable[[], Iterable[str]], unix: Callable[[], float]) -> None:
        self._paths = paths
        self._unix = unix
        self._known: tuple[float, ComponentHealth] | None = None

    def health(self) -> ComponentHealth:
        now = time.monotonic()
        if self._known is None or now - self._known[0] > _AGAIN:
            self._known = (now, self._read())
        return self._known[1]

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For the metrics: when each certificate (or the first of its chain to end) ends, Unix seconds. One that cannot be read
        has ended: 0."""
        for path in sorted(set(self._paths())):
            try:
                yield "gateway_certificate_expiry_timestamp_seconds", (path,), self._days(path) * 86_400 + self._unix()
            except (OSError, ValueError):
                yield "gateway_certificate_expiry_timestamp_seconds", (path,), 0.0

    def _read(self) -> ComponentHealth:
        paths = sorted(set(self._paths()))
        if not paths:
            return ComponentHealth(self.name, "off", "no certificate of its own")
        left: list[tuple[float, str]] = []
        for path in paths:
            try:
                left.append((self._days(path), Path(path).name))
            except (OSError, ValueError) as error:
                return ComponentHealth(
                    self.name, "failing", f"{Path(path).name} cannot be read: {type(error).__name__}"
                )
        days, name = min(left)
        facts: dict[str, object] = {"days": {name: round(days, 1) for days, name in left}}
        status = "failing" if days < URGENT else "degraded" if days < SOON else "ok"
        text = f"{name} ended {-days:.1f} days ago" if days < 0 else f"{name} ends in {days:.1f} days"
        return ComponentHealth(self.name, status, text, facts=facts)

    def _days(self, path: str) -> float:
        from cryptography import x509  # dear to load, and most gateways show no certificate

        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
        return (min(cert.not_valid_after_utc.timestamp() for cert in chain) - self._unix()) / 86_400


def names_of(path: str) -> tuple[str, ...]:
    """The DNS names that the first certificate in a PEM file is for, in lower case. Raises OSError or ValueError."""
    from cryptography import x509  # dear to load, and few listeners have several certificates

    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
