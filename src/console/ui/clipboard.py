"""Copying through the terminal (OSC 52), which works over SSH: capped, and wrapped for tmux and screen."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping

CAP = 74_994
"""Most bytes of text; terminals drop longer sequences without a word."""


def osc52(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The sequence that copies `text`, or '' and why not."""
    raw = text.encode()
    if len(raw) > CAP:
        return "", f"too long to copy: {len(raw)} bytes, at most {CAP}"
    sequence = f"\x1b]52;c;{b64encode(raw).decode()}\a"
    if environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\", ""
    if environ.get("TERM", "").startswith("screen"):
        return "\x1bP" + sequence + "\x1b\\", ""
    return sequence, ""


class Clipboard:
    """The clipboard of the terminal. The console keeps nothing of what it sends there."""

    def __init__(self, environ: Mapping[str, str], to_terminal: Callable[[str], None]) -> None:
        self._environ = environ
        self._write = to_terminal

    def to_terminal(self, text: str) -> str:
        """Copy; answers why it cannot be done, '' if it was."""
        sequence, why = osc52(text, self._environ)
        if sequence:
            self._write(sequence)
        return why
