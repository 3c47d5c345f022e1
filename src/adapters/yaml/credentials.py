"""Credentials of upstreams as written, to the domain's."""

from __future__ import annotations

import ipaddress

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import Findings
from spork.application.configuration.problems import child
from spork.domain.upstreams.credentials import (
    SIGNED_PARTS,
    AwsCredential,
    Credential,
    FieldCredential,
    HmacCredential,
    OAuthCredential,
    basic,
)


def translate_credentials(given: written.Credentials | None, path: str, findings: Findings) -> Credential | None:
    """None where nothing is written, or nothing that could be used."""
    if given is None:
        return None
    kinds = [kind for kind in ("bearer", "header", "basic", "oauth2", "aws", "hmac") if getattr(given, kind)]
    if len(kinds) != 1:
        findings.add(path, "is exactly one of bearer, header, basic, oauth2, aws and hmac", "keep one")
        return None
    made = _credential(given)
    if isinstance(made, FieldCredential) and (not made.value or any(c in made.value for c in b"\r\n\0")):
        findings.add(child(path, kinds[0]), "is no value of a header field", "write it as ${VAR}, on one line")
    if isinstance(made, OAuthCredential) and not made.client_secret:
        findings.add(child(child(path, "oauth2"), "client_secret"), "is empty", "write it as ${VAR}")
    if isinstance(made, AwsCredential) and not (made.access_key and made.secret_key):
        findings.add(child(path, "aws"), "needs both keys", "write them as ${VAR}")
    if isinstance(made, HmacCredential):
        if not made.secret:
            findings.add(child(child(path, "hmac"), "secret"), "is empty", "write it as ${VAR}")
        for word in made.over:
            if word not in SIGNED_PARTS and not word.startswith("header:"):
                findings.add(
                    child(child(path, "hmac"), "over"), f'"{word}" is none of {", ".join(SIGNED_PARTS)}, header:NAME'
                )
    return made


def _credential(given: written.Credentials) -> Credential | None:
    if given.header is not None:
        return FieldCredential(given.header.name.lower().encode("latin-1"), given.header.value.encode())
    if given.basic is not None:
        return FieldCredential(b"authorization", basic(given.basic.user, given.basic.password))
    if given.oauth2 is not None:
        one = given.oauth2
        return OAuthCredential(
            one.token_url,
            one.client_id,
            one.client_secret,
            one.scopes,
            one.audience,
            one.grant == "token_exchange",
            one.client_auth == "post",
        )
    if given.aws is not None:
        aws = given.aws
        return AwsCredential(aws.access_key, aws.secret_key, aws.region, aws.service, aws.session_token)
    if given.hmac is not None:
        return HmacCredential(**{name: getattr(given.hmac, name) for name in given.hmac.__struct_fields__})
    return FieldCredential(b"authorization", b"Bearer " + given.bearer.encode())


def check_allowed(allow: tuple[str, ...], path: str, findings: Findings) -> None:
    """Complains of what is neither a network nor `public`."""
    for index, text in enumerate(allow):
        if text != "public":
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                findings.add(f"{path}[{index}]", f"{text!r} is neither a network nor public")
