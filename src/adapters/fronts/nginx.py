"""nginx, by `auth_request`: to be included in its `http {}`."""

from __future__ import annotations

from spork.adapters.fronts.settings import FrontSettings, quoted, title
from spork.domain.decisions.fronts import IDENTITY_FIELDS

#: Refusals that nginx has to be told to give as they are; it makes 500 of all but 401 and 403 by itself.
_STATUSES = (400, 404, 405, 410, 413, 414, 415, 421, 422, 429, 431, 500, 501, 502, 503, 504, 508)
_REDIRECTS = (301, 302, 303, 307, 308)


def files(settings: FrontSettings) -> dict[str, str]:
    """`spork.conf`."""
    identity = [field.decode() for field in IDENTITY_FIELDS]
    variables = {field: "$spork_" + field.replace("-", "_") for field in identity}
    server = f"unix:{settings.unix}" if settings.unix else settings.decide
    secret = [f"proxy_set_header X-Gateway-Decide {_value(settings.secret)};"] if settings.secret else []
    lines = [
        "# spork decides whether a request may pass, nginx forwards it. Made by `spork export nginx`; include it in http {}.",
        f"upstream spork_decide {{ server {server}; keepalive 32; }}",
        f"upstream spork_target {{ server {settings.target}; keepalive 32; }}",
        'map $http_upgrade $spork_connection { default upgrade; "" ""; }',
        "server {",
        f"  listen {settings.listen};",
        "  merge_slashes on;",
        "  absolute_redirect off;",
        "  location = /_spork_decide {",
        "    internal;",
        "    # A group's name with a variable behind it needs no resolver. The scheme stands where no client can put it.",
        "    proxy_pass http://spork_decide/decide/nginx/$scheme;",
        "    proxy_http_version 1.1;",
        '    proxy_set_header Connection "";',
        "    proxy_pass_request_body off;",
        '    proxy_set_header Content-Length "";',
        "    proxy_set_header Host $http_host;",
        "    proxy_set_header X-Original-Method $request_method;",
        "    proxy_set_header X-Original-URI $request_uri;",
        "    proxy_set_header X-Original-Host $http_host;",
        "    proxy_set_header X-Real-IP $remote_addr;",
        "    proxy_set_header X-Request-Id $request_id;",
        *("    " + line for line in secret),
        "    proxy_connect_timeout 1s;",
        "    proxy_read_timeout 5s;",
        "  }",
        "  location / {",
        "    auth_request /_spork_decide;",
        "    auth_request_set $spork_status $upstream_http_x_gateway_status;",
        "    auth_request_set $spork_retry_after $upstream_http_retry_after;",
        "    auth_request_set $spork_location $upstream_http_location;",
        "    auth_request_set $spork_ratelimit $upstream_http_ratelimit;",
        "    auth_request_set $spork_ratelimit_policy $upstream_http_ratelimit_policy;",
        *(
            f"    auth_request_set {name} $upstream_http_{field.replace('-', '_')};"
            for field, name in variables.items()
        ),
        "    error_page 403 = @spork_refused;",
        "    add_header RateLimit $spork_ratelimit always;",
        "    add_header RateLimit-Policy $spork_ratelimit_policy always;",
        "    # Each of these is set, to nothing where nothing is known: a field that is not set here is the client's own.",
        *(f"    proxy_set_header {title(field)} {name};" for field, name in variables.items()),
        "    proxy_set_header Host $http_host;",
        "    proxy_set_header X-Request-Id $request_id;",
        "    proxy_set_header X-Forwarded-For $remote_addr;",
        "    proxy_set_header X-Forwarded-Proto $scheme;",
        "    proxy_set_header Upgrade $http_upgrade;",
        "    proxy_set_header Connection $spork_connection;",
        "    proxy_http_version 1.1;",
        "    # Without a path behind it, so that the target gets the path that was judged.",
        "    proxy_pass http://spork_target;",
        "  }",
        "  location @spork_refused {",
        "    internal;",
        "    add_header Retry-After $spork_retry_after always;",
        *(f"    if ($spork_status = {status}) {{ return {status} $spork_location; }}" for status in _REDIRECTS),
        *(f"    if ($spork_status = {status}) {{ return {status}; }}" for status in _STATUSES),
        "    return 403;",
        "  }",
        "}",
    ]
    return {"spork.conf": "\n".join(lines) + "\n"}


def _value(text: str) -> str:
    """A value that nginx reads as it stands. Raises ValueError: nginx has no way to write a `$` that is none of its own."""
    if "$" in text:
        raise ValueError("nginx reads every $ in a value as a variable: take a secret without one")
    return quoted(text)
