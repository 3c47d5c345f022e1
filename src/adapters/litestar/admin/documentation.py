"""`/docs`, `/redoc` and `/api/v1/docs`: the API description as a page that needs nothing but this server.

The usual renderers are bundles from a CDN; on a machine without Internet they show a blank page. This one is a few
kilobytes of HTML and script that read `/schema` and list every call with its parameters, bodies and answers.
"""

from __future__ import annotations

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'",
    "x-content-type-options": "nosniff",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Spork admin API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
summary { cursor: pointer; padding: .3rem 0 } code, pre { font-family: ui-monospace, monospace; font-size: 13px }
pre { overflow: auto; padding: .7rem; border: 1px solid #8884; border-radius: 6px }
.verb { display: inline-block; width: 4.5rem; font-weight: 600 }
td { padding: .1rem .8rem .1rem 0; vertical-align: top }
</style></head>
<body><h1>Spork admin API</h1><p id="about">Reading /schema ...</p>
<p>Machine-readable: <a href="/schema">OpenAPI 3.1</a></p><main id="calls"></main>
<script src="/docs/page.js"></script></body></html>
"""

SCRIPT = """"use strict";
const make = (tag, text, cls) => { const e = document.createElement(tag); if (text) e.textContent = text;
  if (cls) e.className = cls; return e; };
const resolve = (doc, schema) => schema && schema.$ref
  ? doc.components.schemas[schema.$ref.split("/").pop()] : schema;
const sample = (body) => make("pre", typeof body.example === "string" ? body.example
  : JSON.stringify(body.example, null, 2));
const show = (doc, call, verb, path) => {
  const box = make("details"), head = make("summary");
  head.append(make("span", verb.toUpperCase(), "verb"), make("code", path), make("span", "  " + (call.summary || "")));
  box.append(head);
  if (call.parameters && call.parameters.length) {
    const table = make("table");
    for (const p of call.parameters) { const row = make("tr");
      row.append(make("td", p.in), make("td", p.name + (p.required ? " *" : "")), make("td", p.description || ""));
      table.append(row); }
    box.append(table); }
  for (const [type, body] of Object.entries((call.requestBody || {}).content || {}))
    box.append(make("p", "Body, " + type), sample(body), make("pre", JSON.stringify(resolve(doc, body.schema), null, 2)));
  for (const [status, answer] of Object.entries(call.responses || {})) {
    box.append(make("p", status + "  " + answer.description));
    for (const body of Object.values(answer.content || {})) if (status < 300)
      box.append(sample(body), make("pre", JSON.stringify(resolve(doc, body.schema), null, 2))); }
  return box; };
fetch("/schema").then(r => r.json()).then(doc => {
  document.getElementById("about").textContent = doc.info.description + " Version " + doc.info.version + ".";
  const calls = document.getElementById("calls");
  for (const [path, verbs] of Object.entries(doc.paths).sort())
    for (const [verb, call] of Object.entries(verbs)) if (call.responses) calls.append(show(doc, call, verb, path));
}).catch(error => { document.getElementById("about").textContent = "The description could not be read: " + error; });
"""


def documentation_handlers() -> list[HTTPRouteHandler]:
    @get(["/docs", "/redoc", "/api/v1/docs"], media_type=MediaType.HTML, sync_to_thread=False, include_in_schema=False)
    def docs() -> Response[str]:
        return Response(PAGE, media_type=MediaType.HTML, headers=_HEADERS)

    @get("/docs/page.js", sync_to_thread=False, include_in_schema=False)
    def script() -> Response[str]:
        return Response(SCRIPT, media_type="text/javascript", headers={"x-content-type-options": "nosniff"})

    return [docs, script]
