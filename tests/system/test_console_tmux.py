"""The console in a real terminal: keys as bytes, screens as tmux sees them, what leaks and what is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, missing, python_env
from tests.unit.console.fake_gateway import FakeGateway, fake_gateway
from tests.unit.console.test_degraded import HOSTILE_ROWS, poisoned


class Terminal:
    """A tmux server of the test's own with one pane."""

    def __init__(self, directory: Path) -> None:
        self.name = f"spork-{uuid.uuid4().hex[:8]}"
        self.directory = directory

    def tmux(self, *args: str) -> str:
        done = subprocess.run(["tmux", "-L", self.name, *args], capture_output=True, text=True, timeout=10)
        return done.stdout

    def run(self, command: str, width: int = 120, height: int = 36, **env: str) -> None:
        script = self.directory / "run.sh"
        variables = python_env(**env)
        kept = {name: variables[name] for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", *env) if name in variables}
        exports = "\n".join(f"export {name}='{value}'" for name, value in kept.items())
        script.write_text(
            f"cd {self.directory}\n{exports}\nprintf '\\033]2;untouched\\007'\n{command}\necho EXIT $?\nstty -a | grep -o ' -*echo ' \nexec sleep 60\n"
        )
        self.tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", str(width), "-y", str(height), f"sh {script}"
        )

    def screen(self, *options: str) -> str:
        return self.tmux("capture-pane", "-p", "-t", "t", *options)

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "t", *keys)

    def bytes(self, *hexes: str) -> None:
        self.tmux("send-keys", "-t", "t", "-H", *hexes)

    def shows(self, *words: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        for word in words:
            while word not in self.screen():
                assert time.monotonic() < deadline, f"{word!r} never came:\n{self.screen()}"
                time.sleep(0.05)  # between two looks at the screen

    def hides(self, word: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while word in self.screen():
            assert time.monotonic() < deadline, f"{word!r} stayed:\n{self.screen()}"
            time.sleep(0.05)  # between two looks at the screen

    def settles(self, seconds: float = 20.0) -> None:
        """Wait until what was pressed is painted: three looks in a row see the same."""
        deadline = time.monotonic() + seconds
        seen: list[str] = []
        while len(seen) < 3 or len(set(seen[-3:])) > 1:
            assert time.monotonic() < deadline, f"it never came to rest:\n{self.screen()}"
            seen.append(self.screen())
            time.sleep(0.1)  # between two looks: a screen at rest looks the same three times

    def value(self, format: str) -> str:
        return self.tmux("display", "-p", "-t", "t", format).strip()

    def end(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        missing("tmux")
    found = Terminal(tmp_path)
    yield found
    found.end()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with fake_gateway() as started:
        yield started


def start(
    terminal: Terminal, gateway: FakeGateway, *options: str, width: int = 120, height: int = 36, **env: str
) -> None:
    command = f"{sys.executable} -P -m spork.console --url {gateway.url} {' '.join(options)}"
    terminal.run(command, width, height, SPORK_ADMIN_TOKEN="admin-token", SPORK_CONSOLE_CONFIG="/nonexistent", **env)


def test_keys_typed_while_it_starts_are_kept(terminal: Terminal, gateway: FakeGateway) -> None:
    start(terminal, gateway)
    terminal.shows("CONNECTING")
    terminal.keys("3")
    terminal.shows("RETRY IN", "legacy")
    terminal.keys("C-q")
    terminal.shows("EXIT 0", " echo")


def test_an_interrupt_while_it_starts_leaves_the_terminal_as_it_was(terminal: Terminal, gateway: FakeGateway) -> None:
    command = f"trap : INT\n{sys.executable} -P -m spork.console --url {gateway.url}"  # the shell of the test outlives its signal
    terminal.run(command, SPORK_ADMIN_TOKEN="admin-token", SPORK_CONSOLE_CONFIG="/nonexistent")
    terminal.shows("reading http")
    terminal.keys("C-c")
    terminal.shows("EXIT 130", " echo")
    assert terminal.value("#{alternate_on}") == "0"
    assert terminal.value("#{cursor_flag}") == "1"
    assert "Traceback" not in terminal.screen()


def test_keys_resize_and_a_clean_exit(terminal: Terminal, gateway: FakeGateway) -> None:
    start(terminal, gateway)
    terminal.shows("LIVE", "Attention", "x OPEN")
    terminal.keys("3")
    terminal.shows("RETRY IN", "legacy")
    terminal.keys("/")
    terminal.keys("-l", "geo")
    terminal.shows("1 of 10")
    terminal.keys("Escape")
    terminal.shows("checkout")
    terminal.tmux("resize-window", "-t", "t", "-x", "80", "-y", "24")
    terminal.hides("FORCED BY")
    terminal.shows("RETRY IN", "? help")
    terminal.tmux("resize-window", "-t", "t", "-x", "60", "-y", "20")
    terminal.shows("needs 80x24, has 60x20")
    terminal.tmux("resize-window", "-t", "t", "-x", "120", "-y", "36")
    terminal.keys("q", "q", "q")
    terminal.shows("Attention")
    assert terminal.value("#{alternate_on}") == "1"
    terminal.keys("C-q")
    terminal.shows("EXIT 0", " echo")
    assert terminal.value("#{alternate_on}") == "0"
    assert terminal.value("#{mouse_any_flag}") == "0"
    assert terminal.value("#{cursor_flag}") == "1"
    assert "Attention" not in terminal.screen()


def test_stray_mouse_bytes_are_survived(terminal: Terminal, gateway: FakeGateway) -> None:
    """textual#6668: an X10 mouse report holds bytes that are not UTF-8."""
    start(terminal, gateway)
    terminal.shows("LIVE")
    terminal.bytes("1b", "5b", "4d", "43", "e0", "30")
    terminal.bytes("ff", "fe", "c3", "28")
    terminal.keys("3")
    terminal.shows("RETRY IN")
    assert "EXIT" not in terminal.screen()


def test_hostile_bytes_reach_no_terminal(terminal: Terminal, gateway: FakeGateway) -> None:
    for topic in HOSTILE_ROWS:
        gateway.topics[topic] = poisoned(gateway.topics[topic])
    start(terminal, gateway)
    terminal.shows("LIVE")
    for key in ("1", "2", "3", "4", "5", "6", "7"):
        terminal.keys(key)
        terminal.shows(f"{key} ")
        terminal.shows("\\x1b]2;pwned")
        terminal.keys("Enter")
        terminal.settles()
    assert "EXIT" not in terminal.screen()
    terminal.keys("C-q")
    terminal.shows("EXIT 0")  # whatever it had to say has been said
    assert terminal.value("#{pane_title}") == "untouched"


def test_a_lost_gateway_is_down_and_found_again(terminal: Terminal, gateway: FakeGateway) -> None:
    start(terminal, gateway)
    terminal.shows("LIVE")
    gateway.stop()
    terminal.shows("DOWN", "retry in")
    gateway.start()
    terminal.shows("LIVE")


def test_copying_goes_to_the_terminals_clipboard(terminal: Terminal, gateway: FakeGateway) -> None:
    start(terminal, gateway)
    terminal.tmux("set", "-s", "set-clipboard", "on")
    terminal.tmux("set", "-g", "allow-passthrough", "on")
    terminal.shows("LIVE")
    terminal.keys("3")
    terminal.shows("RETRY IN", "checkout")
    terminal.keys("y")
    terminal.shows("copied billing")


def test_no_colour_no_mouse_and_plain_terminals(terminal: Terminal, gateway: FakeGateway) -> None:
    start(terminal, gateway, "--no-mouse", "--ascii", width=80, height=24, NO_COLOR="1")
    terminal.shows("LIVE", "x OPEN")
    assert terminal.value("#{mouse_any_flag}") == "0"
    colours = {part.split("m")[0] for part in terminal.screen("-e").split("\x1b[")[1:]}
    assert all(is_grey(colour) for colour in colours), colours


def is_grey(codes: str) -> bool:
    """Do these SGR codes name no hue?"""
    parts = codes.split(";")
    for index, part in enumerate(parts):
        if part in ("38", "48") and parts[index + 1 : index + 2] == ["2"]:
            if len(set(parts[index + 2 : index + 5])) != 1:
                return False
        elif (
            part.isdigit()
            and (31 <= int(part) <= 36 or 41 <= int(part) <= 46 or 91 <= int(part) <= 96)
            and "2" not in parts
        ):
            return False
    return True


def test_a_dumb_terminal_gets_lines(gateway: FakeGateway) -> None:
    env = python_env(
        TERM="dumb", SPORK_ADMIN_TOKEN="admin-token", SPORK_CONSOLE_URL=gateway.url, SPORK_CONSOLE_CONFIG="/nonexistent"
    )
    done = subprocess.run(
        [sys.executable, "-m", "spork.console"], capture_output=True, text=True, env=env, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "x OPEN" in done.stdout
    assert os.linesep in done.stdout


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_signal_gives_the_terminal_back(terminal: Terminal, gateway: FakeGateway, name: str) -> None:
    """`kill PID` and a lost session leave no alternate screen, no mouse reports, a cursor and an echo."""
    command = f"{sys.executable} -m spork.console --url {gateway.url} --token admin-token & echo $! > pid; fg"
    terminal.run(f"set -m\n{command}")
    terminal.shows("LIVE", "Attention")
    pid = int((terminal.directory / "pid").read_text())
    subprocess.run(["kill", f"-{name}", str(pid)], check=True)
    terminal.shows("EXIT", " echo")
    assert terminal.tmux("display", "-p", "-t", "t", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}").split() == [
        "0",
        "0",
        "1",
    ]
