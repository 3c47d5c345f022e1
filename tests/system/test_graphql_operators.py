"""What operators see and do of GraphQL: metrics, access log, the report, `spork graphql`, explain."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, python_env, wait_until
from tests.system.raw import raw_target
from tests.system.test_graphql import ask, service
from tests.unit.domain.graphql.test_costing import SDL

ORDERS = "query Orders { orders(first: 3) { id } }"
CONFIG = """
access_log: stdout
upstreams: {{t: {{targets: ["{target}"]}}}}
routes:
  - name: graph
    match: /graphql
    upstream: t
    graphql:
      schema: {folder}/schema.graphql
      limits: {{depth: 3}}
      manifest: [{folder}/persisted.json]
      cost: {{}}
      operations: [{{root: [Query.secret], auth: {{roles: [admin]}}}}]
  - {{name: watched, match: /watched, upstream: t, graphql: {{observe: true, limits: {{depth: 1}}}}}}
  - {{name: plain, match: /plain, upstream: t}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("operators")
    (folder / "schema.graphql").write_text(SDL)
    (folder / "persisted.json").write_text(json.dumps({"orders": ORDERS}))
    with raw_target(service) as target:
        with gateway_process(CONFIG.format(target=target.url, folder=folder), folder / "run") as process:
            assert ask(process, {"documentId": "orders"}).status_code == 200
            assert ask(process, "query Deep { orders { lines { order { id } } } }").status_code == 400
            assert ask(process, "query Mine { all { id } }").status_code == 200
            assert ask(process, "query Watched { a { b } }", "/watched").status_code == 200
            assert httpx.get(process.url + "/plain").status_code == 200
            yield process


def spork(gateway: GatewayProcess, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spork.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=gateway.directory, env=python_env(), timeout=60)


def test_metrics(gateway: GatewayProcess) -> None:
    text = httpx.get(gateway.admin_url + "/metrics").text
    line = 'gateway_graphql_operations_total{operation="%s",result="%s",route="%s",type="query"} 1.0'
    for operation, result, route in (
        ("Orders", "ok", "graph"),
        ("other", "refused", "graph"),
        ("other", "observed", "watched"),
    ):
        assert line % (operation, result, route) in text
    assert "Deep" not in text  # names of documents that nobody registered are the client's words
    assert 'gateway_graphql_cost_bucket{le="5.0",route="graph"} 2.0' in text  # a refused one costs nothing
    assert 'gateway_graphql_cost_sum{route="graph"} 23.0' in text
    assert 'gateway_graphql_cost_count{route="graph"} 3.0' in text
    assert 'gateway_graphql_documents{state="known"} 4.0' in text
    assert 'gateway_graphql_documents{state="registered"} 1.0' in text


def test_access_log(gateway: GatewayProcess) -> None:
    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in gateway.log().splitlines() if '"event":"request"' in line]

    wait_until(lambda: len(lines()) >= 5, 10, "the access log")
    by_route = {(str(line["route"]), str(line.get("graphql", {}).get("name"))): line for line in lines()}  # type: ignore[attr-defined]
    digest = hashlib.sha256(ORDERS.encode()).hexdigest()
    said = {"name": "Orders", "type": "query", "id": f"sha256:{digest}", "cost": 3}
    assert by_route[("graph", "Orders")]["graphql"] == said
    assert by_route[("watched", "Watched")]["graphql"]["observed"] == "graphql_limit_exceeded"  # type: ignore[index]
    assert "graphql" not in by_route[("plain", "None")]


def test_report_and_register(gateway: GatewayProcess, tmp_path: Path) -> None:
    options = ("--url", gateway.admin_url, "--token", gateway.admin_token)
    told = spork(gateway, "graphql", "report", *options)
    assert told.returncode == 0, told.stderr
    assert re.search(r"^graph  query Orders  sha256:\w+  registered  1 requests  cost 3", told.stdout, re.M)
    assert re.search(
        r"^graph  query Deep .* not registered .*\n    refused: graphql_limit_exceeded 1\n    address 127",
        told.stdout,
        re.M,
    )
    seen = tmp_path / "seen.json"
    seen.write_text(spork(gateway, "graphql", "report", "--json", "--route", "graph", *options).stdout)
    out = tmp_path / "persisted.json"
    own = tmp_path / "own.graphql"
    own.write_text("query Own { all { id } }\n")
    made = spork(gateway, "graphql", "register", "--out", str(out), "--seen", str(seen), str(own))
    assert made.stdout == f"4 added, 4 registered in {out}\n"
    documents = json.loads(out.read_text())
    assert documents[hashlib.sha256(ORDERS.encode()).hexdigest()] == ORDERS
    bad = tmp_path / "bad.graphql"
    bad.write_text("{ nothing }")
    schema = str(gateway.directory.parent / "schema.graphql")
    refused = spork(gateway, "graphql", "register", "--out", str(out), "--schema", schema, str(bad))
    assert refused.returncode == 1
    assert "Cannot query field 'nothing'" in refused.stderr
    assert json.loads(out.read_text()) == documents


