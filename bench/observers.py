"""CPU that watching costs: metrics, tail, usage, objectives, access log and the tracing headers, per request.

    python -m bench.observers

Each part is called on one finished exchange with an authenticated consumer; the smallest of many short runs counts, so
that neighbours on the machine do not. The aim is 8 microseconds for metrics, access log and tracing together.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from tests.closed_exchanges import closed_exchange

from spork.adapters.files.line_sink import LineSink
from spork.adapters.memory.objective_ledger import MemoryObjectives
from spork.adapters.structlog.access_log import AccessLog
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.security_log import SecurityDecisions
from spork.application.telemetry.tail import Traffic
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter
from spork.domain.identity.tokens import Principal
from spork.domain.objectives import Objective

ROUNDS = 300
CALLS = 1000
AIM = 8.0


def microseconds(act: Callable[[], object]) -> float:
    """The least CPU time of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            act()
        best = min(best, time.perf_counter() - began)
    return best / CALLS * 1e6


def tracing() -> None:
    """What the open phase and the request's head do for tracing: an id, traceparent, two headers."""
    token = b"%032x" % _BITS(128)
    traceparent = b"00-%b-%b-00" % (token, token[16:])
    _HEADERS.append((b"x-request-id", token))
    _HEADERS.append((b"traceparent", traceparent))
    _HEADERS.clear()


_BITS = random.Random(1).getrandbits
_HEADERS: list[tuple[bytes, bytes]] = []


def parts() -> dict[str, Callable[[], object]]:
    exchange = closed_exchange(principal=Principal("alice", "jwt", consumer="acme"))
    sink = LineSink(lambda data: None, bound=1 << 40)
    sink.open()
    observers = {
        "metrics": RequestCounters().closed,
        "tail": Traffic().closed,
        "usage": UsageMeter(time.time).closed,
        "objectives": ObjectiveTracker([Objective("all", 0.999)], time.time, MemoryObjectives()).closed,
        "security": SecurityDecisions(time.time, "n").closed,
        "access log": AccessLog(sink).closed,
    }
    return {name: (lambda closed=closed: closed(exchange)) for name, closed in observers.items()} | {
        "tracing headers": tracing,
        "(empty call)": lambda: None,
    }


async def main() -> None:
    found = {name: microseconds(act) for name, act in parts().items()}
    for name, cost in found.items():
        print(f"{name:18} {cost:6.2f} us")
    total = sum(found[name] for name in ("metrics", "access log", "tracing headers"))
    print(f"metrics, access log and tracing headers: {total:.2f} us (aim: {AIM:.0f})")
    print(f"everything that watches: {sum(v for k, v in found.items() if k[0] != '('):.2f} us")


if __name__ == "__main__":
    asyncio.run(main())
