"""Envoy, by the HTTP form of `ext_authz`: a whole bootstrap."""

from __future__ import annotations

import json
from typing import Any

from spork.adapters.fronts.settings import REFUSAL_FIELDS, SUCCESS_FIELDS, FrontSettings, address
from spork.domain.decisions.fronts import IDENTITY_FIELDS

_HTTP = "type.googleapis.com/envoy.extensions.filters.http."
#: Envoy itself says X-Envoy-External-Address of addresses that it holds for external only; a decision is about any client.
_SAY_ADDRESS = {
    "@type": _HTTP + "header_mutation.v3.HeaderMutation",
    "mutations": {
        "request_mutations": [
            {
                "append": {
                    "header": {
                        "key": "x-envoy-external-address",
                        "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                    },
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
        ]
    },
}
_OWN = ("x-forwarded-proto", "x-envoy-external-address", "x-request-id")


def files(settings: FrontSettings) -> dict[str, str]:
    """`envoy.json`: Envoy reads YAML and JSON alike."""
    return {"envoy.json": json.dumps(_bootstrap(settings), indent=2) + "\n"}


def _bootstrap(settings: FrontSettings) -> dict[str, Any]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "spork",
        # The client's address is the connection's.
        "use_remote_address": True,
        # What is judged is what the target gets.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "spork_target", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.header_mutation", "typed_config": _SAY_ADDRESS},
            {"name": "envoy.filters.http.ext_authz", "typed_config": _ext_authz(settings)},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _HTTP + "router.v3.Router"}},
        ],
    }
    listener = {
        "name": "spork",
        "address": _address(settings.listen),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    clusters = [_cluster("spork_target", settings.target), _cluster("spork_decide", settings.decide)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _ext_authz(settings: FrontSettings) -> dict[str, Any]:
    secret = [{"key": "x-gateway-decide", "value": settings.secret}] if settings.secret else []
    return {
        "@type": _HTTP + "ext_authz.v3.ExtAuthz",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        # Named fields and never a prefix: whatever a client sends under other names is not shown.
        "allowed_headers": _patterns((*settings.request_fields, *_OWN)),
        "http_service": {
            "server_uri": {"uri": "http://spork_decide", "cluster": "spork_decide", "timeout": "5s"},
            "path_prefix": "/decide/envoy",
            "authorization_request": {"headers_to_add": secret},
            "authorization_response": {
                "allowed_upstream_headers": _patterns(field.decode() for field in IDENTITY_FIELDS),
                "allowed_client_headers": _patterns(REFUSAL_FIELDS),
                "allowed_client_headers_on_success": _patterns(SUCCESS_FIELDS),
            },
        },
    }


def _patterns(names: Any) -> dict[str, Any]:
    return {"patterns": [{"exact": name} for name in dict.fromkeys(names)]}


def _cluster(name: str, where: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(where)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(where: str) -> dict[str, Any]:
    if where.startswith("unix:"):
        return {"pipe": {"path": where.removeprefix("unix:")}}
    host, port = address(where)
    return {"socket_address": {"address": host or "0.0.0.0", "port_value": port}}  # noqa: S104 - as `:port` means
