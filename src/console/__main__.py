"""`spork-console`: the console, and its data without a screen.

    spork-console [--url URL] [--token TOKEN] [--ctx NAME] [--write] [--poll SECONDS] [--theme NAME]
                  [--ascii] [--plain] [--no-mouse]
    spork-console get TOPIC [NAME] [-o table|json] [--check] [--filter TEXT] [--sort COLUMN] [--top N]
    spork-console watch TOPIC [-o table|json] [--count N]
    spork-console record FILE [--for DURATION] [--force]
    spork-console replay FILE [--speed N]
    spork-console contexts

Exit codes: 0 fine · 1 the named object is absent, or --check found a fault · 2 wrong usage · 3 the gateway cannot be
reached · 4 the token is refused or its role is not enough · 5 the gateway refused the request or answered nonsense.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spork.console.gateway.contexts import BadContext, Context, choose, default_path, load

if TYPE_CHECKING:
    from spork.console.session.replaying import Player

USAGE = 2
INTERRUPTED = 130
GETTABLE = (
    "services",
    "targets",
    "breakers",
    "quotas",
    "routes",
    "traffic",
    "events",
    "config",
    "limits",
    "consumers",
    "keys",
    "sessions",
    "pulse",
    "concerns",
    "nodes",
    "components",
    "objectives",
    "audit",
    "usage",
    "connections",
    "cache",
    "versions",
    "channels",
    "documents",
    "history",
)


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--url", default=argparse.SUPPRESS, help="admin API, such as http://127.0.0.1:9000")
    shared.add_argument(
        "--token", default=argparse.SUPPRESS, help="bearer token; better kept in a file, command or SPORK_ADMIN_TOKEN"
    )
    shared.add_argument("--token-file", default=argparse.SUPPRESS, metavar="FILE", help="file with the bearer token")
    shared.add_argument(
        "--ctx", default=argparse.SUPPRESS, metavar="NAME", help="a context of ~/.config/spork/console.toml"
    )
    top = argparse.ArgumentParser(
        prog="spork-console",
        description="Operator console of the Spork gateway",
        parents=[shared],
        epilog=(__doc__ or "").partition("Exit codes")[2] and "Exit codes" + (__doc__ or "").partition("Exit codes")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--write", action="store_true", help="start with writes unlocked (for ten minutes)")
    top.add_argument("--poll", type=float, metavar="SECONDS", help="no event stream, ask every so often")
    top.add_argument("--theme", choices=["dark", "light", "cvd", "ansi"], default="")
    top.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    top.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    top.add_argument(
        "--plain", action="store_true", help="no screen: the Pulse and what needs attention, as text, once"
    )
    commands = top.add_subparsers(dest="command", metavar="get|watch|record|replay|contexts")
    get = commands.add_parser("get", parents=[shared], help="print one topic and exit")
    watch = commands.add_parser(
        "watch", parents=[shared], help="print changes of one topic, a line each, until interrupted"
    )
    for command in (get, watch):
        command.add_argument("topic", choices=GETTABLE)
        command.add_argument("-o", "--output", choices=["table", "json"], default="table")
        command.add_argument("--filter", default="", help="as after / in the console")
    get.add_argument("name", nargs="?", default="", help="only this object; exit 1 if there is none")
    get.add_argument("--check", action="store_true", help="exit 1 if any row shown is in fault")
    get.add_argument("--sort", default="", metavar="COLUMN")
    get.add_argument("--top", type=int, default=200, metavar="N", help="at most so many rows")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="stop after N lines")
    record = commands.add_parser("record", parents=[shared], help="write down what a gateway tells, to be replayed")
    record.add_argument("file", help="where to (packed if its name ends in .gz)")
    record.add_argument("--for", dest="seconds", type=_duration, default=0.0, metavar="DURATION", help="such as 10m")
    record.add_argument("--force", action="store_true", help="overwrite the file")
    replay = commands.add_parser("replay", help="look at a recording as at a gateway")
    replay.add_argument("file")
    replay.add_argument("--speed", type=float, default=1.0, metavar="N", help="so many times as fast")
    commands.add_parser("contexts", help="list the contexts of the configuration file")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run; answers the exit code."""
    options = parser().parse_args(argv)
    try:
        contexts, default = load(default_path(os.environ))
        chosen = choose(
            contexts,
            default,
            os.environ,
            Path.cwd(),
            name=getattr(options, "ctx", ""),
            url=getattr(options, "url", ""),
            token=getattr(options, "token", ""),
            token_file=getattr(options, "token_file", ""),
        )
    except BadContext as error:
        print(f"spork-console: {error}", file=sys.stderr)
        return USAGE
    if options.command == "contexts":
        for name, context in contexts.items():
            print(f"{'*' if name == default else ' '} {name:<20} {context.url}{'  PROD' if context.production else ''}")
        return 0
    if options.command == "replay":
        return _replay(options, contexts)
    if options.command is not None or options.plain or os.environ.get("TERM", "") == "dumb":
        from spork.console.plain import printing

        return printing.run(options, chosen)
    return _screen(options, chosen, contexts)


