"""The JSON Schema: takes what spork takes, refuses what it refuses as far as a schema can say, documents everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from spork.adapters.yaml import written
from spork.adapters.yaml.schema import SCHEMA_ID, schema
from spork.adapters.yaml.shapes import fields_of

ROOT = Path(__file__).parents[4]
SHIPPED = [*sorted((ROOT / "config").glob("*.yaml")), ROOT / "src" / "cli" / "demo" / "demo.yaml"]
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == SCHEMA_ID


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_configurations_are_valid(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [e.message for e in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {"listn": "x"},
        {"edge": {"body_bytes": "10M"}},
        {"edge": {"grace": 5}},
        {"routes": [{"match": "users"}]},
        {"routes": [{"upstream": "users"}]},
        {"upstreams": {"a": {"targets": ["ftp://x"]}}},
        {"upstreams": {"a": {"targets": ["http://x"], "breaker": {"failure_ratio": 50}}}},
        {"expose": ["helth"]},
        {"admin": {"tokens": [{"role": "viewer"}]}},
    ],
)
def test_mistakes_are_invalid(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    "document",
    [
        {"edge": {"grace": 0, "body_bytes": 512}},
        {"edge": {"grace": "${GRACE:-5s}", "max_in_flight": "${MOST}"}},
        {"upstreams": {"a": {"targets": ["dns://users:1", "srv+https://_http._tcp.a", "unix:/run/a.sock"]}}},
        {"plans": {"unlimited": None}, "routes": None},
        {"upstreams": {"a": {"targets": [{"url": "http://x", "weight": 2}], "balance": {"hash": "header:X-Id"}}}},
        {"routes": [{"match": {"path": "/a", "headers": {"X-A": None, "X-B": "1"}}, "auth": "jwt"}]},
    ],
)
def test_shorthands_are_valid(document: dict[str, Any]) -> None:
    assert [e.message for e in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("name", written.__all__)
def test_every_key_is_documented(name: str) -> None:
    """In the schema, and by name in docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for key, field in fields_of(getattr(written, name)).items():
        assert field.doc.endswith((".", ".)")), f"{name}.{key} has no sentence"
        assert re.search(rf"^\| `{key}` \|", page, re.MULTILINE), f"docs/configuration.md does not mention {name}.{key}"
