"""Live upstreams: who is chosen as targets fail, come back, drain and change; what outlasts a configuration change."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.application.admin.upstream_views import UpstreamMoment
from spork.application.exchange.exchange import Exchange
from spork.application.upstreams.registry import Discovered, UpstreamRegistry
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http.head import RequestHead
from spork.domain.upstreams.circuit import BreakerPolicy, BreakerState, CallResult, Open
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import Balance, Target, TlsToTarget, Upstream, parse_target
from spork.domain.upstreams.retries import RetryPolicy
from tests.exchanges import NO_ROUTES


class Told:
    """An EventSink that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        self.events.append((kind, subject))


def target(port: int, **more: object) -> Target:
    return Target(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port, **more)  # type: ignore[arg-type]


def registry(told: Told | None = None) -> UpstreamRegistry:
    chance = random.Random(1).random
    breakers = MemoryCircuitBreakers(chance)
    made = UpstreamRegistry(breakers, chance, told)
    breakers.on_transition = made.circuit_moved
    return made


THREE = Upstream("users", (target(1), target(2), target(3)), outliers=OutlierPolicy(consecutive=3, eject_for=30))


def serve(live: LiveUpstream, count: int, now: float, failing: frozenset[int] = frozenset()) -> list[int]:
    """Ports of the targets chosen for `count` requests in a row; those in `failing` fail."""
    ports = []
    for _ in range(count):
        chosen = live.choose(None, now)
        assert chosen is not None
        chosen.started()
        port = chosen.declared.port
        chosen.finished(CallResult.UNREACHED if port in failing else CallResult.OK, 0.01, now)
        ports.append(port)
    return ports


def anyone() -> Exchange:
    """An exchange nothing is known of; balancing without affinity reads nothing from it."""
    head = RequestHead("GET", b"/", None, (), "http", b"localhost", peer="192.0.2.7")
    return Exchange(head, None, None, NO_ROUTES, 0.0, 0.0)  # type: ignore[arg-type]


def admit(live: LiveUpstream, now: float, result: CallResult = CallResult.OK, failing: int = 0) -> int:
    """One whole try; `result` when it goes to port `failing` (or always when that is 0). Returns the port."""
    granted = live.admit(anyone(), now)
    assert isinstance(granted, tuple), granted
    chosen, permit = granted
    ended = result if failing in (0, chosen.declared.port) else CallResult.OK
    live.settle(chosen, permit, ended, 0.01, now)
    return chosen.declared.port


def test_a_failing_target_is_ejected_after_its_streak_and_comes_back() -> None:
    told = Told()
    live = registry(told).sync([THREE], 0)["users"]
    assert serve(live, 30, 1, frozenset({2})).count(2) == 3
    assert told.events == [("target.ejected", "users/127.0.0.1:2")]
    assert 2 not in serve(live, 30, 30.9)
    assert serve(live, 30, 31).count(2) == 10


def test_no_more_than_half_are_ejected() -> None:
    live = registry().sync([THREE], 0)["users"]
    ports = serve(live, 60, 1, frozenset({1, 2}))
    assert len(set(ports[-20:])) == 2, "one of the two stays in"


def test_panic_uses_all_and_says_so() -> None:
    told = Told()
    probed = replace(THREE, probe=ProbePolicy(rise=1, fall=1))
    live = registry(told).sync([probed], 0)["users"]
    for down in live.targets[:2]:
        assert down.probed(False, 0.01, 1, "refused")
        live.changed()
    assert set(serve(live, 9, 1)) == {1, 2, 3}
    assert live.panic
    assert ("upstream.panic", "users") in told.events


def test_a_target_that_probes_call_down_gets_nothing() -> None:
    live = registry().sync([replace(THREE, probe=ProbePolicy(rise=1, fall=1))], 0)["users"]
    live.targets[0].probed(False, 0.01, 1, "refused")
    live.changed()
    assert set(serve(live, 12, 1)) == {2, 3}
    live.targets[0].probed(True, 0.01, 2, None)
    live.changed()
    assert set(serve(live, 12, 2)) == {1, 2, 3}


def test_spares_take_over_and_give_back() -> None:
    spare = replace(THREE, targets=(target(1), target(9, priority=1)))
    live = registry().sync([replace(spare, probe=ProbePolicy(rise=1, fall=1))], 0)["users"]
    assert set(serve(live, 5, 1)) == {1}
    live.targets[0].probed(False, 0.01, 1, "refused")
    live.changed()
    assert set(serve(live, 5, 1)) == {9}
    live.targets[0].probed(True, 0.01, 2, None)
    live.changed()
    assert set(serve(live, 5, 2)) == {1}


