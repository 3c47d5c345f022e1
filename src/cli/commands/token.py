"""`spork token`: signing keys and tokens for development, and a look into any token."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from spork.cli.commands.options import config_option


@click.group()
def token() -> None:
    """Signing keys and development tokens."""


@token.command()
@click.option("--algorithm", type=click.Choice(["EdDSA", "ES256", "RS256"]), default="EdDSA", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the private key (0600).")
@click.option("--jwks", type=click.Path(path_type=Path, dir_okay=False), help="File for the public key set.")
def keygen(algorithm: str, out: Path | None, jwks: Path | None) -> None:
    """A new signing key: the private key in PEM, its public half as a JWK Set."""
    from spork.adapters.cryptography.keygen import generate_key
    from spork.adapters.jwt.signer import JwtIdentitySigner

    private = generate_key(algorithm)
    public = json.dumps(JwtIdentitySigner(private).key_set(), indent=2) + "\n"
    if out is None:
        click.echo(private, nl=False)
    else:
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise click.ClickException(f"{out} exists; a signing key is not written over") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(private)
        click.echo(f"private key: {out}", err=True)
    if jwks is None:
        click.echo(public, nl=False, err=out is None)
    else:
        jwks.write_text(public)
        click.echo(f"public keys: {jwks}", err=True)


@token.command()
@config_option
@click.argument("subject")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Private key (PEM or JWK).")
@click.option("--issuer", help="Issuer by its name in the configuration; left out: the first one.")
@click.option("--iss", help="The `iss` claim, without a configuration.")
@click.option("--audience", help="The `aud` claim; left out: the issuer's first one.")
@click.option("--role", "roles", multiple=True, help="May be repeated.")
@click.option("--scope", "scopes", multiple=True, help="May be repeated.")
@click.option("--tenant", default="")
@click.option("--session", default="", help="The `sid` claim.")
@click.option("--amr", multiple=True, help="How the subject signed in, e.g. pwd, otp, mfa.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=JSON", help="Any further claim.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
def issue(
    config: Path | None,
    subject: str,
    key: Path | None,
    issuer: str | None,
    iss: str | None,
    audience: str | None,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    tenant: str,
    session: str,
    amr: tuple[str, ...],
    claims: tuple[str, ...],
    minutes: float,
) -> None:
    """A token for SUBJECT, signed with --key or the gateway's own signing key. For development."""
    import secrets

    from spork.adapters.jwt.signer import JwtIdentitySigner, SigningKeyRefused
    from spork.cli.commands.keys import configuration_of
    from spork.composition.secrets import signing_key

    declared = None
    if iss is None or key is None:
        configuration = configuration_of(config)
        known = {item.name: item for item in configuration.issuers}
        declared = known.get(issuer) if issuer else next(iter(known.values()), None)
        if issuer and declared is None:
            raise click.ClickException(f"there is no issuer {issuer}; configured: {', '.join(known) or 'none'}")
        text = key.read_text() if key is not None else signing_key(configuration.signing_key, configuration.state_dir)
    else:
        text = key.read_text()
    try:
        signer = JwtIdentitySigner(text, iss or (declared.issuer if declared else "spork"))
    except SigningKeyRefused as error:
        raise click.ClickException(str(error)) from error
    aud = audience or (declared.audiences[0] if declared and declared.audiences else "")
    given: dict[str, object] = {
        "sub": subject,
        "aud": aud,
        "jti": secrets.token_hex(8),
        "roles": list(roles),
        "scope": " ".join(scopes),
        "tenant": tenant,
        "sid": session,
        "amr": list(amr),
        **dict(_claim(each) for each in claims),
    }
    click.echo(signer.issue(given, time.time(), minutes * 60).decode())


def _claim(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=JSON")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@token.command()
@click.argument("text", default="-")
def inspect(text: str) -> None:
    """What a token says, without believing it. Reads standard input for `-`."""
    from spork.adapters.jwt.structure import Malformed, json_object, take_apart

    raw = sys.stdin.read() if text == "-" else text
    try:
        parts = take_apart(raw.strip().removeprefix("Bearer ").strip().encode())
        claims = json_object(parts.payload, "payload_malformed")
    except (Malformed, UnicodeEncodeError) as error:
        raise click.ClickException(f"not a well-formed token: {error}") from error
    click.echo(json.dumps({"header": parts.header, "claims": claims}, indent=2, ensure_ascii=False))
    for name in ("iat", "nbf", "exp"):
        at = claims.get(name)
        if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < 1e11:
            left = at - time.time()
            ago = f"in {left:.0f} s" if left > 0 else f"{-left:.0f} s ago"
            click.echo(f"{name}: {datetime.fromtimestamp(at, UTC).isoformat()} ({ago})", err=True)
    click.echo("The signature was not checked.", err=True)


@token.command("hash-password")
@click.option("--password", default=None, help="Asked for when left out; `-`, or a pipe: one line of standard input.")
def hash_password(password: str | None) -> None:
    """An argon2 hash for a consumer's `basic_password_hash`."""
    if password == "-" or (  # noqa: S105 - standard input's usual name
        password is None and not sys.stdin.isatty()
    ):
        password = sys.stdin.readline().rstrip("\r\n")
    elif password is None:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    if not password:
        raise click.ClickException("a password is needed, of one character at least")
    from spork.adapters.argon2.passwords import Argon2Passwords

    click.echo(Argon2Passwords().hash(password.encode()))
