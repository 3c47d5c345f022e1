"""Alert rules, scrape configuration and dashboards: accepted by promtool, every alert fires, every metric exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from spork.adapters.yaml.load import load
from spork.application.telemetry.families import FAMILIES
from tests.servers import missing

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = json.loads((DEPLOY / "grafana" / "spork.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
#: What Prometheus itself or its client adds.
FOREIGN = {"up", "ALERTS"}


def promtool(*args: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        missing("promtool (Debian package prometheus)")
    return subprocess.run(["promtool", *args], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "args",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_accepts(args: tuple[str, ...]) -> None:
    done = promtool(*args)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_test_of_its_own_and_none_when_all_is_well() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    assert {test["name"] for test in tests} == {rule["alert"] for rule in ALERTS} | {"all is well"}


def test_a_rule_that_cannot_fire_is_seen(tmp_path: Path) -> None:
    """The tests of rules do fail when a rule is changed."""
    for name in ("alerts.yml", "alerts_test.yml"):
        (tmp_path / name).write_text((PROMETHEUS / name).read_text())
    broken = (tmp_path / "alerts.yml").read_text().replace('state=~"open|forced_open"', 'state="opened"')
    (tmp_path / "alerts.yml").write_text(broken)
    assert promtool("test", "rules", str(tmp_path / "alerts_test.yml")).returncode != 0


def known_names() -> set[str]:
    names = set(FOREIGN)
    for family in FAMILIES:
        names.add(family.name)
        if family.kind == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:gateway|upstream|circuit|process)_[a-z_]+\b", re.sub(r"by \([^)]*\)", "", expression)))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alerts_ask_for_metrics_that_exist_and_say_what_is_wrong(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"]) - known_names() == set()
    assert rule["labels"]["severity"] in ("page", "ticket", "info")
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_ask_for_metrics_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert metrics_in(target["expr"])
        assert metrics_in(target["expr"]) - known_names() == set()


def test_panels_do_not_overlap() -> None:
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)


def test_the_telemetry_example_is_a_configuration_that_sends_to_its_collector() -> None:
    folder = DEPLOY / "telemetry"
    loaded = load(folder / "spork.yaml", {})
    assert loaded.configuration is not None, loaded.problems
    telemetry = loaded.configuration.telemetry
    assert telemetry is not None
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    host, _, port = telemetry.otlp.url.partition("://")[2].partition(":")
    assert host in services
    collector = yaml.safe_load((folder / "collector.yaml").read_text())
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(f":{port}")
    assert set(collector["service"]["pipelines"]) >= set(telemetry.otlp.signals)
    for pipeline in collector["service"]["pipelines"].values():
        assert set(pipeline["exporters"]) <= set(collector["exporters"])
        assert set(pipeline["processors"]) <= set(collector["processors"])
    for service in services.values():
        for volume in service.get("volumes", ()):
            assert (folder / volume.partition(":")[0]).is_file()
    values = yaml.safe_load((folder / "values.yaml").read_text())
    for pipeline in values["config"]["service"]["pipelines"].values():
        assert set(pipeline["exporters"]) <= set(values["config"]["exporters"])
