"""What is typed after `:`: which command it names, and what it may be completed to."""

from __future__ import annotations

from dataclasses import dataclass

from spork.console.keys.actions import COMMANDS, Command


@dataclass(frozen=True, slots=True)
class Typed:
    """A line typed after `:`, understood."""

    command: Command
    argument: str


class UnknownCommand(ValueError):
    """What was typed is no command; the message offers what comes close. `near`: something does."""

    def __init__(self, text: str, near: bool = False) -> None:
        super().__init__(text)
        self.near = near


def parse(line: str) -> Typed:
    """The command a `:` line names, by word or unique beginning. Raises UnknownCommand."""
    word, _, argument = line.strip().lstrip(":").strip().partition(" ")
    wanted = word.lower()
    exact = [c for c in COMMANDS if wanted in c.words]
    if exact:
        return Typed(exact[0], argument.strip())
    near = [c for c in COMMANDS if wanted and any(w.startswith(wanted) for w in c.words)]
    if len(near) == 1:
        return Typed(near[0], argument.strip())
    offer = ", ".join(sorted(c.words[0] for c in near)[:6])
    raise UnknownCommand(f"no command {word!r}" if not near else f"{word!r} could be {offer}", bool(near))


def complete(line: str, arguments: dict[str, list[str]]) -> list[str]:
    """What `line` may be completed to; `arguments` holds known arguments per command name."""
    word, blank, rest = line.partition(" ")
    if not blank:
        return sorted({w for c in COMMANDS for w in c.words if w.startswith(word.lower()) and len(w) > 1})
    try:
        command = parse(word).command
    except UnknownCommand:
        return []
    return [f"{word} {known}" for known in arguments.get(command.name, ()) if known.lower().startswith(rest.lower())]
