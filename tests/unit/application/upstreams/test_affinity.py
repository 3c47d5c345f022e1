"""What a hash balancer goes by: each caller's requests stay together, and no two callers are one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from spork.application.upstreams.affinity import key_reader
from spork.domain.http.head import RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.upstreams.model import Balance


@dataclass
class Asked:
    head: RequestHead
    client: str = "192.0.2.1"
    principal: Principal | None = None


def asked(principal: Principal | None = None, *headers: tuple[bytes, bytes]) -> Asked:
    return Asked(RequestHead("GET", b"/", None, headers, "http", b"h", "1.1", "192.0.2.1", 5), principal=principal)


def test_a_consumer_keeps_its_key_whoever_speaks_for_it() -> None:
    read = key_reader(Balance("hash", "consumer"))
    assert read is not None
    assert read(asked(Principal("alice", "jwt", "main", consumer="acme"))) == b"acme"
    assert read(asked(Principal("robot", "api_key", consumer="acme"))) == b"acme"
    assert read(asked(Principal("alice", "jwt", "main"))) == b"alice"
    assert read(asked(Principal("bob", "jwt", "main", consumer="other"))) == b"other"
    assert read(asked()) is None


@pytest.mark.parametrize(
    ("hash_on", "key"),
    [("ip", b"192.0.2.1"), ("header:X-Shard", b"7"), ("cookie:cart", b"c1"), ("header:X-None", None)],
)
def test_what_else_is_hashed(hash_on: str, key: bytes | None) -> None:
    read = key_reader(Balance("hash", hash_on))
    assert read is not None
    assert read(asked(None, (b"x-shard", b"7"), (b"cookie", b"a=b; cart=c1"))) == key


def test_other_algorithms_read_nothing() -> None:
    assert key_reader(Balance("round_robin")) is None
