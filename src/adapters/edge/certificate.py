"""What a verified client certificate says, in a form that survives a log line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}


def certificate_facts(peer: Mapping[str, Any] | None, der: bytes | None) -> dict[str, object] | None:
    """Facts of a certificate as `ssl` describes it; None when the client showed none.

    `subject` and `issuer` as `CN=...,O=...` in the certificate's order, `common_name`, `sans` as `DNS:...`, `URI:...`,
    `serial` in hex, `not_after` as written, `fingerprint` the SHA-256 of the DER in hex.
    """
    if not peer:
        return None
    subject = [pair for group in peer.get("subject", ()) for pair in group]
    return {
        "subject": _name(subject),
        "issuer": _name([pair for group in peer.get("issuer", ()) for pair in group]),
        "common_name": next((value for key, value in subject if key == "commonName"), ""),
        "sans": [f"{kind}:{value}" for kind, value in peer.get("subjectAltName", ())],
        "serial": peer.get("serialNumber", ""),
        "not_after": peer.get("notAfter", ""),
        "fingerprint": hashlib.sha256(der).hexdigest() if der else "",
    }


def _name(pairs: list[tuple[str, str]]) -> str:
    """A distinguished name; separators inside a value are escaped (RFC 4514 2.4)."""
    return ",".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in pairs)


def _escaped(value: str) -> str:
    return "".join("\\" + char if char in ',+"\\<>;=' else char for char in value)
