"""Runs plugins: makes them, asks them where their hook belongs, and keeps their failures to themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange import exchange as exchanges
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Guard
from spork.application.kernel.clock import Clock
from spork.application.upstreams.transport import UpstreamTransport
from spork.application.views import GuardVerdict
from spork.domain.identity.tokens import TokenVerifier
from spork.domain.limits.limit import RateLimiter
from spork.domain.outcomes import Denial, LocalResponse
from spork.plugins.plugin import Check, Plugin, PluginContext, Reason, documentation, overrides
from spork.plugins.request import Request, bounded_field, summary_of
from spork.plugins.verdicts import Deny, Respond, Verdict

log = logging.getLogger("spork.plugins")

FAILED: Final = Denial("plugin_failed", "A part of the gateway failed.", retry_after=1.0)
#: A check that holds the event loop for longer is logged and counted, seconds.
SLOW: Final = 0.05
#: Seconds between two log lines about the same plugin.
_QUIET: Final = 10.0


class PluginHost:
    """The plugins of one process. Implements `Meter` and `Observer`."""

    def __init__(self, configuration: Configuration, clock: Clock) -> None:
        self.plugins: dict[str, Plugin] = {}
        self._contexts: dict[str, PluginContext] = {}
        self._verdicts: dict[tuple[str, str, str], int] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._told: dict[str, float] = {}
        for use in configuration.plugins:
            context = self._contexts[use.name] = PluginContext(use.options, clock)
            kind: type[Plugin] = use.kind
            self.plugins[use.name] = kind(context)
        self._observers = [p for p in self.plugins.values() if overrides(type(p), "observe")]

    def __repr__(self) -> str:
        return f"<PluginHost {', '.join(self.plugins) or 'empty'}>"

    def reasons(self) -> Mapping[str, tuple[int, str]]:
        """Status and title of every refusal that a plugin declares, by its whole slug."""
        declared: dict[str, Reason] = {}
        for name, plugin in self.plugins.items():
            declared |= {f"{name}_{slug}": reason for slug, reason in plugin.reasons.items()}
        return {slug: (reason.status, reason.title) for slug, reason in declared.items()}

    # ------------------------------------------------------------------------------------------------------ the hooks

    def guards(self, stage: str) -> Callable[[RouteConfig], Guard | None]:
        """Makes the guard of a route at `stage`: the checks of its plugins, in the order in which it names them."""

        def make(route: RouteConfig) -> Guard | None:
            checks = []
            for name, options in route.plugins:
                plugin = self.plugins.get(name)
                if plugin is None or plugin.stage != stage:
                    continue
                check = plugin.guard(options, route.name)
                if check is not None:
                    checks.append(_Asked(self, name, plugin, check))
            return PluggedGuard(checks) if checks else None

        return make

    def limiter(self, built_in: RateLimiter) -> RateLimiter:
        """The rate limiter of the last plugin that brings one, else `built_in`."""
        chosen = built_in
        for plugin in self.plugins.values():
            chosen = plugin.limiter(built_in) or chosen
        return chosen

    def verifiers(self) -> Mapping[str, TokenVerifier]:
        """The token verifiers that plugins bring, by plugin."""
        made = {name: plugin.verifier() for name, plugin in self.plugins.items()}
        return {name: verifier for name, verifier in made.items() if verifier is not None}

    def transports(self) -> Mapping[str, UpstreamTransport]:
        """The transports that plugins bring, by plugin."""
        made = {name: plugin.transport() for name, plugin in self.plugins.items()}
        return {name: transport for name, transport in made.items() if transport is not None}

    def closed(self, exchange: Exchange) -> None:
        """Tell the observing plugins of an exchange that is over."""
        if not self._observers:
            return
        summary = summary_of(exchange)
        for plugin in self._observers:
            try:
                plugin.observe(summary)
            except Exception:
                self.failed(plugin.name, "observe")

    # ---------------------------------------------------------------------------------------------------- the accounts

    def judged(self, name: str, route: str, result: str) -> None:
        """`result`: pass, deny, answer or failed."""
        key = (name, route, result)
        self._verdicts[key] = self._verdicts.get(key, 0) + 1

    def failed(self, name: str, kind: str) -> None:
        """A plugin failed: `kind` is guard, observe, timeout or slow. Called where the exception is handled."""
        self._failures[name, kind] = self._failures.get((name, kind), 0) + 1
        now = time.monotonic()
        if now - self._told.get(name, -_QUIET) >= _QUIET:
            self._told[name] = now
            log.error("plugin %s failed (%s)", name, kind, exc_info=kind not in ("timeout", "slow"))

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        for verdict, count in self._verdicts.items():
            yield "gateway_plugin_verdicts_total", verdict, float(count)
        for failure, count in self._failures.items():
            yield "gateway_plugin_failures_total", failure, float(count)
        for name, context in self._contexts.items():
            for counter, count in context.counters.items():
                yield "gateway_plugin_counts_total", (name, counter), float(count)


class _Asked:
    """One plugin's check on one route."""

    def __init__(self, host: PluginHost, name: str, plugin: Plugin, check: Check) -> None:
        self.host = host
        self.name = name
        self.plugin = plugin
        self.check = check

    def ask(self, exchange: Exchange) -> exchanges.Verdict | Awaitable[exchanges.Verdict]:
        began = time.perf_counter()
        try:
            said = self.check(Request(exchange))
            if not isinstance(said, Deny | Respond | None):
                return self._wait(exchange, said)
            return self._settled(exchange, said)
        except Exception:
            return self._failed(exchange, "guard")
        finally:
            if time.perf_counter() - began > SLOW:
                self.host.failed(self.name, "slow")

    async def _wait(self, exchange: Exchange, waiting: Awaitable[Verdict]) -> exchanges.Verdict:
        try:
            async with asyncio.timeout(self.plugin.timeout):
                said = await waiting
            return self._settled(exchange, said)
        except TimeoutError:
            return self._failed(exchange, "timeout")
        except Exception:
            return self._failed(exchange, "guard")

    def _settled(self, exchange: Exchange, said: Verdict) -> exchanges.Verdict:
        """The verdict in the gateway's own words. Raises ValueError for one that the plugin may not give."""
        if said is None:
            self.host.judged(self.name, _route(exchange), "pass")
            return None
        headers = tuple(bounded_field(name, value) for name, value in said.headers.items())
        if isinstance(said, Deny):
            if said.reason not in self.plugin.reasons:
                raise ValueError(f"plugin {self.name} refuses for {said.reason!r}, which it does not declare")
            self.host.judged(self.name, _route(exchange), "deny")
            return Denial(f"{self.name}_{said.reason}", said.detail, said.retry_after, headers)
        if not isinstance(said, Respond):
            raise ValueError(f"plugin {self.name} answers {type(said).__name__}, no verdict")
        if not 200 <= said.status <= 599:
            raise ValueError(f"plugin {self.name} answers with status {said.status}")
        self.host.judged(self.name, _route(exchange), "answer")
        return LocalResponse(self.name, headers, said.body, said.status)

    def _failed(self, exchange: Exchange, kind: str) -> exchanges.Verdict:
        self.host.failed(self.name, kind)
        self.host.judged(self.name, _route(exchange), "failed")
        return FAILED if self.plugin.on_failure == "refuse" else None


