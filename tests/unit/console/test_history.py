"""Where the operator has been."""

from __future__ import annotations

from spork.console.ui.history import MOST, History


def visited(*names: str) -> History:
    history = History()
    for name in names:
        history.visit((name, ""))
    return history


def test_back_and_forward_walk_the_places() -> None:
    history = visited("pulse", "breakers", "quotas")
    assert history.back()
    assert history.here == ("breakers", "")
    assert history.forward()
    assert history.here == ("quotas", "")
    assert not history.forward()
    assert history.back() and history.back()
    assert not history.back()
    assert history.here == ("pulse", "")


def test_a_visit_forgets_what_lay_forward_and_remembers_the_view_before() -> None:
    history = visited("pulse", "breakers", "quotas")
    history.back()
    history.visit(("routes", ""))
    assert not history.forward()
    assert history.before == ("breakers", "")
    assert not history.visit(("routes", ""))
    assert history.before == ("breakers", "")


def test_it_is_bounded_and_empty_at_first() -> None:
    assert History().here is None
    history = visited(*(f"place-{number}" for number in range(3 * MOST)))
    steps = 0
    while history.back():
        steps += 1
    assert steps == MOST - 1
