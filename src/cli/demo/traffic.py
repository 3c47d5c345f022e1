"""A gentle load on the demo, so that there is something to see. `python -m spork.cli.demo.traffic PORT`.

About twelve requests a second with the daily mix of a small API: mostly reads, some writes, a few mistakes, three
consumers of which one comes near its plan, and a route that is asked a little more than it grants.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

import httpx

MIX = [
    ("GET", "/api/v1/users", 30),
    ("GET", "/api/v1/users/1", 25),
    ("GET", "/api/v1/users/2", 10),
    ("GET", "/api/v1/users/99", 3),
    ("GET", "/api/v1/products", 20),
    ("GET", "/api/v1/products/1", 10),
    ("POST", "/echo/orders", 6),
    ("GET", "/echo/search?q=spork", 6),
    ("GET", "/private/orders", 14),
    ("GET", "/limited/report", 6),
    ("GET", "/nowhere", 2),
]
SHARES = (3, 2, 1)
"""How often each key is used, in the order of DEMO_KEYS."""


async def main(port: int, rate: float = 12.0) -> None:
    """Send until ended; a gateway that is away is tried again."""
    chance = random.Random()
    keys = [key for key in os.environ.get("DEMO_KEYS", "").split(",") if key]
    requests = [(method, path) for method, path, _ in MIX]
    weights = [weight for _, _, weight in MIX]
    limits = httpx.Limits(max_connections=16)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=10, trust_env=False
    ) as client:
        pending: set[asyncio.Task[None]] = set()
        while True:
            method, path = chance.choices(requests, weights)[0]
            known = keys and path.startswith("/private")
            headers = {"x-api-key": chance.choices(keys, SHARES[: len(keys)])[0]} if known else {}
            task = asyncio.create_task(_send(client, method, path, headers))
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(chance.expovariate(rate))


async def _send(client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]) -> None:
    try:
        await client.request(method, path, headers=headers, json={"item": "spork"} if method == "POST" else None)
    except httpx.HTTPError:
        await asyncio.sleep(1)


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(0)
