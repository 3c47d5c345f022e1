"""API keys on the move: rows of an export, and what may be brought along from elsewhere.

A row is one JSON object. An exported one has `id`, `secrets` (digests) and the mark of the pepper they were made with, and is good in
records with that pepper only; one from another system has `text`, or `sha256` of its text in hex.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from spork.domain.http.addresses import AddressSet
from spork.domain.identity.consumers import ApiKey, KeySecret, secret_digest
from spork.domain.identity.imported_keys import PREFIX, digest_from, digest_of, imported_key

#: Most keys brought along in one go.
MOST: Final = 10_000
_TEXTS: Final = ("consumer", "owner", "plan", "tenant")
_LISTS: Final = ("scopes", "roles", "routes", "cidrs")
_TIMES: Final = ("created_at", "expires_at", "revoked_at", "last_used_at")
_KNOWN: Final = frozenset((*_TEXTS, *_LISTS, *_TIMES, "id", "secrets", "pepper", "text", "sha256"))


def mark_of(pepper: bytes) -> str:
    """What tells one pepper from another and says nothing of it."""
    return hmac.digest(pepper, b"spork key export", "sha256").hex()[:16]


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of an import: how many keys are new, how many were there already."""

    added: int
    there: int


def exported(key: ApiKey, pepper: bytes) -> dict[str, object]:
    """The row of a key: everything but its text, which nobody has."""
    row: dict[str, object] = {"id": key.id, "consumer": key.consumer}
    row |= {name: getattr(key, name) for name in _TEXTS[1:] if getattr(key, name)}
    row |= {name: sorted(getattr(key, name)) for name in _LISTS if getattr(key, name)}
    row |= {name: getattr(key, name) for name in _TIMES if getattr(key, name) is not None}
    row["secrets"] = [
        {"digest": s.digest.hex(), "created_at": s.created_at} | ({"not_after": s.not_after} if s.not_after else {})
        for s in key.secrets
    ]
    return row | {"pepper": mark_of(pepper)}


def imported(row: object, now: float, pepper: bytes) -> ApiKey:
    """The key that a row says. Raises ValueError with a sentence for the operator; never repeats a text."""
    if not isinstance(row, Mapping):
        raise ValueError("is not an object")
    if unknown := sorted(map(str, row.keys() - _KNOWN)):
        raise ValueError(f"has no such field: {', '.join(unknown)}")
    consumer = _text(row, "consumer")
    if not consumer or not consumer.isprintable():
        raise ValueError("consumer is missing")
    key_id, secrets = _credential(row, now, pepper)
    cidrs = tuple(_words(row, "cidrs"))
    AddressSet(cidrs)
    return ApiKey(
        id=key_id,
        consumer=consumer,
        secrets=secrets,
        created_at=_time(row, "created_at") or now,
        owner=_text(row, "owner"),
        plan=_text(row, "plan"),
        tenant=_text(row, "tenant"),
        scopes=frozenset(_words(row, "scopes")),
        roles=frozenset(_words(row, "roles")),
        routes=frozenset(_words(row, "routes")),
        cidrs=cidrs,
        expires_at=_time(row, "expires_at"),
        revoked_at=_time(row, "revoked_at"),
        last_used_at=_time(row, "last_used_at"),
    )


def _credential(row: Mapping[str, object], now: float, pepper: bytes) -> tuple[str, tuple[KeySecret, ...]]:
    given = [name for name in ("text", "sha256", "secrets") if row.get(name)]
    if len(given) != 1:
        raise ValueError("has one of text, sha256, or id and secrets")
    if given[0] == "secrets":
        if row.get("pepper") != mark_of(pepper):
            raise ValueError("was exported from records with another pepper: set SPORK_KEY_PEPPER to theirs")
        key_id = _text(row, "id")
        if not key_id or len(key_id) > 32 or not key_id.removeprefix(PREFIX).isalnum():
            raise ValueError("id is not a key's")
        return key_id, _secrets(row["secrets"])
    digest = digest_of(_text(row, "text")) if given[0] == "text" else digest_from(_text(row, "sha256"))
    found = imported_key(pepper, digest)
    return found.id, (KeySecret(secret_digest(pepper, found.secret), now),)


def _secrets(given: object) -> tuple[KeySecret, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= 2:
        raise ValueError("secrets are one or two")
    found = []
    for one in given:
        if not isinstance(one, Mapping):
            raise ValueError("secrets are objects")
        created = _time(one, "created_at")
        if created is None:
            raise ValueError("a secret has created_at")
        found.append(KeySecret(digest_from(_text(one, "digest")), created, _time(one, "not_after")))
    return tuple(found)


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str) or len(value) > 512:
        raise ValueError(f"{name} is a text")
    return value


def _words(row: Mapping[str, object], name: str) -> list[str]:
    value = row.get(name, [])
    if not isinstance(value, list) or not all(isinstance(word, str) and 0 < len(word) <= 255 for word in value):
        raise ValueError(f"{name} is a list of texts")
    return value


def _time(row: Mapping[str, object], name: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ValueError(f"{name} is a time in Unix seconds")
    return float(value)


def all_imported(rows: Iterable[object], now: float, pepper: bytes) -> tuple[list[ApiKey], list[str]]:
    """The keys of all rows, and what is wrong with the others (`key 3: consumer is missing`)."""
    keys: dict[str, ApiKey] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows, 1):
        if number > MOST:
            wrong.append(f"there are more than {MOST} keys: bring them in parts")
            break
        try:
            key = imported(row, now, pepper)
        except ValueError as error:
            wrong.append(f"key {number}: {error}")
            continue
        if key.id in keys:
            wrong.append(f"key {number}: stands there twice")
        keys[key.id] = key
    return list(keys.values()), wrong