def test_check(gateway: GatewayProcess, tmp_path: Path) -> None:
    good, deep = tmp_path / "good.graphql", tmp_path / "deep.graphql"
    good.write_text("query Good($n: Int) { orders(first: $n) { id } }")
    deep.write_text("{ orders { lines { order { id } } } }")
    config = ("-c", "spork.yaml")
    ok = spork(gateway, "graphql", "check", *config, "--route", "graph", str(good))
    assert (ok.returncode, "query Good  depth 2  fields 2  aliases 0  cost 10 and by variables" in ok.stdout) == (
        0,
        True,
    )
    refused = spork(gateway, "graphql", "check", *config, "--route", "graph", str(deep))
    assert refused.returncode == 1
    assert "refused: The operation is too deep. (MAX_DEPTH_EXCEEDED: 4 of 3)" in refused.stdout
    several = spork(gateway, "graphql", "check", *config, str(good))
    assert "several routes have graphql; choose one with --route: graph, watched" in several.stderr
    missing = spork(gateway, "graphql", "check", *config, "--route", "graph", "nothing.graphql")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)


def test_explain(gateway: GatewayProcess) -> None:
    def explained(query: str) -> str:
        data = json.dumps({"query": query})
        kind = "content-type: application/json"
        return spork(gateway, "explain", "-c", "spork.yaml", "POST", "/graphql", "-H", kind, "--data", data).stdout

    assert f"graphql: pass: query Orders, cost 3, sha256:{hashlib.sha256(ORDERS.encode()).hexdigest()}" in explained(
        ORDERS
    )
    assert "graphql: refuse: unauthenticated" in explained("{ secret }")
    assert "code MAX_DEPTH_EXCEEDED, limit 3, found 4" in explained("{ orders { lines { order { id } } } }")


def test_a_configuration_that_cannot_be(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text("type Query {")
    (tmp_path / "documents.json").write_text('["x"]')
    config = tmp_path / "spork.yaml"
    config.write_text(f"""
upstreams: {{t: {{targets: ["http://127.0.0.1:9"]}}}}
routes:
  - {{name: a, match: /a, upstream: t, graphql: {{schema: {tmp_path}/schema.graphql, manifest: [{tmp_path}/documents.json]}}}}
  - {{name: b, match: /b, upstream: t, graphql: {{schema: nothing.graphql, fields: {{A.b: {{roles: [x]}}}}}}}}
  - {{name: c, match: /c, upstream: t, graphql: {{operations: [{{names: [A]}}]}}}}
  - {{name: d, match: /d, upstream: t, graphql: {{documents: only, operations: [{{root: [nothing]}}]}}}}
  - {{name: e, match: /e, upstream: t, limits: [{{quota: 1, per: 1s, cost: graphql}}], graphql: {{depth: 3}}}}
""")
    told = spork(gateway, "check", "-c", str(config))
    assert told.returncode == 1
    assert "Traceback" not in told.stderr + told.stdout
    out = told.stdout + told.stderr
    for words in (
        "routes[3].graphql: operations: 'nothing' is no root field; write Query.audit or Mutation.*",
        'routes[4].graphql.depth: no such key "depth"; known here: schema, limits',
    ):
        assert words in out
    config.write_text(config.read_text().replace("[nothing]", "[Query.a]").replace("{depth: 3}", "{}"))
    out = "".join((told := spork(gateway, "check", "-c", str(config))).stdout + told.stderr)
    for words in (
        "routes[0].graphql.schema: line 1, column 13: ",
        "documents.json: a manifest is a JSON object of ids and texts",
        "routes[1].graphql.schema: no file 'nothing.graphql'",
        "routes[2].graphql.operations: names of operations are the client's words; write documents: only",
        "routes[3].graphql.manifest: is empty, so no document is registered; name its files",
    ):
        assert words in out, out


def test_the_example_of_the_page(gateway: GatewayProcess, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "graphql.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", page, re.S)
    assert example is not None
    (tmp_path / "spork.yaml").write_text(example[1].replace("schema.graphql", f"{tmp_path}/schema.graphql"))
    (tmp_path / "schema.graphql").write_text(SDL)
    hashes = (
        "SHOP_HASH=$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "DESK_HASH=$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
    )
    (tmp_path / "env").write_text("\n".join(hashes))
    told = spork(gateway, "check", "-c", str(tmp_path / "spork.yaml"), "--env-file", str(tmp_path / "env"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "warning" not in told.stdout + told.stderr
