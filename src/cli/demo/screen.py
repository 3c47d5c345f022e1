"""What `spork demo` prints."""

from __future__ import annotations

import os
from pathlib import Path


def welcome(
    port: int,
    admin_port: int,
    ports: dict[str, int],
    environment: dict[str, str],
    config: Path,
    keys: dict[str, str],
    token: str,
) -> str:
    """The screen: where everything is, and what to try with curl."""
    base = f"http://127.0.0.1:{port}"
    admin_token = environment["SPORK_STATE_DIR"] + "/admin-token"
    services = "   ".join(f"{name} :{number}" for name, number in ports.items())
    console = f"SPORK_ADMIN_TOKEN=$(cat {admin_token}) spork-console --url http://127.0.0.1:{admin_port}"
    with_keys = "\n".join(
        f"    curl -i -H 'X-API-Key: {text}' {base}/private/x        {name}" for name, text in keys.items()
    )
    return f"""
  Spork is running            gateway {base}   admin http://127.0.0.1:{admin_port}
  services behind it          {services}

  Try it
    curl {base}/api/v1/users
    curl {base}/api/v1/products/1
    curl '{base}/echo/hello?x=1'                what a service receives
    curl -i {base}/nowhere                      a refusal explains itself
    curl -i {base}/api/v1/users/../secret --path-as-is

  Call as somebody (three consumers, on plans basic, premium, unlimited)
    curl -i {base}/private/x                    401: nothing was shown
{with_keys}
    curl -i -H "Authorization: Bearer {token}" {base}/private/x

  Publish to whoever listens (open {base}/echo/live in a browser, or: curl -N '{base}/.well-known/mercure?match=demo/news')
    curl -H 'X-API-Key: {keys.get("bob", "KEY")}' -d topic=demo/news -d data=hello {base}/.well-known/mercure

  See an answer stored, and purge it
    curl -s -o /dev/null -D - {base}/api/v1/products/1 | grep -i cache-status     (twice: a miss, a hit)
    SPORK_ADMIN_TOKEN=$(cat {admin_token}) spork cache purge --route products --admin-url http://127.0.0.1:{admin_port}

  Look inside
    spork explain GET {base}/api/v1/users/1 -c {os.path.relpath(config)}
    {console}

  Watch a service fail and come back (the breaker opens, then closes by itself)
    curl -X POST http://127.0.0.1:{ports["users"]}/misbehave -d '{{"status": 503, "seconds": 15}}'
    for i in $(seq 60); do curl -s -o /dev/null -w '%{{http_code}} ' {base}/api/v1/users; sleep 0.5; done

  Ctrl-C ends everything.
"""