class PluggedGuard:
    """The checks of a route's plugins at one stage. Implements `Guard`."""

    phase = "plugins"
    response_fields = NO_FIELDS

    def __init__(self, checks: list[_Asked]) -> None:
        self._checks = tuple(checks)

    def admit(self, exchange: Exchange) -> exchanges.Verdict | Awaitable[exchanges.Verdict]:
        for at, check in enumerate(self._checks):
            said = check.ask(exchange)
            if said is not None:
                return said if isinstance(said, Denial | LocalResponse) else self._rest(exchange, said, at + 1)
        return None

    async def _rest(self, exchange: Exchange, waiting: Awaitable[exchanges.Verdict], at: int) -> exchanges.Verdict:
        verdict = await waiting
        for check in self._checks[at:]:
            if verdict is not None:
                break
            said = check.ask(exchange)
            verdict = said if said is None or isinstance(said, Denial | LocalResponse) else await said
        return verdict

    async def explain(self, exchange: Exchange) -> GuardVerdict:
        """What pure checks say, and what the others are for."""
        words: list[str] = []
        for check in self._checks:
            about = f"{check.name}: {documentation(type(check.plugin))}"
            if not check.plugin.pure:
                return GuardVerdict(self.phase, "unknown", "; ".join([*words, f"{about}; not asked by explain"]))
            said = check.ask(exchange)
            verdict = said if said is None or isinstance(said, Denial | LocalResponse) else await said
            if isinstance(verdict, Denial):
                return GuardVerdict(self.phase, "refuse", f"{about}; {verdict.reason}")
            if verdict is not None:
                return GuardVerdict(self.phase, "answer", about)
            words.append(about)
        return GuardVerdict(self.phase, "pass", "; ".join(words))


def _route(exchange: Exchange) -> str:
    return "" if exchange.plan is None else exchange.plan.name
