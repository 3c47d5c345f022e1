"""The circuit under random use, beside a model that knows nothing but the table: they must never differ."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spork.domain.upstreams.circuit import (
    TRANSITIONS,
    BreakerPolicy,
    BreakerState,
    CallResult,
    CircuitEvent,
    Open,
    Permit,
    Transition,
)
from spork.domain.upstreams.circuit_machine import Circuit

FAILING = st.sampled_from((CallResult.FAILED, CallResult.UNREACHED))
REASON = st.sampled_from(("deploy", "incident"))


class CircuitAgainstTable(RuleBasedStateMachine):
    """Permits, records, operators, the fleet and time, in any order."""

    @initialize(
        minimum=st.integers(1, 5),
        probes=st.integers(1, 3),
        ramp=st.sampled_from((0.0, 3.0)),
        consecutive=st.sampled_from((0, 2)),
    )
    def start(self, minimum: int, probes: int, ramp: float, consecutive: int) -> None:
        self.policy = BreakerPolicy(
            window=5, min_requests=minimum, open_for=4, probes=probes, probe_lease=3, ramp=ramp, consecutive=consecutive
        )
        self.now = 1000.0
        self.moves: list[Transition] = []
        self.circuit = Circuit("c", self.policy, lambda: 0.5, self.now, lambda _, move: self.moves.append(move))
        self.out: list[Permit] = []
        self.granted: dict[int, float] = {}
        self.expected = BreakerState.CLOSED

    # ----------------------------------------------------------------------------------------------------- what happens

    @rule(seconds=st.sampled_from((0.0, 0.2, 1.0, 2.9, 4.0, 10.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        answer = self.circuit.permit(self.now)
        if isinstance(answer, Permit):
            self.out.append(answer)
            if answer.probe:
                self.granted[answer.lease] = self.now + self.policy.probe_lease
            else:
                assert self.circuit.state is BreakerState.CLOSED
        else:
            assert answer.retry_after >= 0

    @precondition(lambda self: self.out)
    @rule(data=st.data(), result=st.sampled_from(CallResult))
    def settle(self, data: st.DataObject, result: CallResult) -> None:
        permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.granted.pop(permit.lease, None)
        before = self.circuit.state
        self.circuit.record(permit, result, 0.01, self.now)
        if result is CallResult.IGNORED:
            assert self.circuit.state is before

    @rule(result=FAILING)
    def storm(self, result: CallResult) -> None:
        """As many failures as it takes, if anything is admitted."""
        for _ in range(6):
            answer = self.circuit.permit(self.now)
            if isinstance(answer, Permit):
                ended = CallResult.IGNORED if answer.probe else result
                self.circuit.record(answer, ended, 0.01, self.now)

    @rule(reason=REASON, ttl=st.sampled_from((None, 2.0)))
    def force(self, reason: str, ttl: float | None) -> None:
        self.circuit.force_open(reason, "ada", ttl, self.now)
        assert self.circuit.state is BreakerState.FORCED_OPEN
        assert isinstance(self.circuit.permit(self.now), Open)

    @rule()
    def reset(self) -> None:
        self.circuit.reset("done", "ada", self.now)
        assert isinstance(self.circuit.permit(self.now), Permit)

    @rule(remaining=st.sampled_from((0.0, 2.0)))
    def fleet_opens(self, remaining: float) -> None:
        self.circuit.agree_open("elsewhere", remaining, self.now)

    @rule()
    def fleet_closes(self) -> None:
        self.circuit.agree_closed("elsewhere", self.now)

    # ---------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def every_move_is_in_the_table(self) -> None:
        state = BreakerState.CLOSED
        for move in self.moves:
            assert move.before is state
            assert TRANSITIONS[(move.before, move.event)] is move.after
            state = move.after
        assert self.circuit.state is state

    @invariant()
    def leases_are_bounded(self) -> None:
        if self.circuit.state is not BreakerState.HALF_OPEN:
            self.granted.clear()
        alive = [until for until in self.granted.values() if until > self.now]
        assert len(alive) <= self.policy.probes
        assert self.circuit.status(self.now).probing == len(alive)

    @invariant()
    def it_is_always_visible_and_never_wedged(self) -> None:
        status = self.circuit.status(self.now)
        assert status.state is self.circuit.state
        assert 0 <= status.failures <= status.requests
        if status.state is BreakerState.OPEN:
            assert status.next_try is not None
            assert status.next_try <= self.now + self.policy.open_for * 1.2
        if status.state is BreakerState.HALF_OPEN:
            assert all(until <= self.now + self.policy.probe_lease for until in self.granted.values())
        assert (status.forced is not None) == (status.state is BreakerState.FORCED_OPEN)

    @invariant()
    def an_open_circuit_comes_back_by_itself(self) -> None:
        if self.circuit.state is not BreakerState.OPEN:
            return
        twin = Circuit("twin", self.policy, lambda: 0.5, self.now)
        twin.agree_open("like the other", 4.8, self.now)
        probe = twin.permit(self.now + 4.8)
        assert isinstance(probe, Permit)
        assert probe.probe


CircuitAgainstTable.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCircuit = CircuitAgainstTable.TestCase


def test_events_that_cannot_happen_change_nothing() -> None:
    """The table has no way into half open but from open or a forced opening that ended."""
    into_half_open = {key for key, after in TRANSITIONS.items() if after is BreakerState.HALF_OPEN}
    assert into_half_open == {
        (BreakerState.OPEN, CircuitEvent.COOLED),
        (BreakerState.FORCED_OPEN, CircuitEvent.FORCE_ENDED),
    }
