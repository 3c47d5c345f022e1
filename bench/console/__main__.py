"""The console measured: `python -m bench.console [start|load|soak|consoles ...] [--seconds 30] [--rows 10000] [--events 200]`.

    start      first paint, beside a bare Textual application
    load       beats of the pump, key to paint, loop lag, CPU, with 10 000 quota windows and 200 changes a second; then idle
    soak       an hour's worth of changes through a console: memory, loop lag, what was dropped
    consoles   what ten attached consoles cost the gateway per request

Without a name: start and load. Times are wall and CPU: a shared machine stretches the first.
"""

from __future__ import annotations

import argparse
import asyncio

from bench.console.parts import scripted_gateway

ROUND_SECONDS = 2.0
NAMES = ("start", "load", "soak", "consoles")


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m bench.console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", nargs="*", default=["start", "load"], metavar="|".join(NAMES))
    options.add_argument("--seconds", type=float, default=30, help="of load")
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--events", type=int, default=200)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--hours", type=float, default=1.0, help="of the soak")
    given = options.parse_args()
    for what in given.what:
        if what not in NAMES:
            options.error(f"{what}: there are {', '.join(NAMES)}")
    for what in given.what:
        print(f"-- {what}", flush=True)
        run(what, given)


def run(what: str, given: argparse.Namespace) -> None:
    if what == "consoles":
        from bench.console import consoles

        consoles.run(given.rounds, ROUND_SECONDS)
        return
    with scripted_gateway(given.rows, given.events) as gateway:
        if what == "start":
            from bench.console import starting

            starting.report(starting.measure(gateway.url, given.rounds))
        elif what == "load":
            from bench.console import load

            print(
                f"{given.rows} quota windows, 1000 targets, 500 breakers, {given.events} changes/s, {given.seconds:.0f} s"
            )
            print("\n".join(asyncio.run(load.drive(gateway, given.seconds))))
        else:
            from bench.console import soak

            print("\n".join(asyncio.run(soak.drive(gateway, given.hours, given.events))))


if __name__ == "__main__":
    main()