def test_a_new_target_starts_slowly() -> None:
    declared = Upstream("users", (target(1),), slow_start=10)
    pool = registry()
    live = pool.sync([declared], 0)["users"]
    live = pool.sync([replace(declared, targets=(target(1), target(2)))], 100)["users"]
    early = serve(live, 220, 100).count(2) / 220
    late = serve(live, 220, 105).count(2) / 220
    done = serve(live, 220, 111).count(2) / 220
    assert early == pytest.approx(0.1 / 1.1, abs=0.03)
    assert late == pytest.approx(0.5 / 1.5, abs=0.03)
    assert done == 0.5


def test_draining_stops_new_requests_and_ends_by_itself() -> None:
    pool = registry()
    live = pool.sync([THREE], 0)["users"]
    pool.drain("users", "127.0.0.1:1", "deploy", 60, 1)
    assert set(serve(live, 10, 1)) == {2, 3}
    assert set(serve(live, 10, 61)) == {1, 2, 3}
    pool.drain("users", "127.0.0.1:1", "deploy", None, 62)
    assert set(serve(live, 10, 1e6)) == {2, 3}
    pool.undrain("users", "127.0.0.1:1", "done", 1e6)
    assert set(serve(live, 10, 1e6)) == {1, 2, 3}
    with pytest.raises(KeyError):
        pool.drain("users", "nobody", "", None, 1)


def test_all_drained_leaves_nobody() -> None:
    pool = registry()
    live = pool.sync([replace(THREE, targets=(target(1),))], 0)["users"]
    pool.drain("users", "127.0.0.1:1", "deploy", None, 1)
    assert live.choose(None, 1) is None


def test_tried_targets_are_avoided() -> None:
    live = registry().sync([THREE], 0)["users"]
    tried: list[LiveTarget] = []
    for _ in range(3):
        chosen = live.choose(None, 1, tried)
        assert chosen is not None
        assert chosen not in tried
        tried.append(chosen)
    assert live.choose(None, 1, tried) is not None, "rather a tried one than none"


def test_state_outlasts_a_change_of_configuration() -> None:
    pool = registry()
    declared = replace(THREE, breaker=BreakerPolicy(), retries=RetryPolicy())
    live = pool.sync([declared], 0)["users"]
    serve(live, 30, 1, frozenset({2}))
    breaker, budget, first = live.breaker, live.retry_budget, live.targets[0]
    changed = replace(declared, targets=(target(1, weight=3), target(2), target(4)), balance=Balance("least_request"))
    again = pool.sync([changed], 5)["users"]
    assert again is live
    assert (again.breaker, again.retry_budget, again.targets[0]) == (breaker, budget, first)
    assert first.declared.weight == 3
    assert 2 not in serve(again, 30, 5), "still ejected"
    assert [t.declared.port for t in again.targets] == [1, 2, 4]


def test_removed_upstreams_and_targets_say_goodbye() -> None:
    pool = registry()
    joined: list[str] = []
    left: list[str] = []
    pool.on_joined.append(lambda t: joined.append(t.name))
    pool.on_left.append(lambda t: left.append(t.name))
    pool.sync([THREE], 0)
    pool.sync([replace(THREE, targets=(target(1), target(2)))], 1)
    assert left == ["127.0.0.1:3"]
    pool.sync([], 2)
    assert sorted(left) == sorted(joined)
    assert pool.get("users") is None


def test_registered_targets_stand_beside_declared_ones() -> None:
    pool = registry()
    live = pool.sync([THREE], 0)["users"]
    pool.discover("registration", {"users": Discovered((target(7), target(1)))}, 1)
    assert [(t.declared.port, t.registered) for t in live.targets] == [(1, False), (2, False), (3, False), (7, True)]
    pool.sync([replace(THREE, targets=(target(1),))], 2)
    assert [t.declared.port for t in live.targets] == [1, 7], "a new configuration does not drop them"
    pool.discover("registration", {}, 3)
    assert [t.declared.port for t in live.targets] == [1]


def test_what_is_only_discovered_is_an_upstream_while_it_is_discovered() -> None:
    pool = registry()
    view = pool.sync([THREE], 0)
    pool.discover("registration", {"orders": Discovered((target(7),), Upstream("", (), breaker=BreakerPolicy()))}, 1)
    assert view["orders"].breaker is not None
    pool.discover("dns", {"orders": Discovered((target(8),))}, 2)
    assert [t.declared.port for t in view["orders"].targets] == [7, 8]
    pool.discover("registration", {}, 3)
    assert [t.declared.port for t in view["orders"].targets] == [8]
    pool.discover("dns", {}, 4)
    assert "orders" not in view


