"""A real Redis Cluster of three masters on loopback, for contract tests."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator

import redis

from tests.servers import RedisProcess, free_port, wait_until

SLOTS = 16384


def _node_port() -> int:
    """A free port whose cluster bus (port + 10000) exists, too."""
    while True:
        port = free_port()
        if port < 55_000:
            return port


@contextlib.contextmanager
def redis_cluster(masters: int = 3) -> Iterator[list[RedisProcess]]:
    """`masters` servers that share all slots. The URL is `cluster_url(nodes)`."""
    nodes: list[RedisProcess] = []
    directories: list[str] = []
    try:
        for _ in range(masters):
            directory = tempfile.mkdtemp(prefix="spork-cluster-")
            directories.append(directory)
            node = RedisProcess(_node_port(), directory, ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
            node.start()
            nodes.append(node)
        _join(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.kill()
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)


def cluster_url(nodes: list[RedisProcess]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def _join(nodes: list[RedisProcess]) -> None:
    clients = [redis.Redis(port=node.port) for node in nodes]
    share = -(-SLOTS // len(nodes))
    for number, client in enumerate(clients):
        first, last = number * share, min((number + 1) * share, SLOTS) - 1
        client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last + 1))  # ADDSLOTSRANGE is of Redis 7
        client.execute_command("CONFIG", "SET", "cluster-announce-ip", "127.0.0.1")
    for node in nodes[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)

    def whole() -> bool:
        for client in clients:
            info = client.execute_command("CLUSTER", "INFO")
            if isinstance(info, bytes):
                info = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
            if info["cluster_state"] != "ok" or int(info["cluster_known_nodes"]) != len(nodes):
                return False
        return True

    wait_until(whole, 20, "the Redis cluster")
    for client in clients:
        client.close()
