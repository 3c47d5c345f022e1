"""The line at the bottom for `:` commands and `/` filters, with completion and its own history."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.message import Message
from textual.widgets import Input

HISTORY = 100


class CommandLine(Input):
    """Shown while something is typed. Enter submits, escape leaves, tab completes, up and down recall."""

    class Typed(Message):
        """What was typed so far."""

        def __init__(self, mode: str, text: str) -> None:
            super().__init__()
            self.mode = mode
            self.text = text

    class Done(Message):
        """Enter (`text`) or escape (None)."""

        def __init__(self, mode: str, text: str | None) -> None:
            super().__init__()
            self.mode = mode
            self.text = text

    def __init__(self, complete: Callable[[str], list[str]]) -> None:
        super().__init__(id="command-line", compact=True, select_on_focus=False)
        self.mode = ":"
        self.complete = complete
        self._history: dict[str, list[str]] = {":": [], "/": []}
        self._at = 0
        self.last_key: events.Key | None = None
        """The last key that reached this line: what comes by later was not for the screen."""

    def begin(self, mode: str, text: str = "") -> None:
        self.mode = mode
        self.value = text
        self.cursor_position = len(text)
        self._at = len(self._history[mode])
        self.screen.set_focus(self)  # at once, not queued as focus() does: the next key must find it

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(self.Typed(self.mode, self.value))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        past = self._history[self.mode]
        if self.value and (not past or past[-1] != self.value):
            past.append(self.value)
            del past[:-HISTORY]
        self.post_message(self.Done(self.mode, self.value))

    async def on_key(self, event: events.Key) -> None:
        self.last_key = event
        if event.key == "escape":
            self.post_message(self.Done(self.mode, None))
        elif event.key == "tab":
            self._complete()
        elif event.key in ("up", "down"):
            self._recall(-1 if event.key == "up" else 1)
        elif event.key == "backspace" and not self.value:
            self.post_message(self.Done(self.mode, None))
        else:
            return
        event.stop()
        event.prevent_default()

    def _complete(self) -> None:
        if self.mode != ":":
            return
        choices = self.complete(self.value)
        if not choices:
            return
        if self.value in choices:
            self.value = choices[(choices.index(self.value) + 1) % len(choices)]
        else:
            shared = _shared(choices)
            self.value = shared if len(shared) > len(self.value) else choices[0]
        self.cursor_position = len(self.value)

    def _recall(self, step: int) -> None:
        past = self._history[self.mode]
        self._at = max(0, min(len(past), self._at + step))
        self.value = past[self._at] if self._at < len(past) else ""
        self.cursor_position = len(self.value)


def _shared(choices: list[str]) -> str:
    first, last = min(choices), max(choices)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]
