"""The Helm chart and the Kustomize overlays: what is made is current, and what they render is what Kubernetes takes.

helm, kubectl and kubernetes-validate are used where they are on this machine (SPORK_TEST_FRONTS or PATH).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from spork.adapters.yaml.load import loads
from tests.servers import ROOT, missing

CHART = ROOT / "deploy" / "helm" / "spork"
OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
ENVIRON = {"REDIS_URL": "redis://redis:6379/0", "DATABASE_URL": "postgresql://spork@db/spork"}


def program(name: str) -> str:
    found = shutil.which(
        name, path=os.pathsep.join([os.environ.get("SPORK_TEST_FRONTS", ""), os.environ.get("PATH", "")])
    )
    if found is None:
        missing(f"the program {name}", promised=False)
    assert found is not None
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def validate(rendered: str, tmp_path: Path) -> None:
    """Every object against the schemas of three versions of Kubernetes."""
    validator = program("kubernetes-validate")
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered)
    for version in ("1.25", "1.30", "1.37"):
        done = run(validator, "--strict", "-k", version, str(path))
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_chart_takes_from_elsewhere_is_of_today() -> None:
    """The schema of the configuration grows with the gateway: that of the chart is made with each release."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "deploy" / "helm" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.files()
    schema = json.loads(made.pop("values.schema.json"))
    shipped = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert shipped["properties"].keys() == schema["properties"].keys()
    for name, text in made.items():
        assert (CHART / name).read_text(encoding="utf-8") == text, f"run python deploy/helm/make.py: {name}"


@pytest.mark.parametrize("path", [*VALUES, *OVERLAYS.glob("*/spork.yaml")], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_configuration_that_is_shipped_passes_the_check(path: Path) -> None:
    text = path.read_text()
    if path in VALUES:
        text = yaml.safe_dump(yaml.safe_load(text)["config"])
    loaded = loads(text, path.name, ENVIRON)
    assert loaded.configuration is not None, [str(problem) for problem in loaded.problems]


@pytest.mark.parametrize("values", VALUES, ids=lambda p: p.stem)
def test_the_chart_is_linted_and_renders_what_kubernetes_takes(values: Path, tmp_path: Path) -> None:
    helm = program("helm")
    lint = run(helm, "lint", str(CHART), "-f", str(values))
    assert lint.returncode == 0, lint.stdout
    rendered = run(helm, "template", "edge", str(CHART), "-f", str(values))
    assert rendered.returncode == 0, rendered.stderr
    written = next(
        each["data"]["spork.yaml"]
        for each in yaml.safe_load_all(rendered.stdout)
        if each and each["kind"] == "ConfigMap" and "spork.yaml" in each["data"]
    )
    assert loads(written, "spork.yaml", ENVIRON).configuration is not None
    validate(rendered.stdout, tmp_path)


def test_a_mistake_in_the_configuration_or_in_the_drain_fails_the_chart(tmp_path: Path) -> None:
    helm = program("helm")
    bad = tmp_path / "bad.yaml"
    bad.write_text("config: {routes: [{match: /a, upstraem: b}]}\n")
    lint = run(helm, "lint", str(CHART), "-f", str(bad))
    assert lint.returncode == 1
    assert "upstraem" in lint.stdout + lint.stderr
    short = run(helm, "template", "edge", str(CHART), "--set", "terminationGracePeriodSeconds=20")
    assert "would kill pods that drain" in short.stderr


@pytest.mark.parametrize("overlay", sorted(OVERLAYS.iterdir()), ids=lambda p: p.name)
def test_the_overlays_render_what_kubernetes_takes(overlay: Path, tmp_path: Path) -> None:
    rendered = run(program("kubectl"), "kustomize", str(overlay))
    assert rendered.returncode == 0, rendered.stderr
    validate(rendered.stdout, tmp_path)
