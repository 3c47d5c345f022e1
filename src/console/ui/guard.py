"""Keeps one stray byte from ending the console.

After a reattached tmux or a lost SSH link a terminal may send mouse reports in the old X10 form, whose bytes are not
UTF-8. Textual 8.2.8 decodes its input strictly and exits on the first (Textualize/textual#6668). The driver's decoder
is replaced by one that marks such bytes instead; a release that does not have the attribute is left alone.
"""

from __future__ import annotations

import codecs
import importlib
from collections.abc import Callable
from typing import Any

DRIVERS = ("textual.drivers.linux_driver", "textual.drivers.linux_inline_driver")


def _forgiving(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    decoder = codecs.getincrementaldecoder(encoding)
    return lambda: decoder(errors="replace")


def install() -> list[str]:
    """Guard the terminal drivers; answers the names of those that were changed."""
    guarded: list[str] = []
    for name in DRIVERS:
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        if getattr(module, "getincrementaldecoder", None) is codecs.getincrementaldecoder:
            module.getincrementaldecoder = _forgiving
            guarded.append(name)
    return guarded
