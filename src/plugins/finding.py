"""Finds plugins by what the configuration calls them: `module:Class`, or the name of an entry point."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points
from typing import Any

from spork.plugins.plugin import Plugin

GROUP = "spork.plugins"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")


def find(use: str) -> type[Plugin]:
    """The plugin class that `use` names. Raises ValueError with a sentence for the operator, whatever its module does."""
    found: Any
    try:
        if ":" in use:
            module, _, attribute = use.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        else:
            entry = next(iter(entry_points(group=GROUP, name=use)), None)
            if entry is None:
                known = ", ".join(sorted(each.name for each in entry_points(group=GROUP))) or "none"
                raise ValueError(
                    f"no installed plugin is called {use!r} (installed: {known})|write package.module:Class"
                )
            found = entry.load()
    except (ValueError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a module may raise anything at all, SystemExit too
        raise ValueError(f"{use} cannot be imported: {type(error).__name__}: {error}") from error
    return _sound(use, found)


def _sound(use: str, found: Any) -> type[Plugin]:
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise ValueError(f"{use} is no class that derives from spork.plugins.Plugin")
    if not _NAME.match(found.name):
        raise ValueError(f"{use}: its name {found.name!r} is not lower-case letters, digits and _")
    for slug, reason in found.reasons.items():
        if not _SLUG.match(slug) or not 400 <= reason.status <= 599:
            raise ValueError(f"{use}: reason {slug!r} needs a lower-case slug and a status from 400 to 599")
    return found
