"""A signal: one part says that something happened, others hear it, and neither knows the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

log = logging.getLogger("spork")
P = ParamSpec("P")


class Signal(Generic[P]):
    """Calls every listener with what it is called with, in the order in which they subscribed.

    A listener that raises is logged and keeps nobody else from hearing. Not for the request path.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._listeners: list[Callable[P, object]] = []

    def subscribe(self, listener: Callable[P, object]) -> None:
        """Have `listener` called from now on."""
        self._listeners.append(listener)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for listener in self._listeners:
            try:
                listener(*args, **kwargs)
            except Exception:
                log.exception("after %s", self._name)
