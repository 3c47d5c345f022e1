"""What the pages say is what the gateway does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from spork.adapters.yaml.load import load, loads
from spork.adapters.yaml.shapes import fields_of
from spork.adapters.yaml.written import Document
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import errors
from spork.domain.routing.table import Matched, RouteTable

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ENVIRON = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").replace("replace-me", "filled").splitlines()
    if "=" in line and not line.startswith("#")
)


def examples() -> list[tuple[str, str]]:
    """Every YAML block that is a configuration of the gateway, with where it stands."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            first = next((line for line in block[1].splitlines() if line.strip() and not line.startswith("#")), "")
            if first.partition(":")[0] in fields_of(Document):
                found.append((f"{page.name}:{text[: block.start()].count(chr(10)) + 1}", block[1]))
    return found


@pytest.mark.parametrize(("where", "text"), examples(), ids=lambda value: value if "\n" not in value else "")
def test_examples_load(where: str, text: str) -> None:
    """Files that an example names need not be here."""
    wrong = [p for p in errors(loads(text, where, ENVIRON).problems) if not p.message.startswith("no file ")]
    assert not wrong, "\n".join(map(str, wrong))


def test_there_are_examples() -> None:
    assert {where.partition(":")[0] for where, _ in examples()} >= {"configuration.md", "routing.md"}


def test_the_reference_is_the_present_one() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.renewed(page) == page, "run: python docs/reference.py"


def routing_example() -> Configuration:
    text = next(text for where, text in examples() if where.startswith("routing.md"))
    configuration = loads(text).configuration
    assert configuration is not None
    return configuration


def requests_of_the_page() -> list[tuple[str, str, str, str, str]]:
    page = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `(\w+) (\S+)`(?: with `([^`]+)`)?(?: at `([^`]+)`)? \| `(\w+)` \|", re.MULTILINE)
    return [(m[1], m[2], m[3] or "", m[4] or "api.example.com", m[5]) for m in row.finditer(page)]


@pytest.mark.parametrize(("method", "path", "header", "host", "route"), requests_of_the_page())
def test_the_table_of_precedence(method: str, path: str, header: str, host: str, route: str) -> None:
    table = RouteTable((r.match, r.name) for r in routing_example().routes)
    name, _, value = header.partition(": ")
    headers = ((name.lower().encode(), value.encode()),) if header else ()
    resolution = table.resolve(host, path.encode(), method, headers, None)
    assert isinstance(resolution, Matched)
    assert resolution.route == route


def test_the_table_of_precedence_is_read() -> None:
    assert len(requests_of_the_page()) == 6


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configurations_pass_the_check(path: Path) -> None:
    loaded = load(path, ENVIRON)
    assert loaded.configuration is not None
    assert loaded.problems == ()


def test_the_demo_is_the_one_people_copy() -> None:
    copies = [ROOT / "config" / "demo.yaml", ROOT / "src" / "cli" / "demo" / "demo.yaml"]
    assert copies[0].read_text(encoding="utf-8") == copies[1].read_text(encoding="utf-8")


def test_production_without_its_variables_says_which() -> None:
    problems = load(ROOT / "config" / "production.yaml", {}).problems
    assert {p.message for p in problems} >= {
        f"variable {name} is not set" for name in ("REDIS_URL", "SPORK_ADMIN_TOKEN")
    }
