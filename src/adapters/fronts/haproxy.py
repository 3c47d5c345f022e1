"""HAProxy, by a Lua action that asks with its own HTTP client (2.5 and later)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from spork.adapters.fronts.settings import REFUSAL_FIELDS, SUCCESS_FIELDS, FrontSettings
from spork.domain.decisions.fronts import IDENTITY_FIELDS

_LUA = """\
-- spork decides whether a request may pass, HAProxy forwards it. Made by `spork export haproxy`.
local decide = %(url)s
local secret = %(secret)s
-- Fields of clients that decisions look at; no others are shown.
local shown = %(shown)s
-- Set on what goes to the target, to nothing where nothing is known: a field that is not set is the client's own.
local identity = %(identity)s
local told = %(told)s
local refusal = %(refusal)s

local function first(headers, name)
  for _, value in pairs(headers[name] or {}) do return value end
  return ""
end

core.register_action("spork", {"http-req"}, function(txn)
  local sent = {}
  local given = txn.http:req_get_headers()
  for _, name in ipairs(shown) do
    local values = {}
    local at = 0
    while given[name] and given[name][at] do
      values[#values + 1] = given[name][at]
      at = at + 1
    end
    if #values > 0 then sent[name] = values end
  end
  sent["x-original-method"] = {txn.sf:method()}
  sent["x-original-uri"] = {txn.sf:pathq()}
  sent["x-original-host"] = {txn.sf:req_fhdr("host")}
  sent["x-real-ip"] = {txn.sf:src()}
  if secret ~= "" then sent["x-gateway-decide"] = {secret} end
  local scheme = "http"
  if txn.sf:ssl_fc() == "1" or txn.sf:ssl_fc() == 1 then scheme = "https" end
  local answer = core.httpclient():get{url = decide .. scheme, headers = sent, timeout = 5000}
  local status = answer and tonumber(answer.status) or 0
  if status == 200 then
    for _, name in ipairs(identity) do
      local value = first(answer.headers, name)
      txn.http:req_del_header(name)
      if value ~= "" then txn.http:req_set_header(name, value) end
    end
    for _, name in ipairs(told) do
      local value = first(answer.headers, name)
      if value ~= "" then txn:set_var("txn.spork_" .. name:gsub("-", "_"), value) end
    end
    return
  end
  local reply = txn:reply()
  if status < 300 then
    reply:set_status(503)
    txn:done(reply)
    return
  end
  reply:set_status(status)
  for _, name in ipairs(refusal) do
    for _, value in pairs(answer.headers[name] or {}) do reply:add_header(name, value) end
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end)
"""


def files(settings: FrontSettings) -> dict[str, str]:
    """`haproxy.cfg` and the script it loads, `spork.lua`. Raises ValueError for decisions on a unix socket."""
    if settings.unix:
        raise ValueError("HAProxy's HTTP client asks addresses only: let decisions listen on 127.0.0.1:8200")
    script = _LUA % {
        "url": json.dumps(f"http://{settings.decide}/decide/haproxy/"),
        "secret": json.dumps(settings.secret),
        "shown": _listed(settings.request_fields),
        "identity": _listed(field.decode() for field in IDENTITY_FIELDS),
        "told": _listed(SUCCESS_FIELDS),
        "refusal": _listed(REFUSAL_FIELDS),
    }
    told = [
        f"  http-response set-header {field} %[var(txn.spork_{field.replace('-', '_')})]"
        f" if {{ var(txn.spork_{field.replace('-', '_')}) -m found }}"
        for field in SUCCESS_FIELDS
    ]
    lines = [
        "# spork decides whether a request may pass, HAProxy forwards it. Made by `spork export haproxy`.",
        "global",
        f"  lua-load {settings.folder}/spork.lua",
        "  maxconn 8000",
        "defaults",
        "  mode http",
        "  timeout connect 2s",
        "  timeout client 75s",
        "  timeout server 75s",
        "  timeout tunnel 1h",
        "frontend spork",
        f"  bind {settings.listen}",
        "  http-request lua.spork",
        *told,
        "  default_backend spork_target",
        "backend spork_target",
        f"  server target {settings.target}",
    ]
    return {"haproxy.cfg": "\n".join(lines) + "\n", "spork.lua": script}


def _listed(names: Iterable[str]) -> str:
    return "{" + ", ".join(json.dumps(name) for name in names) + "}"
