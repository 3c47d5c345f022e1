"""The configuration of each front that asks this gateway for decisions, as `spork export` prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from spork.adapters.fronts import caddy, envoy, haproxy, nginx, traefik
from spork.adapters.fronts.settings import FrontSettings

#: Each front and what makes its files: name to text, the one to begin with first.
EXPORTS: Final[Mapping[str, Callable[[FrontSettings], dict[str, str]]]] = {
    "nginx": nginx.files,
    "caddy": caddy.files,
    "haproxy": haproxy.files,
    "envoy": envoy.files,
    "traefik": traefik.files,
}
