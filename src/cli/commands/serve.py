"""`spork serve`."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import click

from spork.cli.commands.options import chosen_config, config_option


def worker_count(text: str) -> int:
    """How many workers `text` asks for. Raises click.BadParameter."""
    if text == "auto":
        from spork.adapters.system.processors import usable_processors

        return min(usable_processors(), 64)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 64):
        raise click.BadParameter(f"{text!r} is neither auto nor a number from 1 to 64")
    return int(text)


@click.command()
@config_option
@click.option(
    "--workers",
    default="1",
    show_default=True,
    envvar="SPORK_WORKERS",
    callback=lambda context, option, text: worker_count(text),
    help="Worker processes: a number, or auto for one per processor of the container's quota. Also SPORK_WORKERS.",
)
def serve(config: Path | None, workers: int) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads the configuration again, SIGUSR2 starts a
    successor with the same sockets and ends once it serves."""
    try:
        import httptools  # noqa: F401 - the edge reads HTTP with nothing else, so say so before anything fails deeper
    except ImportError as error:
        raise click.ClickException(
            "the httptools package is missing: install it, the gateway reads HTTP with it"
        ) from error
    from spork.adapters.edge.handover import Inherited, Successor, port_of, serving
    from spork.adapters.edge.server import CannotStart
    from spork.adapters.edge.sockets import CannotListen, listening_socket, socket_at
    from spork.adapters.edge.workers import Pulses, supervise
    from spork.adapters.structlog.application_log import log_from_a_thread, set_up_logging
    from spork.adapters.system.process import raise_descriptor_limit
    from spork.adapters.yaml.load import load
    from spork.application.configuration.checks import needs_shared_state
    from spork.application.configuration.problems import check_report
    from spork.application.pipeline import forwarder as forward
    from spork.composition.decisions import decision_socket
    from spork.composition.material import material_problems
    from spork.composition.process import Sockets, run
    from spork.composition.records import RecordsNotReady

    set_up_logging()
    raise_descriptor_limit()
    path = chosen_config(config)
    loaded = load(path, os.environ, material_problems)
    if loaded.problems:
        click.echo(check_report(loaded.problems), err=True)
    configuration = loaded.configuration
    if configuration is None:
        raise SystemExit(1)
    if workers > 1 and (needs := needs_shared_state(configuration)):
        reasons = "".join(f"\n  - {reason}" for reason in needs)
        raise click.ClickException(
            f"--workers {workers} needs state that processes share, and `shared: memory` is one process's own:{reasons}\n"
            "Set `shared: redis://HOST:6379/0`, or serve with one worker."
        )
    inherited = Inherited(os.environ)

    def listening(name: str, host: str, port: int) -> socket.socket:
        return inherited.take(name, port) or listening_socket(host, port)

    try:
        data = listening("data", configuration.host, configuration.port)
        admin = configuration.admin
        sockets = Sockets(
            data,
            listening("admin", admin.host, admin.port) if admin.enabled else None,
            decision_socket(configuration.decisions, inherited.take),
            tuple(
                inherited.take(f"listener-{index}", port_of(listener.listen)) or socket_at(listener.listen)
                for index, listener in enumerate(configuration.listeners)
            ),
        )
        inherited.close()
    except CannotListen as error:
        asked = (error.host, error.port)
        option = "decisions.listen"
        for index, listener in enumerate(configuration.listeners):
            if listener.listen in (error.host, f"{error.host}:{error.port}", f"[{error.host}]:{error.port}"):
                option = f"listeners[{index}].listen"
        if asked == (configuration.host, configuration.port):
            option = "listen"
        elif asked == (admin.host, admin.port):
            option = "admin.listen"
        raise click.ClickException(f"{error}. End it, or set another address with {option}.") from error

    def started() -> None:
        how = "" if forward.__file__.endswith(".py") else " (request path compiled)"
        click.echo(f"spork serves http://{configuration.host}:{configuration.port}{how}", err=True)
        serving(os.environ)

    os.environ["SPORK_MAIN_PID"] = str(os.getpid())
    os.environ["SPORK_RUN"] = f"{os.getpid()}-{int(time.time() * 1000)}"

    pulses = Pulses(workers)

    def work(index: int) -> None:
        log_from_a_thread()  # after the fork: threads do not survive it
        if workers > 1:
            os.environ["SPORK_WORKER"] = str(index)
        try:
            run(configuration, path, sockets, started if index == 0 else None, lambda: pulses.beat(index))
        except (CannotStart, RecordsNotReady) as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(1) from error
        except OSError as error:  # a file or folder that was usable when it was checked
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {place}{error.strerror or error}", err=True)
            raise SystemExit(1) from error

    if workers == 1:
        work(0)
    else:
        raise SystemExit(supervise(workers, work, pulses, sockets.close, lambda: Successor(sockets.named())))
