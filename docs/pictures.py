"""Make the pictures of docs/console.md: `python docs/pictures.py [name ...]`, or `make pictures`.

A console without a terminal is driven against a scripted gateway whose clock stands still; each picture is Textual's
own SVG, drawn to PNG with DejaVu Sans Mono. Nothing in them is a real deployment.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT)]

from tests.unit.console.fake_gateway import FakeGateway, fake_gateway  # noqa: E402

from spork.console.gateway.contexts import Context  # noqa: E402
from spork.console.session.session import ConsoleSession  # noqa: E402
from spork.console.ui.app import ConsoleApp  # noqa: E402

OUT = ROOT / "docs" / "pictures"
AT = 1_795_262_671.0
FONTS = ["/usr/share/fonts/truetype/dejavu"]


@dataclass(frozen=True)
class Shot:
    """One picture: what to press (a word in angle brackets waits for that text) and what to do to the gateway."""

    name: str
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (120, 36)
    theme: str = "dark"
    lost: bool = False
    write: bool = False
    production: bool = True
    more: dict[str, Any] = field(default_factory=dict)


WIDE, NARROW = (120, 36), (80, 24)
BILLING = "j"
REASON = ("tab", "tab", *"yearly")
SHOTS = [
    Shot("pulse"),
    Shot("pulse-80x24", size=NARROW),
    Shot("services", ("2",)),
    Shot("service", ("2", "enter")),
    Shot("target", ("2", "enter", "enter")),
    Shot("breakers", ("3",)),
    Shot("breakers-80x24", ("3",), NARROW),
    Shot("breaker", ("3", "j", "enter")),
    Shot("trip", ("3", "j", "j", "j", "T", "<Cancel>"), write=True),
    Shot("trip-80x24", ("3", "j", "j", "j", "T", "<Cancel>"), NARROW, write=True),
    Shot("reset", ("3", "j", "R", "<Cancel>"), write=True, production=False),
    Shot("issue", ("colon", *"keys", "enter", "I", "<Cancel>"), write=True),
    Shot("issue-80x24", ("colon", *"keys", "enter", "I", "<Cancel>"), NARROW, write=True),
    Shot(
        "secret",
        ("colon", *"keys", "enter", "R", "<Cancel>", *REASON, "<ready>", "tab", "tab", "enter", "<once>"),
        write=True,
        production=False,
    ),
    Shot("quotas", ("4",)),
    Shot("quota", ("4", "enter")),
    Shot("routes", ("5",)),
    Shot("explain", ("5", "enter", "enter", "<Guards>")),
    Shot("traffic", ("6",)),
    Shot("request", ("6", "j", "enter")),
    Shot("events", ("7",)),
    Shot("config", ("8",)),
    Shot("config-80x24", ("8",), NARROW),
    Shot("help", ("question_mark",)),
    Shot("help-80x24", ("question_mark",), NARROW),
    Shot("sort", ("3", "s")),
    Shot("palette", ("ctrl+p",)),
    Shot("filter", ("3", "slash", *"open|half")),
    Shot("down", lost=True),
    Shot("light", theme="light"),
    Shot("cvd", ("3",), theme="cvd"),
    Shot("ansi", theme="ansi"),
    Shot("trip-light", ("3", "j", "j", "j", "T", "<Cancel>"), write=True, theme="light"),
    Shot("card", size=(60, 20)),
    Shot("targets", ("colon", *"targets", "enter")),
    Shot("keys", ("colon", *"keys", "enter")),
    Shot("pulse-100", size=(100, 30)),
    Shot("services-80x24", ("2",), NARROW),
    Shot("service-80x24", ("2", "enter"), NARROW),
    Shot("quotas-80x24", ("4",), NARROW),
    Shot("routes-80x24", ("5",), NARROW),
    Shot("traffic-80x24", ("6",), NARROW),
    Shot("events-80x24", ("7",), NARROW),
]
IN_DOCS = (
    "pulse", "pulse-80x24", "services", "breakers", "breaker", "trip", "secret", "quotas", "explain", "traffic", "events", "config", "down",
    "light", "cvd",
)  # fmt: skip


async def take(shot: Shot, gateway: FakeGateway) -> str:
    """The SVG of one picture."""
    name = "prod-eu1" if shot.production else "staging"
    context = Context(name, gateway.url, shot.production, "admin-token")
    mono = [1000.0]
    session = ConsoleSession(context, {}, mono=lambda: mono[0], wall=lambda: AT + mono[0] - 1000.0)
    app = ConsoleApp(session, {"prod-eu1": context}, write=shot.write, theme=shot.theme)
    async with app.run_test(size=shot.size) as pilot:
        await settle(pilot, lambda: session.store.link.state == "UP")
        if shot.lost:
            gateway.stop()
            await settle(pilot, lambda: session.store.link.state == "RETRYING")
            session.store.link.attempt, session.store.link.lost_at = 5, mono[0]
            mono[0] += 42
            session.store.link.retry_at = mono[0] + 8
        else:
            mono[0] += 0.3
        for key in shot.keys:
            if key.startswith("<"):
                await settle(pilot, lambda key=key: key[1:-1] in app.export_screenshot())
            else:
                await pilot.press(key)
                await pilot.pause(0.15)
        await pilot.pause(0.4)
        app.main.pump(True)
        await pilot.pause(0.1)
        return app.export_screenshot(title=f"spork-console · {name}", simplify=True)


async def settle(pilot: Any, check: Any) -> None:
    for _ in range(600):
        if check():
            return
        await pilot.pause(0.05)
    raise SystemExit("a picture did not come to rest")


def png(svg: str) -> bytes:
    """The drawing as PNG, glyphs on their grid."""
    import resvg_py

    svg = re.sub(r"font-family: ?[^;}]+", "font-family: DejaVu Sans Mono", svg)
    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, font_dirs=FONTS, monospace_family="DejaVu Sans Mono", width=1000)
    )


def main(names: list[str]) -> None:
    OUT.mkdir(exist_ok=True)
    wanted = [shot for shot in SHOTS if shot.name in (names or IN_DOCS)]
    where = Path(names[-1]) if names and names[-1].startswith("/") else OUT
    if names == ["all"] or (names and names[0] == "all"):
        wanted = SHOTS
    for shot in wanted:
        with fake_gateway(AT) as gateway:
            svg = asyncio.run(take(shot, gateway))
        path = where / f"{shot.name}.png"
        path.write_bytes(png(svg))
        print(f"{path.name:<24} {path.stat().st_size // 1024:>5} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
