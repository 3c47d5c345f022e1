"""Plugins as written: which there are, and their options. What the options may be, each plugin says itself."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from spork.adapters.yaml.written.form import Written


class PluginEntry(Written, frozen=True):
    """A plugin with options of its own."""

    use: Annotated[str, "package.module:Class, or the name of an installed plugin (entry points `spork.plugins`)."]
    options: Annotated[dict[str, Any], "What the plugin says it takes."] = msgspec.field(default_factory=dict)
