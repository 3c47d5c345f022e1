"""What a write demands before it is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.console.session.tiers import ARM_SECONDS, UNLOCK_SECONDS, Lock, allowed, gate, seconds
from spork.console.session.writes import WRITES, body, curl
from tests.unit.console import seeds

AT = 1_795_262_671.0


@given(st.integers(0, 3), st.integers(1, 20), st.booleans())
def test_a_higher_tier_production_or_more_rows_never_ask_less(tier: int, count: int, production: bool) -> None:
    here = gate(tier, "billing", count, production)
    if tier < 3:
        harder = gate(tier + 1, "billing", count, production)
        assert harder.arm_seconds >= here.arm_seconds
        assert harder.reason >= here.reason
        assert (harder.typed is not None) >= (here.typed is not None)
    if count > 1:
        assert here.typed == str(count)
        assert here.arm_seconds == ARM_SECONDS
        assert not here.quick_yes


def test_the_tiers() -> None:
    assert not gate(0, "x", 1, True).dialog
    assert gate(1, "x", 1, True).quick_yes
    assert gate(2, "x", 1, False).typed is None
    assert gate(2, "x", 1, True).typed == "x"
    assert gate(3, "x", 1, False).typed == "x"


def test_roles() -> None:
    assert allowed("admin", "operator")
    assert not allowed("operator", "admin")
    assert not allowed("viewer", "operator")
    assert not allowed("superuser", "operator")


def test_the_lock_closes_by_itself() -> None:
    lock = Lock()
    assert not lock.open(0.0)
    lock.unlock(100.0)
    assert lock.open(100.0 + UNLOCK_SECONDS - 1)
    assert not lock.open(100.0 + UNLOCK_SECONDS)
    lock.unlock(0.0)
    lock.lock()
    assert not lock.open(0.0)


@pytest.mark.parametrize(("text", "value"), [("15m", 900), ("90", 90), ("4h", 14_400), ("1d", 86_400), ("1.5h", 5400)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@given(st.text(max_size=12))
def test_no_typed_duration_upsets_it(text: str) -> None:
    try:
        assert 1 <= seconds(text) <= 30 * 86_400
    except ValueError as error:
        assert str(error)


def test_draining_the_last_healthy_target_is_tier_three() -> None:
    targets = [target for target in seeds.targets(AT) if target.upstream == "billing"]
    drain = WRITES["drain"]
    assert drain.tier_for(targets[0], targets) == 3  # the other three are down
    healthy = [replace(target, probe="up", config="active", breaker="closed", traffic="ok") for target in targets]
    assert drain.tier_for(healthy[0], healthy) == 2


def test_names_are_one_path_segment() -> None:
    row = replace(seeds.breakers(AT)[0], name="a/b c?#%2f")
    assert WRITES["trip"].path(row) == "/breakers/a%2Fb%20c%3F%23%252f/trip"


def test_inputs_are_read_or_named() -> None:
    inputs = WRITES["raise"].inputs(seeds.quotas()[0])
    assert body(inputs, {"quota": "900", "ttl": "1h", "reason": " why "}) == {
        "quota": 900,
        "ttl": 3600.0,
        "reason": "why",
    }
    with pytest.raises(ValueError, match="quota: a whole number"):
        body(inputs, {"quota": "9e9"})
    with pytest.raises(ValueError, match="for: a duration"):
        body(inputs, {"ttl": "soon"})


def test_the_curl_line_holds_no_token_and_survives_quotes() -> None:
    line = curl("http://gw:9000", "/breakers/x/trip", {"reason": "it's broken"})
    assert "$SPORK_TOKEN" in line
    assert "'{\"reason\": \"it'\\''s broken\"}'" in line


def test_every_safety_that_must_fail_is_still_where_it_is_broken() -> None:
    """`python -m tests.unit.console.must_fail` breaks each and runs its test; here only that the list has not rotted."""
    from tests.servers import ROOT
    from tests.unit.console.must_fail import BROKEN

    for broken in BROKEN:
        source = (ROOT / "src" / "console" / broken.file).read_text()
        assert source.count(broken.old) == 1, broken.safety
        assert broken.old != broken.new
        path, _, name = broken.test.partition("::")
        found = ROOT / path if path.startswith("tests/") else ROOT / "tests" / "unit" / "console" / path
        assert f"def {name}" in found.read_text()
