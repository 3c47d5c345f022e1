"""Checks of what is asked of plugins beside their own options: transports and token verifiers that must be theirs."""

from __future__ import annotations

from collections.abc import Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, child, did_you_mean

BUILT_IN = ("httptools", "httpx", "asgi")


def check_plugged(configuration: Configuration) -> Iterator[Diagnostic]:
    """Upstreams' transports are built in or a plugin's."""
    names = {use.name for use in configuration.plugins}
    for upstream in configuration.upstreams:
        if upstream.transport not in BUILT_IN and upstream.transport not in names:
            yield Diagnostic(
                f"{child('upstreams', upstream.name)}.transport",
                f'no transport "{upstream.transport}"',
                did_you_mean(upstream.transport, (*BUILT_IN, *names), "it is httptools, httpx or a plugin's name"),
            )
