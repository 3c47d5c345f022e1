"""Certificates about to end are told in time; one that cannot be read is failing."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spork.adapters.cryptography.certificates import CertificateHealth


def certificate(path: Path, days: float) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=300))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(("days", "status"), [(100.0, "ok"), (10.0, "degraded"), (1.0, "failing"), (-1.0, "failing")])
def test_the_first_to_end_decides(tmp_path: Path, days: float, status: str) -> None:
    files = [certificate(tmp_path / "long.pem", 200), certificate(tmp_path / "edge.pem", days)]
    health = CertificateHealth(lambda: files, time.time).health()
    assert health.status == status
    assert health.detail.startswith("edge.pem ")


def test_none_and_unreadable(tmp_path: Path) -> None:
    assert CertificateHealth(list, time.time).health().status == "off"
    (tmp_path / "bad.pem").write_text("no certificate")
    assert CertificateHealth(lambda: [str(tmp_path / "bad.pem")], time.time).health().status == "failing"
