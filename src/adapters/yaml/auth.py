"""What a route asks of its callers as written, to the domain's policy."""

from __future__ import annotations

from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED, Findings
from spork.domain.identity.authorization import AuthPolicy, CredentialGroup
from spork.domain.identity.presentation import KeyPlaces, TokenPlaces

_Items = tuple[str | CredentialGroup, ...]


def translate_auth(auth: str | written.Auth | None, path: str, findings: Findings) -> AuthPolicy | None:
    """None where nothing is asked."""
    if auth is None:
        return None
    if isinstance(auth, str):
        return AuthPolicy(any_of=(auth,))
    any_of = _items(auth.any_of, f"{path}.any_of", findings)
    all_of = _items(auth.all_of, f"{path}.all_of", findings)
    return AuthPolicy(
        any_of=any_of or (() if all_of else ("jwt",)),
        all_of=all_of,
        issuers=auth.issuers,
        roles=frozenset(auth.roles),
        scopes=frozenset(auth.scopes),
        claims=tuple(auth.claims.items()),
        permissions=tuple((name, frozenset(needed)) for name, needed in auth.permissions.items()),
        mfa=auth.mfa,
        acr=auth.acr,
        max_age=auth.max_age,
        tenant=auth.tenant,
        forward_credentials=auth.forward_credentials,
        signed_identity=auth.signed_identity,
        tokens=None if auth.tokens is None else TokenPlaces(**_values(auth.tokens)),
        keys=None if auth.keys is None else KeyPlaces(**_values(auth.keys)),
        bound=auth.bound,
        claim_headers=tuple(auth.claim_headers.items()),
    )


def _items(items: tuple[str | written.CredentialGroup, ...], path: str, findings: Findings) -> _Items:
    found: list[str | CredentialGroup] = []
    for index, item in enumerate(items):
        if item is FAILED:
            continue
        found.append(item if isinstance(item, str) else _group(item, f"{path}[{index}]", findings))
    return tuple(found)


def _group(group: written.CredentialGroup, path: str, findings: Findings) -> CredentialGroup:
    if bool(group.any_of) == bool(group.all_of):
        findings.add(path, "is a group of one list", "write any_of: [...] or all_of: [...]")
    any_of = _items(group.any_of, f"{path}.any_of", findings)
    return CredentialGroup(any_of, _items(group.all_of, f"{path}.all_of", findings))


def _values(given: written.TokenPlaces | written.KeyPlaces) -> dict[str, Any]:
    return {name: getattr(given, name) for name in given.__struct_fields__}
