"""Going about in a recording: hold it, play it faster, go to a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spork.console.session.tiers import seconds
from spork.console.text.formats import clock
from spork.console.ui.host import Handler, Host

if TYPE_CHECKING:
    from spork.console.session.replaying import Player

STEP = 30.0
HOW = ":replay pause, play, x4, +5m, -30s, or a time such as 12:03:58"


class Replaying:
    """See the module."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._player: Player | None = host.session.player

    def handlers(self) -> dict[str, Handler]:
        return {
            "replay": self.do_replay,
            "replay_back": lambda argument: self.do_replay(f"-{STEP:.0f}s"),
            "replay_forward": lambda argument: self.do_replay(f"+{STEP:.0f}s"),
        }

    def do_replay(self, argument: str = "") -> None:
        player, asked = self._player, argument.strip().lower()
        if player is None:
            self._host.tell("no recording is played: spork-console replay FILE", "dim")
            return
        try:
            self._carry_out(player, asked)
        except ValueError as error:
            self._host.tell(f"{error}; {HOW}", "warn")
            return
        state = f"held, x{player.speed:g}" if player.paused else f"x{player.speed:g}"
        self._host.tell(f"{clock(player.now())}Z of {clock(player.start)} to {clock(player.end)}, {state}", "accent")

    def _carry_out(self, player: Player, asked: str) -> None:
        if asked in ("", "pause", "play"):
            player.pause(not player.paused if not asked else asked == "pause")
        elif asked[0] == "x":
            player.play_at(float(asked[1:]))
        elif asked[0] in "+-":
            self._go(player, player.now() + (1 if asked[0] == "+" else -1) * seconds(asked[1:]))
        else:
            self._go(player, _moment(asked, player))

    def _go(self, player: Player, at: float) -> None:
        player.seek(at)
        self._host.work(self._anew(), "context")

    async def _anew(self) -> None:
        await self._host.session.switch(self._host.session.context)
        self._host.pump(True)


def _moment(text: str, player: Player) -> float:
    """A time of day of the recording's first day, or of the next if that lies before its beginning. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
        raise ValueError(f"no moment {text!r}")
    day = datetime.fromtimestamp(player.start, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    at = day + int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
    return at if at >= player.start - 60 else at + 86_400
