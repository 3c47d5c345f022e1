"""Whatever is written, reading ends with problems or a configuration, never with an exception."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spork.adapters.yaml import written
from spork.adapters.yaml.load import Loaded, load, loads
from spork.adapters.yaml.shapes import fields_of
from spork.application.configuration.problems import Diagnostic, errors

KEYS = sorted(
    {key for name in written.__all__ for key in fields_of(getattr(written, name))}
    | {"<<", "include", "x.y", "", "users"}
)
WORDS = [
    "users", "http://127.0.0.1:1", "/a/*", "/a/{b}", "{b}", "1m", "0s", "5", "-1", "1e99", "8KiB", "20%", "", "~", "true",
    "jwt", "plan", "day", "calendar", "concurrency", "127.0.0.1:80", "redis://x", "${X}", "${X:-1}", "$$", "*.a.b", "GET", "*",
]  # fmt: skip

scalars = st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.none())
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=40,
)
documents = st.dictionaries(st.sampled_from(sorted(fields_of(written.Document))), trees, max_size=6)
calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def is_told(loaded: Loaded) -> None:
    assert (loaded.configuration is None) == bool(errors(loaded.problems))
    assert all(isinstance(p, Diagnostic) and p.message and "\n" not in str(p) for p in loaded.problems)


@calm
@given(st.text() | st.binary())
@example("a: " + "[" * 5000)
@example("{" * 5000)
@example("- " * 2000)
@example("? " * 2000)
@example("&a a: *a")
@example("\ud800")
@example("a: !!binary x")
@example("%YAML 9.9\n---\n")
@example("%TAG ! !\n---\n!x a")
@example(b"\xff\xfe\x00")
@example("\ufeff\ufefflisten: x")
@example("listen: 127.0.0.1:" + "9" * 5000)
@example("edge: {body_bytes: " + "9" * 5000 + "}")
@example("edge: {grace: " + "9" * 500 + "d}")
@example('include: "\\0"')
@example("include: /")
@example("hosts: ['" + "a" * 70000 + "']")
def test_text(text: str | bytes) -> None:
    is_told(loads(text, folder="/nonexistent"))


@calm
@given(documents)
def test_trees(tree: dict[str, object]) -> None:
    text = yaml.safe_dump(json.loads(json.dumps(tree)), allow_unicode=True)
    is_told(loads(text, environ={"X": "y"}, folder="/nonexistent"))


@calm
@given(st.data())
def test_a_good_document_with_one_thing_changed(data: st.DataObject) -> None:
    """Close to right is where most code runs."""
    tree = yaml.safe_load((Path(__file__).parents[4] / "config" / "demo.yaml").read_text(encoding="utf-8"))
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(trees)
    is_told(loads(yaml.safe_dump(json.loads(json.dumps(tree))), folder="/nonexistent"))


@calm
@given(
    st.dictionaries(
        st.sampled_from(["SPORK_", "SPORK___", "SPORK_EDGE__", "SPORK_ROUTES__0", "SPORK_UPSTREAMS__A__B", "UPSTREAM_A_V1",
                         "UPSTREAM__V1", "A_SERVICE_URL", "AUTH_SERVICE_URL", "MESSAGE_HUB_URL", "SPORK_ROUTES", "UPSTREAM_A"]),
        st.sampled_from(WORDS) | st.text(max_size=10),
    )
)  # fmt: skip
def test_environments(environ: dict[str, str]) -> None:
    is_told(load(None, environ))
    is_told(loads("routes: [{match: /a, redirect: /b}]", environ=environ))
