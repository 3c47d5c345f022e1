"""Reading OpenAPI files: JSON and YAML alike, YAML's surprises left out, bombs refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from spork.adapters.yaml.openapi_document import parse_openapi
from spork.cli.commands.openapi import openapi
from spork.domain.openapi.document import NotOpenApi

YAML = b"""
openapi: 3.1.0
info: {title: t, version: 2026-11-28}
paths:
  /x:
    get:
      responses:
        200: {description: on}
        404: {description: no, x-flag: true, x-number: 7, x-nothing: null}
"""


def test_yaml_has_the_types_of_json_and_keys_are_text() -> None:
    root = parse_openapi(YAML).root
    assert root["info"]["version"] == "2026-11-28"
    answers = root["paths"]["/x"]["get"]["responses"]
    assert answers["200"]["description"] == "on"
    assert answers["404"] == {"description": "no", "x-flag": True, "x-number": 7, "x-nothing": None}
    assert parse_openapi(json.dumps(root).encode()).root == root


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"openapi: 3.1.0\na: &a [1]\nb: *a\n", "aliases"),
        (b"openapi: [", "neither JSON nor YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"swagger: '2.0'", "Swagger 2.0"),
        (b"- 1", "no mapping"),
        (b'{"openapi": "3.1.0", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
        (b"openapi: 3.1.0\nx: !!python/object/apply:os.system [ls]", "neither JSON nor YAML"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(NotOpenApi, match=why):
        parse_openapi(raw)


def test_the_command_says_what_breaks_and_exits_2(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_bytes(YAML)
    new.write_bytes(YAML.replace(b"200", b"201"))
    run = CliRunner().invoke
    broken = run(openapi, ["diff", str(old), str(new)])
    assert broken.exit_code == 2
    assert "breaking: GET /x answer 200: is gone (response-removed)" in broken.output
    same = run(openapi, ["diff", str(old), str(old)])
    assert (same.exit_code, same.output) == (0, "")
    rows = json.loads(run(openapi, ["diff", str(old), str(new), "--format", "json"]).stdout)
    assert rows[0]["rule"] == "response-removed"
    for missing in (tmp_path / "none.yaml", Path(__file__)):
        refused = run(openapi, ["diff", str(old), str(missing)])
        assert refused.exit_code == 1
        assert "Error: " in refused.output
