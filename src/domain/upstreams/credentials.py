"""What the gateway shows an external API for itself: its credentials as values, and the signatures that are computed.

AWS Signature Version 4 and a plain HMAC over parts of the request are pure functions of request, secret and time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from spork.domain.http.head import Header


@dataclass(frozen=True, slots=True)
class FieldCredential:
    """A header field with a fixed value: an API key, a bearer token, basic credentials."""

    name: bytes
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuthCredential:
    """A token of an authorization server: by client credentials (RFC 6749 4.4), or, with `exchange`, for the caller's own
    token (RFC 8693). `post` sends the client's secret in the body instead of by Basic."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    audience: str = ""
    exchange: bool = False
    post: bool = False


@dataclass(frozen=True, slots=True)
class AwsCredential:
    """AWS Signature Version 4."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    service: str = ""
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HmacCredential:
    """An HMAC over the lines `over` (method, target, host, date, body_sha256, header:NAME, body), in a header.

    `date` is Unix seconds, sent in `date_header`. `encoding` is hex or base64; `prefix` stands before it.
    """

    secret: str = field(repr=False)
    header: str = "x-signature"
    over: tuple[str, ...] = ("method", "target", "date", "body_sha256")
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    date_header: str = "x-timestamp"


Credential = FieldCredential | OAuthCredential | AwsCredential | HmacCredential

#: Words of `HmacCredential.over`, beside header:NAME.
SIGNED_PARTS: Final = ("method", "target", "host", "date", "body_sha256", "body")
#: The client's own credentials are none of an external API's business.
CLIENTS_CREDENTIALS: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"x-api-key"))
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


def basic(user: str, password: str) -> bytes:
    """The value of Authorization (RFC 7617)."""
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def _stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y%m%dT%H%M%SZ")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def sign_aws(
    credential: AwsCredential, method: str, target: bytes, headers: Iterable[Header], body: bytes | None, unix: float
) -> list[Header]:
    """The fields that sign a request (`authorization`, `x-amz-date` and others). `body` None is a stream: S3 takes its
    payload unsigned. Host, content-type and x-amz-* fields among `headers` are signed; they go out unchanged."""
    stamp = _stamp(unix)
    payload = _UNSIGNED if body is None else hashlib.sha256(body).hexdigest()
    added: list[Header] = [(b"x-amz-date", stamp.encode())]
    if credential.service == "s3" or body is None:
        added.append((b"x-amz-content-sha256", payload.encode()))
    if credential.session_token:
        added.append((b"x-amz-security-token", credential.session_token.encode()))
    names: dict[str, list[str]] = {}
    for name, value in (*headers, *added):
        if name in (b"host", b"content-type") or name.startswith(b"x-amz-"):
            names.setdefault(name.decode(), []).append(" ".join(value.decode("latin-1").split()))
    path, _, query = target.decode("latin-1").partition("?")
    signed = ";".join(sorted(names))
    request = "\n".join(
        (
            method,
            path if credential.service == "s3" else quote(path, safe="/-_.~"),
            _canonical_query(query),
            *(f"{name}:{','.join(names[name])}" for name in sorted(names)),
            "",
            signed,
            payload,
        )
    )
    scope = f"{stamp[:8]}/{credential.region}/{credential.service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = _mac(("AWS4" + credential.secret_key).encode(), stamp[:8])
    for part in (credential.region, credential.service, "aws4_request"):
        key = _mac(key, part)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    said = f"AWS4-HMAC-SHA256 Credential={credential.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    return [*added, (b"authorization", said.encode("latin-1"))]


def _canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        pairs.append((quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def sign_hmac(
    credential: HmacCredential, method: str, target: bytes, headers: Iterable[Header], body: bytes, unix: float
) -> list[Header]:
    """The signature's field, and the date's where it is signed."""
    given = dict(headers)
    date = b"%d" % unix
    parts = {
        "method": method.encode(),
        "target": target,
        "host": given.get(b"host", b""),
        "date": date,
        "body_sha256": hashlib.sha256(body).hexdigest().encode(),
        "body": body,
    }
    lines = [
        parts[word] if word in parts else given.get(word.removeprefix("header:").lower().encode(), b"")
        for word in credential.over
    ]
    digest = hmac.new(credential.secret.encode(), b"\n".join(lines), credential.algorithm).digest()
    text = digest.hex() if credential.encoding == "hex" else base64.b64encode(digest).decode()
    fields: list[Header] = [(credential.header.lower().encode(), (credential.prefix + text).encode("latin-1"))]
    if "date" in credential.over:
        fields.append((credential.date_header.lower().encode(), date))
    return fields


@dataclass(frozen=True, slots=True)
class RestPolicy:
    """An upstream that answers one of `statuses` is left alone for as long as its Retry-After says, at most `longest`
    seconds, `default` seconds where it says nothing."""

    statuses: tuple[int, ...] = (429,)
    default: float = 1.0
    longest: float = 300.0
