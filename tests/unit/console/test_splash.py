"""The picture before the UI: where the UI will paint the same, in the terminal's width, and harmless."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from spork.console.gateway.contexts import Context
from spork.console.pictures import status
from spork.console.plain import splash as opening
from spork.console.session.store import Store
from spork.console.session.tiers import Lock
from spork.console.text.colours import THEMES
from spork.console.text.freshness import Freshness
from spork.console.text.spans import line_cells, plain
from tests.servers import python_env

AT = 1_795_262_671.0
LOCAL = Context("prod-eu1", "http://127.0.0.1:9000", production=True)


def test_the_ui_paints_the_same_header_over_it() -> None:
    picture = opening.lines(LOCAL, AT, 120, 36)
    later = status.header(Store(), LOCAL, Lock(), Freshness("WAITING", None), 0.0, AT, 120)
    ours, theirs = plain(picture[0][0]), plain(later)
    assert ours.split("CONNECTING")[0].split() == theirs.split("CONNECTING")[0].split()
    assert "CONNECTING" in ours
    assert "PROD" in ours
    assert "Pulse" in plain(picture[1][0])


@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24), (20, 5), (1, 2)])
@pytest.mark.parametrize("colours", [None, THEMES["dark"], THEMES["light"]])
def test_it_fits(width: int, height: int, colours: object) -> None:
    picture = opening.lines(Context("c" * 300, "http://" + "h" * 300), AT, width, height)
    assert len(picture) == height or height < 6
    assert all(line_cells(line) <= width for line, _ in picture)
    drawn = opening.drawn(picture, width, colours)  # type: ignore[arg-type]
    rows = re.sub(r"\x1b\[[0-9;]*m", "", drawn).split("\r\n")
    assert {len(row) for row in rows} == {width}
    assert "\x1b" not in "".join(rows)


def test_colours_are_used_only_where_they_come_out_exactly() -> None:
    able = {"COLORTERM": "truecolor"}
    assert opening.exact_colours("dark", able) is THEMES["dark"]
    assert opening.exact_colours("dark", {}) is None
    assert opening.exact_colours("ansi", able) is None
    assert opening.exact_colours("dark", able | {"NO_COLOR": "1"}) is None


def test_it_needs_no_ui_library_and_no_rows() -> None:
    """It is worth having only while it comes long before what it bridges."""
    code = (
        "import sys, spork.console.__main__, spork.console.plain.splash\n"
        "assert not {'textual', 'rich', 'httpx', 'asyncio', 'msgspec', 'spork.application.views'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=python_env(), timeout=30)
