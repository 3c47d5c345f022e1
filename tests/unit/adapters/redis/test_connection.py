"""Redis URLs: what each scheme becomes, with bounded pools and times, and what is refused."""

from __future__ import annotations

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from spork.adapters.redis.store.connection import CONNECT_SECONDS, CONNECTIONS, OPERATION_SECONDS, connect


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379/2", "rediss://user:pass@redis.example:6380", "unix:///run/redis.sock"]
)
def test_one_server(url: str) -> None:
    connection = connect(url)
    assert isinstance(connection.client, Redis)
    assert isinstance(connection.pool, BlockingConnectionPool)
    assert connection.pool.max_connections == CONNECTIONS
    options = connection.pool.connection_kwargs
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (CONNECT_SECONDS, OPERATION_SECONDS)
    assert not connection.cluster
    assert "pass" not in connection.description


def test_sentinel() -> None:
    connection = connect("redis+sentinel://user:p%40ss@127.0.0.1:26379,[::1]:26380,third/service/3")
    pool = connection.pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "service"
    addresses = [
        (each.connection_pool.connection_kwargs["host"], each.connection_pool.connection_kwargs["port"])
        for each in pool.sentinel_manager.sentinels
    ]
    assert addresses == [("127.0.0.1", 26379), ("::1", 26380), ("third", 26379)]
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == (3, "p@ss")


def test_cluster() -> None:
    connection = connect("redis+cluster://127.0.0.1:7000,127.0.0.1:7001")
    assert connection.cluster
    assert isinstance(connection.client, RedisCluster)
    assert connection.pool is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1/0?timeout=2.5",
        "unix:///r.sock?db=1&timeout=2.5",
        "redis+sentinel://127.0.0.1/s/1?timeout=2.5",
    ],
)
def test_the_url_may_say_how_long_an_operation_takes(url: str) -> None:
    connection = connect(url)
    assert connection.operation == connection.pool.connection_kwargs["socket_timeout"] == 2.5
    assert connect(url, operation=1.0).operation == 1.0
    assert connect(url.partition("?")[0]).operation == OPERATION_SECONDS


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1?timeout=soon",
        "redis://127.0.0.1?timeout=0",
        "redis://127.0.0.1?timeout=61",
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "redis+sentinel://127.0.0.1:26379",
        "redis+sentinel://127.0.0.1/s/x",
        "redis+sentinel://a,,b/s",
        "redis+cluster://",
    ],
)
def test_what_is_no_redis_url(url: str) -> None:
    with pytest.raises(ValueError):
        connect(url)
