"""Copying through the terminal (OSC 52), which works over SSH: capped, and wrapped for tmux and screen."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

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
