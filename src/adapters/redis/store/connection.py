"""One way to Redis for every adapter here: standalone, Sentinel or Cluster, by the URL's scheme.

- `redis://`, `rediss://`, `unix://`: one server;
- `redis+sentinel://[user:password@]host:26379,host:26379/SERVICE[/DB]`: the master that the sentinels name;
- `redis+cluster://[user:password@]host:port,host:port`: a cluster, found from any of its nodes.

`rediss+sentinel` and `rediss+cluster` speak TLS. An operation takes at most 50 ms, or what `?timeout=SECONDS` at
the end of the URL says, and connecting 200 ms, or that if it is longer; pools are bounded. Nothing is retried here: who calls knows better whether
to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

CONNECT_SECONDS = 0.2
OPERATION_SECONDS = 0.05
CONNECTIONS = 16

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


@dataclass(frozen=True, slots=True)
class RedisConnection:
    """A connected-on-demand client. `cluster` tells which kind: keys of one call must then share a slot.

    `client` is `redis.asyncio.Redis` or `RedisCluster`; `pool` is None for a cluster. `operation` is how many seconds
    one may take.
    """

    client: Any
    pool: Any
    cluster: bool
    description: str
    operation: float = OPERATION_SECONDS

    async def close(self) -> None:
        await self.client.aclose()
        if self.pool is not None:
            await self.pool.disconnect()


def connect(url: str, connections: int = CONNECTIONS, operation: float | None = None) -> RedisConnection:
    """A client for `url`; nothing is sent yet. `operation` in seconds stands above the URL's `timeout`.

    Raises ValueError for a URL it cannot read.
    """
    url, asked = _timeout_of(url)
    operation = operation or asked
    return replace(_connect(url, connections, operation), operation=operation)


_PARTS: Final = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.S)


def _split(url: str) -> SplitResult:
    """The parts of a URL (RFC 3986 appendix B). Its authority may be several, which newer Pythons' `urlsplit` refuses as soon
    as one is an IPv6 address."""
    found = _PARTS.match(url)
    assert found is not None, "the expression matches every text"
    scheme, *rest = (part or "" for part in found.groups())
    return SplitResult(scheme.lower(), *rest)


def _timeout_of(url: str) -> tuple[str, float]:
    """The URL without its `timeout`, and the seconds it asked for."""
    parts = _split(url)
    fields = parse_qsl(parts.query)
    given = [value for name, value in fields if name == "timeout"]
    try:
        seconds = float(given[-1]) if given else OPERATION_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 60.0:
        raise ValueError("timeout in a Redis URL is seconds, more than 0 and at most 60")
    if not given:
        return url, seconds
    rest = urlencode([field for field in fields if field[0] != "timeout"])
    return parts._replace(query=rest).geturl(), seconds


def _connect(url: str, connections: int, operation: float) -> RedisConnection:
    parts = _split(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{parts.scheme or url!r} is no Redis scheme: {', '.join(SCHEMES)}")
    options: dict[str, Any] = {
        "socket_connect_timeout": max(CONNECT_SECONDS, operation),
        "socket_timeout": operation,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if parts.scheme.endswith("+cluster"):
        return _cluster(url, options, connections)
    if parts.scheme.endswith("+sentinel"):
        return _sentinel(url, options, connections)
    pool = BlockingConnectionPool.from_url(url, max_connections=connections, timeout=operation, **options)
    return RedisConnection(Redis(connection_pool=pool), pool, False, f"redis {_where(url)}")


def _cluster(url: str, options: dict[str, Any], connections: int) -> RedisConnection:
    nodes = [ClusterNode(host, port) for host, port in _hosts(url, 6379)]
    client: Any = RedisCluster(
        startup_nodes=nodes,
        max_connections=connections,
        ssl=url.startswith("rediss"),
        require_full_coverage=False,
        **_credentials(url),
        **options,
    )
    return RedisConnection(client, None, True, f"redis cluster {_where(url)}")


def _sentinel(url: str, options: dict[str, Any], connections: int) -> RedisConnection:
    path = [piece for piece in _split(url).path.split("/") if piece]
    if not path or len(path) > 2 or (len(path) == 2 and not path[1].isdigit()):
        raise ValueError("a sentinel URL ends in /SERVICE or /SERVICE/DB")
    sentinel: Any = Sentinel(_hosts(url, 26379), sentinel_kwargs={**options, "socket_timeout": CONNECT_SECONDS})  # type: ignore[no-untyped-call]
    pool: Any = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        path[0],
        sentinel,
        max_connections=connections,
        ssl=url.startswith("rediss"),
        db=int(path[1]) if len(path) == 2 else 0,
        **_credentials(url),
        **options,
    )
    return RedisConnection(Redis(connection_pool=pool), pool, False, f"redis sentinel {_where(url)}")


def _hosts(url: str, port: int) -> list[tuple[str, int]]:
    """The comma-separated hosts of a URL; urlsplit knows only one."""
    hosts = []
    for each in _split(url).netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{each}")
        if not one.hostname:
            raise ValueError("a host is missing in the Redis URL")
        hosts.append((one.hostname, one.port or port))
    return hosts


def _credentials(url: str) -> dict[str, Any]:
    userinfo = _split(url).netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    found = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in found.items() if value}


def _where(url: str) -> str:
    """The URL's hosts, without credentials, for logs and health."""
    parts = _split(url)
    return parts.netloc.rpartition("@")[2] or parts.path
