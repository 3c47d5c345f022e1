"""A second try beside a slow first one: whichever target answers first wins, the other try is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from spork.application.exchange.tracing import TryRecord
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.transport import UpstreamResponse
from spork.domain.http.head import RequestHead
from spork.domain.upstreams.circuit import CallResult, Permit, result_of_fault
from spork.domain.upstreams.retries import RetryPolicy


@dataclass(slots=True, eq=False)
class Runner:
    """One of the tries: where it went, with what leave, since when (monotonic seconds), and its response to come.

    `record` is its place in the trace; `fault` the slug of what ended it, if anything but the other's victory did.
    """

    target: LiveTarget
    permit: Permit
    began: float
    sending: asyncio.Future[UpstreamResponse]
    record: TryRecord | None = None
    fault: str = ""


#: Settles a try that did not win.
Settle = Callable[[Runner, CallResult], None]


def hedge_after(policy: RetryPolicy | None, head: RequestHead, bodiless: bool) -> float | None:
    """Seconds after which a second try of this request may start, None for never."""
    if policy is None or policy.hedge_after is None:
        return None
    return policy.hedge_after if bodiless and head.method in ("GET", "HEAD") and not head.upgrade else None


async def race(first: Runner, start_second: Callable[[], Runner | None], wait: float, settle: Settle) -> Runner:
    """The try whose response head came first.

    `start_second` is asked after `wait` seconds without a head. Every try but the one returned is settled here, and but
    `first` when its fault is raised: the caller settles that. Raises the FaultError of `first` when all tries fail.
    """
    runners = [first]
    try:
        await asyncio.wait((first.sending,), timeout=wait)
        if not first.sending.done():
            second = start_second()
            if second is not None:
                runners.append(second)
        pending = {runner.sending for runner in runners if not runner.sending.done()}
        while pending and not any(_won(runner) for runner in runners):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        winner = next((runner for runner in runners if _won(runner)), None)
    except BaseException:
        for runner in runners[1:]:
            _give_up(runner, settle)
        first.sending.cancel()
        raise
    for runner in runners:
        if runner is not winner and (winner is not None or runner is not first):
            _give_up(runner, settle)
    if winner is None:
        first.sending.result()  # raises
    assert winner is not None
    return winner


def _won(runner: Runner) -> bool:
    sending = runner.sending
    return sending.done() and not sending.cancelled() and sending.exception() is None


def _give_up(runner: Runner, settle: Settle) -> None:
    """Cancel a try, or close what it brought; tell what it says about its target."""
    sending = runner.sending
    result = CallResult.IGNORED
    if not sending.done():
        sending.cancel()
    elif not sending.cancelled():
        error = sending.exception()
        if error is None:
            sending.result().close()
        elif isinstance(error, FaultError):
            result = result_of_fault(error.fault)
            runner.fault = error.fault.kind.value
    settle(runner, result)
