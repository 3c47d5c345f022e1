"""The names a client certificate gives its holder, read by grammar.

Two texts name a certificate that a proxy verified: a distinguished name (RFC 4514), and Envoy's `X-Forwarded-Client-Cert`:
elements between commas, each `Key=Value` pairs between semicolons, values that hold separators in double quotes. In both
the holder chose the values, so a separator counts only where the grammar has one, and a text that does not follow its
grammar names nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CertificateName:
    """One name of a certificate. `kind`: uri, dns, email, subject (a canonical distinguished name) or cn."""

    kind: str
    value: str


#: Kinds of names, as consumers write them: `uri:spiffe://acme/orders`.
KINDS: Final = ("uri", "dns", "email", "subject", "cn")
#: Texts a proxy may send: told apart by their first key, one distinguished name, Envoy's form, or one bare name.
FORMATS: Final = ("auto", "subject", "xfcc", "name")


class NotReadable(ValueError):
    """The text does not follow its grammar."""


# ------------------------------------------------------------------------------------------- distinguished names

_HEX: Final = frozenset("0123456789abcdefABCDEF")
#: Characters that may stand behind a backslash (RFC 4514 3, `pair`); hex pairs aside.
_ESCAPABLE: Final = frozenset('\\"+,;<> #=')
#: Never bare inside a value. `=` may be (RFC 4514 allows it), `#` and space not everywhere.
_NEVER_BARE: Final = frozenset('"<>\0')

Attribute = tuple[str, str]


def read_distinguished_name(text: str) -> tuple[Attribute, ...]:
    """The attributes of an RFC 4514 string in order, `(type in upper case, value)`, values without their escapes.

    Raises NotReadable. Attributes of a multi-valued RDN stand one after the other, like those of RDNs.
    """
    found: list[Attribute] = []
    position = 0
    while True:
        end = text.find("=", position)
        kind = text[position:end].strip(" ").upper() if end > position else ""
        if not kind or not kind.isascii() or not kind.replace("-", "").replace(".", "").isalnum():
            raise NotReadable("an attribute type is missing")
        value, position = _value(text, end + 1)
        found.append((kind, value))
        if position >= len(text):
            return tuple(found)
        position += 1


def _value(text: str, position: int) -> tuple[str, int]:
    """The value from `position` on, and where its separator (or the end) is."""
    while text[position : position + 1] == " ":
        position += 1
    raw = bytearray()
    kept = 0  # length up to the last character that is no bare trailing space
    size = len(text)
    while position < size:
        char = text[position]
        if char in ",+":
            break
        if char in ";" or char in _NEVER_BARE:
            raise NotReadable(f"a bare {char!r} in a value")
        if char == "\\":
            step = text[position + 1 : position + 3]
            if len(step) == 2 and _HEX.issuperset(step):
                raw.append(int(step, 16))
                position += 3
            elif step[:1] and step[0] in _ESCAPABLE:
                raw += step[0].encode()
                position += 2
            else:
                raise NotReadable("a backslash escapes nothing")
            kept = len(raw)
            continue
        raw += char.encode("utf-8", "surrogatepass")
        position += 1
        if char != " ":
            kept = len(raw)
    try:
        return bytes(raw[:kept]).decode("utf-8"), position
    except UnicodeDecodeError as error:
        raise NotReadable("a value is not UTF-8") from error


def distinguished_name(attributes: tuple[Attribute, ...]) -> str:
    """The canonical text of a distinguished name: one spelling for each."""
    return ",".join(f"{kind}={_escaped(value)}" for kind, value in attributes)


def _escaped(value: str) -> str:
    text = "".join("\\" + char if char in ',+"\\<>;=' else char for char in value)
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text[-1:] == " " and text[-2:] != "\\ " else text


def subject_names(text: str) -> tuple[CertificateName, ...]:
    """The subject itself, and its common name if it has exactly one. Raises NotReadable."""
    attributes = read_distinguished_name(text)
    names = [CertificateName("subject", distinguished_name(attributes))]
    common = [value for kind, value in attributes if kind in ("CN", "2.5.4.3")]
    if len(common) == 1 and common[0]:
        names.append(CertificateName("cn", common[0]))
    return tuple(names)


# --------------------------------------------------------------------------------------- X-Forwarded-Client-Cert

#: Keys of an element, and whether one may stand there more than once.
_KEYS: Final = {"by": True, "hash": False, "cert": False, "chain": False, "subject": False, "uri": True, "dns": True}


def last_element(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of the last element of an X-Forwarded-Client-Cert, keys in lower case: what the proxy before us itself
    verified; those before it are what its client claimed. A quoted value keeps its backslashes. Raises NotReadable."""
    pairs: list[tuple[str, str]] = []
    for key, value, ends in _pairs(text):
        many = _KEYS.get(key)
        if many is None:
            raise NotReadable("an unknown key")
        if not many and any(key == other for other, _ in pairs):
            raise NotReadable(f"{key} stands twice")
        pairs.append((key, value))
        if ends:
            pairs = []
    if not pairs:
        raise NotReadable("the last element is empty")
    return tuple(pairs)


