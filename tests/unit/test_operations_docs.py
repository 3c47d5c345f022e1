"""The operators' pages say what the code does: the metrics table is the present one, every alert has its advice."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import yaml

from spork.application.admin.monitoring import FORMULA

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_metrics_table_is_the_present_one() -> None:
    spec = importlib.util.spec_from_file_location("metrics_table", ROOT / "docs" / "metrics_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.renewed(page("metrics.md")) == page("metrics.md"), "run: python docs/metrics_table.py"


def test_every_alert_has_advice() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert f"| {rule['alert']} |" in page("operations.md")


def test_the_health_score_is_documented_as_it_is_computed() -> None:
    for part in ("error_ratio / 0.10", "throttled_ratio / 0.50", "overhead p95 / 50 ms"):
        assert part in page("metrics.md")
    assert "50*min(1, error_ratio/0.10)" in FORMULA