def _check_columns(columns: dict[str, tuple[str, ...]]) -> None:
    """Raises BadContext for a list or a column that does not exist."""
    from spork.console.pictures.columns import BadFilter, arranged
    from spork.console.pictures.tables import TABLES

    where = f"{default_path(os.environ)}: columns"
    for name, wanted in columns.items():
        if name not in TABLES:
            raise BadContext(f"{where}: no list {name!r}; there are {', '.join(TABLES)}")
        try:
            arranged(TABLES[name], wanted)
        except BadFilter as error:
            raise BadContext(f"{where}: {error}") from error


def _duration(text: str) -> float:
    from spork.console.session.tiers import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _replay(options: argparse.Namespace, contexts: dict[str, Context]) -> int:
    from spork.console.session.recording import BadRecording
    from spork.console.session.recording import load as entries_of
    from spork.console.session.replaying import Player

    try:
        player = Player(entries_of(Path(options.file)), options.speed)
    except BadRecording as error:
        print(f"spork-console: {error}", file=sys.stderr)
        return USAGE
    return _screen(options, Context(f"REPLAY {Path(options.file).name}", "http://recording"), {}, player)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _screen(
    options: argparse.Namespace, chosen: Context, contexts: dict[str, Context], player: Player | None = None
) -> int:
    served = "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")  # textual-serve: a browser is the terminal
    if not served and (not sys.stdout.isatty() or not sys.stdin.isatty()):
        print("spork-console: no terminal; try `spork-console get services`, or --plain", file=sys.stderr)
        return USAGE
    for name in (
        () if served else ("COLUMNS", "LINES")
    ):  # exported ones would outweigh the terminal's real size, at every resize
        os.environ.pop(name, None)
    if "SSH_CONNECTION" in os.environ:
        os.environ.setdefault(
            "TEXTUAL_FPS", "15"
        )  # read once, when textual is imported; a slow link must not stall the loop
    from spork.console.keys.keymap import load_commands
    from spork.console.keys.settings import load_settings
    from spork.console.plain.splash import Splash

    try:
        commands = load_commands(default_path(os.environ))
        settings = load_settings(default_path(os.environ))
        if settings.columns:
            _check_columns(settings.columns)
    except BadContext as error:
        print(f"spork-console: {error}", file=sys.stderr)
        return USAGE
    theme = options.theme or chosen.theme or os.environ.get("SPORK_CONSOLE_THEME", "")
    for name in ("SIGTERM", "SIGHUP"):  # until the UI has its own: unwinding gives the terminal back
        signal.signal(getattr(signal, name), _end)
    try:
        with Splash(chosen, theme) as opening:
            from spork.console.session.session import ConsoleSession
            from spork.console.ui import guard
            from spork.console.ui.app import ConsoleApp

            guard.install()
            session = ConsoleSession(
                chosen, os.environ, poll=options.poll, ascii_only=options.ascii, player=player, settings=settings
            )
            known = {chosen.name: chosen} | contexts
            app = ConsoleApp(session, known, write=options.write, theme=theme, commands=commands)
            opening.hand_over()
    except KeyboardInterrupt:
        return INTERRUPTED
    app.run(mouse=not options.no_mouse)
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
