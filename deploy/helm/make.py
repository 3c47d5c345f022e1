"""Writes what the Helm chart takes from elsewhere: `python deploy/helm/make.py` from the project's root.

values.schema.json: the schema of the values, in which `config` is what `spork schema` says. files/: alerts and dashboard.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "spork"
sys.path.insert(0, str(ROOT))

#: Files of the chart and where they come from.
TAKEN = {
    "files/alerts.yml": ROOT / "deploy" / "prometheus" / "alerts.yml",
    "files/dashboard.json": ROOT / "deploy" / "grafana" / "spork.json",
}
#: Values that are one of a few words, or more than one type.
SPECIAL: dict[str, dict[str, Any]] = {
    "workers": {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 64}]},
    "onConfigChange": {"enum": ["reload", "restart"]},
    "terminationGracePeriodSeconds": {"type": ["integer", "null"], "minimum": 1},
}


def values_schema() -> dict[str, Any]:
    """The schema of values.yaml: its own keys by their defaults, the configuration by `spork schema`."""
    import yaml

    from spork.adapters.yaml.schema import schema

    configuration = schema()
    definitions = configuration.pop("$defs")
    for key in ("$schema", "$id", "title"):
        configuration.pop(key)
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    properties = {name: SPECIAL.get(name) or _of(value) for name, value in defaults.items()}
    properties["config"] = {"$ref": "#/$defs/Configuration"}
    properties["global"] = {"type": "object"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the Spork chart",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": {"Configuration": configuration, **definitions},
    }


def _of(value: Any) -> dict[str, Any]:
    """A key takes what its default is; an empty mapping takes anything."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(value, str):
        return {"type": "string"}
    if isinstance(value, list):
        return {"type": "array"}
    if isinstance(value, dict) and value and not {"requests", "limits"} & set(value):
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: _of(each) for name, each in value.items()},
        }
    return {"type": "object"}


def files() -> dict[str, str]:
    """Every file of the chart that is made, by its path in the chart."""
    made = {name: source.read_text(encoding="utf-8") for name, source in TAKEN.items()}
    made["values.schema.json"] = json.dumps(values_schema(), indent=1) + "\n"
    return made


if __name__ == "__main__":
    for name, text in files().items():
        (CHART / name).write_text(text, encoding="utf-8")
