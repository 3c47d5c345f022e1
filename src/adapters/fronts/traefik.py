"""Traefik, by the `forwardAuth` middleware: static and dynamic configuration as files."""

from __future__ import annotations

import json
from typing import Any

from spork.adapters.fronts.settings import FrontSettings, title
from spork.domain.decisions.fronts import IDENTITY_FIELDS


def files(settings: FrontSettings) -> dict[str, str]:
    """`traefik.yml`, and `dynamic.yml` that it reads, in the YAML that is JSON. Raises ValueError for decisions on a unix socket."""
    if settings.unix:
        raise ValueError("Traefik asks addresses only: let decisions listen on 127.0.0.1:8200")
    static = {
        "entryPoints": {"web": {"address": settings.listen}},
        "providers": {"file": {"filename": f"{settings.folder}/dynamic.yml"}},
    }
    ask = {
        "forwardAuth": {
            "address": f"http://{settings.decide}/decide/traefik",
            "trustForwardHeader": False,
            "authResponseHeaders": [title(field.decode()) for field in IDENTITY_FIELDS],
        }
    }
    middlewares: dict[str, Any] = {"spork": ask}
    chain = ["spork"]
    if settings.secret:
        # forwardAuth has no field of its own for a secret: it is put on before asking, and off before forwarding.
        middlewares["spork-show"] = {"headers": {"customRequestHeaders": {"X-Gateway-Decide": settings.secret}}}
        middlewares["spork-hide"] = {"headers": {"customRequestHeaders": {"X-Gateway-Decide": ""}}}
        chain = ["spork-show", "spork", "spork-hide"]
    dynamic = {
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "target", "middlewares": chain}},
            "middlewares": middlewares,
            "services": {"target": {"loadBalancer": {"servers": [{"url": f"http://{settings.target}"}]}}},
        }
    }
    says = "# spork decides whether a request may pass, Traefik forwards it. Made by `spork export traefik`.\n"
    return {
        "traefik.yml": says + json.dumps(static, indent=2) + "\n",
        "dynamic.yml": says + json.dumps(dynamic, indent=2) + "\n",
    }
