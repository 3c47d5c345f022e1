"""Autobahn's fuzzing client, directly and through the gateway: `python bench/autobahn.py python2.7 -m autobahntestsuite.wstest`.

The command is what starts `wstest` (a Python 2 program with an environment of its own). Prints what each way came to and every case
that is worse through the gateway; exit 1 when there is one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.servers import free_port, gateway_process, listening, wait_until

CONFIG = """
access_log: off
edge: {{drain_delay: 0s, grace: 1s}}
upstreams: {{echo: {{targets: ["http://127.0.0.1:{port}"]}}}}
routes:
  - {{name: plain, match: /plain, upstream: echo}}
  - name: policed
    match: /policed
    upstream: echo
    websocket: {{message_bytes: 32MiB, answer_bytes: 32MiB, messages: [{{quota: 1000000, per: 1s}}], idle: 5m, ping: 30s, lifetime: 1h}}
"""
#: Too long for a look, or about compression, which the gateway passes through.
LEFT_OUT = ["9.*", "12.*", "13.*"]
#: Non-strict is lawful and depends on when packets come: of the same server two runs have other cases of it.
RANK = {"OK": 0, "NON-STRICT": 0, "INFORMATIONAL": 0, "UNIMPLEMENTED": 1}


def echo(port: int) -> None:
    async def answer(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def run() -> None:
        async with serve(answer, "127.0.0.1", port, max_size=None, compression=None, ping_interval=None):
            await asyncio.Future()

    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    asyncio.run(run())


def main(client: list[str]) -> int:
    """Run the client against the three ways; how many cases are worse through the gateway."""
    port = free_port()
    threading.Thread(target=echo, args=(port,), daemon=True).start()
    wait_until(lambda: listening(port), 10, "the echo server")
    with tempfile.TemporaryDirectory() as folder, gateway_process(CONFIG.format(port=port), Path(folder)) as gateway:
        ways = {"direct": f"{port}/", "plain": f"{gateway.port}/plain", "policed": f"{gateway.port}/policed"}
        spec = Path(folder) / "spec.json"
        servers = [{"agent": name, "url": f"ws://127.0.0.1:{way}"} for name, way in ways.items()]
        out = Path(folder) / "out"
        spec.write_text(
            json.dumps(
                {
                    "outdir": str(out),
                    "servers": servers,
                    "cases": ["*"],
                    "exclude-cases": LEFT_OUT,
                    "exclude-agent-cases": {},
                }
            )
        )
        subprocess.run([*client, "-m", "fuzzingclient", "-s", str(spec)], check=True, stdout=subprocess.DEVNULL)
        results = json.loads((out / "index.json").read_text())
    worse = 0
    for name, cases in results.items():
        print(name, len(cases), dict(Counter(case["behavior"] for case in cases.values())))
        for number, case in cases.items():
            best = results["direct"][number]
            if any(RANK.get(case[key], 2) > RANK.get(best[key], 2) for key in ("behavior", "behaviorClose")):
                print(
                    f"  {number} is {case['behavior']}/{case['behaviorClose']}, directly {best['behavior']}/{best['behaviorClose']}"
                )
                worse += 1
    return worse


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