def _pairs(text: str) -> Iterator[tuple[str, str, bool]]:
    """`(key, value, another element follows)` of every pair."""
    position, size = 0, len(text)
    while position < size:
        end = text.find("=", position)
        if end < 0:
            raise NotReadable("a key without a value")
        key = text[position:end].strip(" ").lower()
        position = end + 1
        if text[position : position + 1] == '"':
            begin = position = position + 1
            while position < size and text[position] != '"':
                position += 2 if text[position] == "\\" else 1
            if position >= size:
                raise NotReadable("a quote is not closed")
            value, position = text[begin:position], position + 1
        else:
            begin = position
            while position < size and text[position] not in ';,"':
                position += 1
            value = text[begin:position].strip(" ")
        while text[position : position + 1] == " ":
            position += 1
        if position < size and text[position] not in ";,":
            raise NotReadable("something stands behind a value")
        if position == size - 1:
            raise NotReadable("nothing stands behind a separator")
        yield key, value, text[position : position + 1] == ","
        position += 1


def _unquoted(value: str) -> str:
    return value.replace('\\"', '"').replace("\\\\", "\\") if "\\" in value else value


def forwarded_names(text: str) -> tuple[CertificateName, ...]:
    """The names in the last element of an X-Forwarded-Client-Cert: URI and DNS names, then the subject's.

    Raises NotReadable.
    """
    pairs = last_element(text)
    found = [CertificateName(kind, _unquoted(value)) for kind in ("uri", "dns") for key, value in pairs if key == kind]
    for key, value in pairs:
        if key == "subject" and value:
            # Quotes of a distinguished name are escaped by a backslash already (RFC 4514): no second reading. One that
            # is none gives no name; the quotes around it have kept it apart from the others.
            try:
                found.extend(subject_names(value))
            except NotReadable:
                continue
    return tuple(name for name in found if name.value)


def forwarded_hash(text: str) -> str:
    """The SHA-256 of the certificate in the last element of an X-Forwarded-Client-Cert, in hex; "" where none is told."""
    try:
        return next((value for key, value in last_element(text) if key == "hash"), "")
    except NotReadable:
        return ""


# ------------------------------------------------------------------------------------------------------ both of them


def proxied_names(text: str, form: str = "auto") -> tuple[CertificateName, ...]:
    """The names in what a trusted proxy says of a certificate it verified, `form` being one of `FORMATS`.

    `auto` goes by the first key, which the holder of a certificate cannot choose: no attribute type of a distinguished
    name is a key of Envoy's form. A text without `=` is one bare name. Raises NotReadable.
    """
    if form == "auto":
        first = text.partition("=")[0].strip(" ").lower()
        form = "name" if "=" not in text else ("xfcc" if first in _KEYS else "subject")
    if form == "name":
        return (CertificateName("cn", text),) if text else ()
    return forwarded_names(text) if form == "xfcc" else subject_names(text)


def written_name(text: str) -> tuple[str, str]:
    """A certificate's name as an operator writes it: `(kind, value)`, kind empty for any.

    `uri:spiffe://acme/orders` names a kind; `orders.acme.example` any of that text; a distinguished name is put into
    its canonical form.
    """
    kind, separator, value = text.partition(":")
    if not separator or kind not in KINDS:
        kind, value = "", text
    if kind == "subject" or (not kind and "=" in value):
        try:
            return kind, distinguished_name(read_distinguished_name(value))
        except NotReadable:
            pass
    return kind, value
