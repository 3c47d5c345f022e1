"""HTTP message signatures (RFC 9421), the part an API client with a shared secret needs: one HMAC-SHA-256 signature.

A signature must cover method, authority, path, the query where there is one, and `content-digest` where there is a
body; so nothing that decides what a request does can be changed under it. Parameters `created` and `keyid` are needed;
`expires`, `nonce` and `alg` (only `hmac-sha256`) may be there. Component parameters, `@request-target` and the like are
not supported and refuse the signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spork.domain.http.head import Headers, RequestHead

#: How far `created` may lie in the past, and in the future, seconds.
OLDEST = 300.0
AHEAD = 30.0

_NEEDED = ("@method", "@authority", "@path")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_@")


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """A parsed `Signature-Input` with one member. `text` is the member's value as it stands: it is signed itself."""

    label: str
    components: tuple[str, ...]
    parameters: Mapping[str, str | int]
    text: str


class Unsigned(ValueError):
    """Not an acceptable signature; the text is a slug."""


def parse_input(field: bytes) -> SignatureInput:
    """One dictionary member: `label=("@method" ...);created=1;keyid="k"`. Raises Unsigned."""
    if not field.isascii() or len(field) > 2048:
        raise Unsigned("signature_malformed")
    label, equals, text = field.decode("ascii").strip(" ").partition("=")
    if not equals or not label or not _NAME.issuperset(label) or not text.startswith("("):
        raise Unsigned("signature_malformed")
    inner, closed, rest = text[1:].partition(")")
    components = tuple(_quoted(part) for part in inner.split(" ") if part)
    if not closed or len(set(components)) != len(components):
        raise Unsigned("signature_malformed")
    return SignatureInput(label, components, _parameters(rest), text)


def _parameters(text: str) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    while text:
        if text[0] != ";":
            raise Unsigned("signature_malformed")
        name, equals, text = text[1:].partition("=")
        if not equals or name in found or not name or not _NAME.issuperset(name):
            raise Unsigned("signature_malformed")
        if text.startswith('"'):
            end = text.find('"', 1)
            if end < 0 or "\\" in text[1:end]:
                raise Unsigned("signature_malformed")
            found[name], text = text[1:end], text[end + 1 :]
        else:
            end = text.find(";") if ";" in text else len(text)
            if not text[:end].isdigit() or end > 15:
                raise Unsigned("signature_malformed")
            found[name], text = int(text[:end]), text[end:]
    return found


def _quoted(part: str) -> str:
    name = part[1:-1]
    if len(part) < 3 or part[0] != '"' or part[-1] != '"' or not _NAME.issuperset(name):
        raise Unsigned("component_unsupported")
    return name


def check_input(signed: SignatureInput, head: RequestHead, has_body: bool, now: float) -> str:
    """The key id of an input that covers enough and is fresh. Raises Unsigned."""
    needed = [*_NEEDED, *(["@query"] if head.query is not None else []), *(["content-digest"] if has_body else [])]
    covered = set(signed.components)
    if "@target-uri" in covered:
        covered |= {"@authority", "@path", "@query"}
    if not covered.issuperset(needed):
        raise Unsigned("signature_covers_too_little")
    created, expires = signed.parameters.get("created"), signed.parameters.get("expires")
    if not isinstance(created, int) or not now - OLDEST <= created <= now + AHEAD:
        raise Unsigned("signature_stale")
    if expires is not None and (not isinstance(expires, int) or expires <= now):
        raise Unsigned("signature_stale")
    if signed.parameters.get("alg", "hmac-sha256") != "hmac-sha256":
        raise Unsigned("signature_algorithm")
    key_id = signed.parameters.get("keyid")
    if not isinstance(key_id, str) or not key_id:
        raise Unsigned("signature_malformed")
    return key_id


def signature_base(signed: SignatureInput, head: RequestHead) -> bytes:
    """What is signed (RFC 9421 2.5). Raises Unsigned when a covered header is not there."""
    lines = [f'"{name}": {_component(name, head)}' for name in signed.components]
    lines.append(f'"@signature-params": {signed.text}')
    return "\n".join(lines).encode("latin-1")


def _component(name: str, head: RequestHead) -> str:
    if name == "@method":
        return head.method
    if name == "@authority":
        return _authority(head)
    if name == "@path":
        return head.path.decode("ascii")
    if name == "@query":
        return "?" + (head.query or b"").decode("latin-1")
    if name == "@scheme":
        return head.scheme
    if name == "@target-uri":
        return f"{head.scheme}://{_authority(head)}{head.target.decode('latin-1')}"
    if name.startswith("@"):
        raise Unsigned("component_unsupported")
    values = [value.strip().decode("latin-1") for key, value in head.headers if key == name.encode("ascii")]
    if not values:
        raise Unsigned("signature_header_missing")
    return ", ".join(values)


def _authority(head: RequestHead) -> str:
    """Host without the scheme's default port, lower-case (RFC 9421 2.2.3)."""
    host = head.host.decode("ascii").lower()
    return host.removesuffix(":443" if head.scheme == "https" else ":80")


def read_signature(field: bytes, label: str) -> bytes:
    """The bytes of `label=:base64:`. Raises Unsigned."""
    name, _, value = field.strip(b" ").partition(b"=")
    if name.decode("latin-1") != label or len(value) < 2 or value[:1] != b":" or value[-1:] != b":":
        raise Unsigned("signature_malformed")
    try:
        return base64.b64decode(value[1:-1], validate=True)
    except binascii.Error as error:
        raise Unsigned("signature_malformed") from error


def mac(secret: bytes, base: bytes) -> bytes:
    return hmac.digest(secret, base, "sha256")


def digest_holds(headers: Headers, body: bytes) -> bool:
    """Whether `Content-Digest` (RFC 9530) names a SHA-256 or SHA-512 of `body`, and every one it names holds."""
    fields = b",".join(value for name, value in headers if name == b"content-digest")
    known = {b"sha-256": hashlib.sha256, b"sha-512": hashlib.sha512}
    found = False
    for member in fields.split(b","):
        name, _, value = member.strip().partition(b"=")
        algorithm = known.get(name)
        if algorithm is None:
            continue
        expected = b":" + base64.b64encode(algorithm(body).digest()) + b":"
        if not hmac.compare_digest(value, expected):
            return False
        found = True
    return found


def sign_request(
    head: RequestHead, secret: bytes, key_id: str, created: int, covered: Iterable[str], label: str = "sig1"
) -> tuple[bytes, bytes]:
    """`Signature-Input` and `Signature` for a request: what a client does, here for tools and tests."""
    names = " ".join(f'"{name}"' for name in covered)
    text = f'({names});created={created};keyid="{key_id}";alg="hmac-sha256"'
    signed = SignatureInput(label, tuple(covered), {"created": created, "keyid": key_id}, text)
    value = base64.b64encode(mac(secret, signature_base(signed, head)))
    return f"{label}={text}".encode("ascii"), f"{label}=:".encode("ascii") + value + b":"
