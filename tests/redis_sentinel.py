"""A real Redis master with a replica and a Sentinel that watches them, on loopback."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.servers import RedisProcess, free_port, listening, redis_binary, redis_process, wait_until

SERVICE = "limits"


@dataclass
class Watched:
    """`url` leads to whoever is master."""

    master: RedisProcess
    replica: RedisProcess
    sentinel_port: int

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel_port}/{SERVICE}"

    def current_master(self) -> int:
        with redis.Redis(port=self.sentinel_port) as sentinel:
            return int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def replicated(self) -> bool:
        """Whether the replica has everything the master has."""
        with redis.Redis(port=self.replica.port) as client:
            return bool(client.info("replication")["master_link_status"] == "up")


@contextlib.contextmanager
def redis_watched_by_sentinel() -> Iterator[Watched]:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_process())
        replica = stack.enter_context(redis_process("--replicaof", "127.0.0.1", str(master.port)))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        port = free_port()
        path = Path(directory) / "sentinel.conf"
        path.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\nprotected-mode no\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n"
        )
        process = subprocess.Popen(
            [str(redis_binary()), str(path), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        watched = Watched(master, replica, port)
        wait_until(lambda: listening(port), 10, "the sentinel")
        wait_until(watched.replicated, 20, "replication")

        def knows_the_replica() -> bool:
            with redis.Redis(port=port) as sentinel:
                return len(sentinel.execute_command("SENTINEL", "REPLICAS", SERVICE)) == 1

        wait_until(knows_the_replica, 20, "the sentinel's view of the replica")
        yield watched
