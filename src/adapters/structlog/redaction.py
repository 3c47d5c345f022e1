"""Keeps credentials out of logs: by pattern wherever they stand, and by the name of the field.

Looking for a pattern costs two substring searches on clean text; the regular expressions run only on a hit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

GONE = "[redacted]"
#: Names of fields and headers whose value is never logged, in any case, with - or _.
SECRET_FIELDS = frozenset(
    (
        "authorization",
        "proxy_authorization",
        "cookie",
        "set_cookie",
        "x_api_key",
        "api_key",
        "password",
        "secret",
        "client_secret",
        "token",
        "access_token",
        "refresh_token",
        "id_token",
        "code",
        "signature",
    )
)
_MARKS = ("spk_", "eyJ", "earer ", "asic ")
_PATTERNS = (
    (re.compile(r"spk_([A-Za-z0-9]{1,64})_[A-Za-z0-9_\-]+"), r"spk_\1_" + GONE),
    (re.compile(r"eyJ[A-Za-z0-9_\-]*\.[A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]*)?"), GONE),
    (re.compile(r"\b([Bb]earer|[Bb]asic) +[A-Za-z0-9._~+/=\-]+"), r"\1 " + GONE),
)


def redact(text: str) -> str:
    """`text` with API key secrets, JSON web tokens and Authorization values replaced."""
    for mark in _MARKS:
        if mark in text:
            break
    else:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


#: Query parameters that carry a credential or a signature, beside `SECRET_FIELDS` (OpenTelemetry's conventions for url.query).
_SIGNED = frozenset(
    ("sig", "awsaccesskeyid", "x_amz_signature", "x_amz_security_token", "x_goog_signature", "apikey", "key")
)


def redact_query(query: str) -> str:
    """A query without credentials: by pattern, and the values of parameters whose name says that they are secret."""
    if "=" in query:
        query = "&".join([_redact_pair(pair) for pair in query.split("&")])
    return redact(query)


def _redact_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    plain = unquote_plus(name).lower().replace("-", "_")
    return f"{name}={GONE}" if equals and (plain in SECRET_FIELDS or plain in _SIGNED) else pair


def redact_fields(event: Mapping[str, object]) -> dict[str, object]:
    """A log event with secret fields and patterns replaced, nested mappings and lists included."""
    return {key: GONE if is_secret(key) else redact_value(value) for key, value in event.items()}


def redact_value(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping):
        return redact_fields({str(key): item for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return [redact_value(item) for item in value]
    return value


def is_secret(name: str) -> bool:
    return name.lower().replace("-", "_") in SECRET_FIELDS