def test_a_circuit_per_target_takes_only_that_target_out() -> None:
    told = Told()
    policy = BreakerPolicy(min_requests=5, open_for=10, per_target=True, ramp=0)
    live = registry(told).sync([Upstream("users", (target(1), target(2)), breaker=policy)], 0)["users"]
    assert live.breaker is None
    for _ in range(20):
        admit(live, 1, CallResult.FAILED, failing=1)
    assert live.targets[0].breaker is not None
    assert live.targets[0].breaker.state is BreakerState.OPEN
    assert {admit(live, 5) for _ in range(10)} == {2}
    assert told.events == [("breaker.opened", "users/127.0.0.1:1")]
    assert 1 in {admit(live, 14) for _ in range(10)}, "its probe may go"


def test_when_every_target_has_its_circuit_open_the_soonest_try_is_said() -> None:
    policy = BreakerPolicy(min_requests=1, open_for=10, per_target=True)
    live = registry().sync([Upstream("users", (target(1), target(2)), breaker=policy)], 0)["users"]
    for _ in range(2):
        admit(live, 1, CallResult.FAILED)
    refused = live.admit(anyone(), 1)
    assert isinstance(refused, Open)
    assert 7 <= refused.retry_after <= 13


def test_the_circuit_of_an_upstream_refuses_without_a_target() -> None:
    live = registry().sync([replace(THREE, breaker=BreakerPolicy(min_requests=1))], 0)["users"]
    admit(live, 1, CallResult.FAILED)
    assert isinstance(live.admit(anyone(), 1), Open)
    assert sum(t.active for t in live.targets) == 0


def test_a_circuit_whose_targets_are_all_drained_loses_no_probe_lease() -> None:
    pool = registry()
    live = pool.sync([replace(THREE, targets=(target(1),), breaker=BreakerPolicy(min_requests=1))], 0)["users"]
    admit(live, 1, CallResult.FAILED)
    pool.drain("users", "127.0.0.1:1", "deploy", None, 1)
    assert live.admit(anyone(), 20) is None
    pool.undrain("users", "127.0.0.1:1", "done", 20)
    assert admit(live, 20) == 1


def test_peak_ewma_learns_from_finished_requests() -> None:
    live = registry().sync([Upstream("users", (target(1), target(2)), Balance("peak_ewma"))], 0)["users"]
    slow = 0
    for i in range(200):
        now = 1 + i / 100
        chosen = live.choose(None, now)
        assert chosen is not None
        chosen.started()
        chosen.finished(CallResult.OK, 0.5 if chosen.declared.port == 1 else 0.01, now)
        slow += chosen.declared.port == 1
    assert slow <= 2


def test_what_is_in_flight_is_known_whatever_happened() -> None:
    live = registry().sync([THREE], 0)["users"]
    for result in CallResult:
        chosen = live.choose(None, 1)
        assert chosen is not None
        chosen.started()
        chosen.finished(result, 0.01, 1)
    assert sum(t.active for t in live.targets) == 0
    assert sum(t.window.totals(1)[0] for t in live.targets) == 3, "ignored ones are not counted"


def test_registered_targets_are_reached_with_their_upstreams_tls() -> None:
    tls = TlsToTarget(ca="ca.pem", cert="me.pem", key="me.key")
    pool = registry()
    live = pool.sync([replace(THREE, tls=tls)], 0)["users"]
    named = replace(parse_target("https://10.0.0.7:443"), tls=TlsToTarget(server_name="orders.internal"))
    found = (named, parse_target("https://10.0.0.8:443"), parse_target("http://10.0.0.9:80"))
    pool.discover("registration", {"users": Discovered(found)}, 1)
    assert [t.declared.tls for t in live.targets[3:]] == [replace(tls, server_name="orders.internal"), tls, None]


def test_a_time_that_has_passed_is_shown_the_same_however_often_it_is_looked_at() -> None:
    """Else every circuit would be told to every console each second: the two clocks are never read at one instant."""
    shown = {
        UpstreamMoment(100.0 + second + jitter, 5000.0 + second).stamp(42.1234)
        for second in range(50)
        for jitter in (0.0, 2e-5)
    }
    assert shown == {4942.123}
    assert UpstreamMoment(100.0, 5000.0).stamp(float("inf")) is None
