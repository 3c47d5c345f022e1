"""The gateway's own rows: the same product, configured five ways, compiled and not, one worker each."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers import ROOT, Peer, Site

#: Where the sources are, and where `make native` leaves them compiled.
SOURCE = ROOT
NATIVE = ROOT / "build" / "native"

_PLAIN = """listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin}}}
state_dir: {state}
access_log: "off"
edge: {{front_door: {door}}}
upstreams:
  bench: {{targets: [http://127.0.0.1:{upstream}]}}
routes:
  - {{name: all, match: {{path: /*}}, upstream: bench}}
"""

_FULL = """listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin}}}
state_dir: {state}
shared: {shared}
access_log: {log}
edge: {{front_door: {door}}}
issuers:
  bench: {{issuer: https://bench.example, audiences: [api], algorithms: [RS256], jwks_file: {jwks}}}
upstreams:
  bench:
    targets: [http://127.0.0.1:{upstream}]
    breaker: {{window: 10s, min_requests: 20, failure_ratio: 0.5}}
    retries: {{attempts: 2, budget: 20%}}
routes:
  - name: all
    match: {{path: /*}}
    upstream: bench
    auth: {{any_of: [jwt]}}
    limits:
      - {{name: per-ip, quota: 100000000, per: 1m, by: ip}}
      - {{name: per-consumer, quota: 100000000, per: 1m, by: consumer}}
"""


def _peer(site: Site, root: Path, name: str, template: str, headers: dict[str, str], **fields: str) -> Peer:
    port, admin = site.port(), site.port()
    state = site.directory / f"state-{port}"
    jwks = site.write("jwks.json", site.jwks)
    config = site.write(
        f"spork-{port}.yaml",
        template.format(
            port=port, admin=admin, upstream=site.upstream, state=state, jwks=jwks, log=state / "access.log", **fields
        ),
    )
    state.mkdir()
    env = {"PYTHONPATH": str(root)}
    return Peer(name, [sys.executable, "-P", "-m", "spork.cli", "serve", "-c", config], port, env, headers)


def rows(site: Site) -> list[Peer]:
    """Plain and full, through both front doors, limits in memory and in Redis; compiled too, when `make native` ran."""
    found = _rows(site, NATIVE, "Spork compiled") if NATIVE.is_dir() else []
    return found + _rows(site, SOURCE, "Spork")


def _rows(site: Site, root: Path, name: str) -> list[Peer]:
    token = {"Authorization": f"Bearer {site.token}"}
    redis = f"redis://127.0.0.1:{site.redis_port}/0"
    return [
        _peer(site, root, f"{name}, plain, Litestar mount", _PLAIN, {}, door="mount"),
        plain(site, root, name),
        _peer(site, root, f"{name}, full pipeline, Litestar mount", _FULL, token, door="mount", shared="memory"),
        _peer(site, root, f"{name}, full pipeline, protocol door", _FULL, token, door="protocol", shared="memory"),
        _peer(site, root, f"{name}, full pipeline, limits in Redis", _FULL, token, door="protocol", shared=redis),
    ]


def plain(site: Site, root: Path = SOURCE, name: str = "Spork") -> Peer:
    """Plain proxying through the protocol door."""
    return _peer(site, root, f"{name}, plain, protocol door", _PLAIN, {}, door="protocol")


def routes_config(site: Site, count: int) -> tuple[Peer, Path]:
    """`count` routes, and a wrk script that asks for all of them in turn."""
    port, admin = site.port(), site.port()
    state = site.directory / f"state-{port}"
    state.mkdir()
    lines = [
        f"listen: 127.0.0.1:{port}",
        f"admin: {{listen: 127.0.0.1:{admin}}}",
        f"state_dir: {state}",
        'access_log: "off"',
        "upstreams:",
        f"  bench: {{targets: [http://127.0.0.1:{site.upstream}]}}",
        "routes:",
    ]
    for number in range(count):
        lines.append(f"  - {{name: r{number}, match: {{path: /api/v1/service{number}/*}}, upstream: bench}}")
    config = site.write(f"spork-{port}.yaml", "\n".join(lines) + "\n")
    script = site.write(
        f"routes-{count}.lua",
        f"local n = 0\nrequest = function() n = (n * 7919 + 1) % {count}; return wrk.format('GET', '/api/v1/service' .. n .. '/items/42') end\n",
    )
    env = {"PYTHONPATH": str(ROOT)}
    peer = Peer(
        f"{count} routes",
        [sys.executable, "-P", "-m", "spork.cli", "serve", "-c", config],
        port,
        env,
        path="/api/v1/service0/items/42",
    )
    return peer, Path(script)
