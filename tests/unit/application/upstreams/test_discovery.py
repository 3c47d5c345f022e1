"""Targets that are found: names over a real DNS exchange, a file that is edited, broken and removed."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from spork.adapters.dnspython.resolver import DnsResolver
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.system.clock import SystemClock
from spork.application.upstreams.discovery import Names, ServiceRecord, WatchedFile, read_targets
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.upstreams.model import Upstream, parse_target
from tests.name_server import name_server


def registry() -> UpstreamRegistry:
    chance = random.Random(1).random
    return UpstreamRegistry(MemoryCircuitBreakers(chance), chance)


def found(pool: UpstreamRegistry, name: str) -> list[tuple[str, int, int, int]]:
    """(host, port, weight, priority) of an upstream's targets."""
    live = pool.get(name)
    assert live is not None
    return [(t.declared.host, t.declared.port, t.declared.weight, t.declared.priority) for t in live.targets]


class Answers:
    """A resolver with settable answers."""

    def __init__(self) -> None:
        self.names: dict[str, Sequence[str]] = {}
        self.records: dict[str, Sequence[ServiceRecord]] = {}

    async def addresses(self, name: str) -> Sequence[str]:
        if name not in self.names:
            raise OSError(name)
        return self.names[name]

    async def services(self, name: str) -> Sequence[ServiceRecord]:
        if name not in self.records:
            raise OSError(name)
        return self.records[name]


def watching(*urls: str) -> tuple[UpstreamRegistry, Answers, Names]:
    pool, answers = registry(), Answers()
    declared = Upstream("users", tuple(parse_target(url) for url in urls))
    pool.sync([declared], 0)
    return pool, answers, Names(pool, answers, SystemClock(), lambda: [declared])


async def test_one_target_per_address_beside_those_that_are_listed() -> None:
    pool, answers, names = watching("http://10.0.0.9:80", "dns://users.internal:8080/api")
    answers.names["users.internal"] = ["10.0.0.2", "10.0.0.1", "fd00::1"]
    await names.refresh()
    assert found(pool, "users") == [
        ("10.0.0.9", 80, 1, 0),
        ("10.0.0.1", 8080, 1, 0),
        ("10.0.0.2", 8080, 1, 0),
        ("fd00::1", 8080, 1, 0),
    ]
    live = pool.get("users")
    assert live is not None
    looked_up = live.targets[1].declared
    assert (looked_up.authority, looked_up.base_path) == (b"users.internal:8080", b"/api")
    assert live.targets[3].name == "[fd00::1]:8080"


async def test_a_look_up_that_fails_or_is_empty_keeps_the_last_good_answer() -> None:
    pool, answers, names = watching("dns://users.internal:80")
    await names.refresh()
    assert found(pool, "users") == []
    answers.names["users.internal"] = ["10.0.0.1", "10.0.0.2"]
    await names.refresh()
    live = pool.get("users")
    assert live is not None
    before = list(live.targets)
    answers.names["users.internal"] = []
    await names.refresh()
    answers.names.clear()
    await names.refresh()
    assert live.targets == before
    answers.names["users.internal"] = ["10.0.0.2", "10.0.0.3"]
    await names.refresh()
    assert [t.declared.host for t in live.targets] == ["10.0.0.2", "10.0.0.3"]
    assert live.targets[0] is before[1], "an address that stays keeps its state"


async def test_names_of_a_new_configuration_are_looked_up_at_once() -> None:
    pool, answers, _ = watching("http://10.0.0.9:80")
    declared: list[Upstream] = []
    names = Names(pool, answers, SystemClock(), lambda: declared, every=60)
    await names.open()
    answers.names["users.internal"] = ["10.0.0.1"]
    declared.append(Upstream("users", (parse_target("dns://users.internal:80"),)))
    pool.sync(declared, 1)
    async with asyncio.timeout(5):
        while not found(pool, "users"):
            await asyncio.sleep(0.005)
    assert found(pool, "users") == [("10.0.0.1", 80, 1, 0)]
    await names.close()


async def test_service_records_bring_ports_weights_and_spares() -> None:
    pool, answers, names = watching("srv+https://_http._tcp.users.internal")
    answers.records["_http._tcp.users.internal"] = [
        ServiceRecord("b.users.internal", 9002, 20, 0),
        ServiceRecord("a.users.internal", 9001, 10, 5),
    ]
    answers.names |= {"a.users.internal": ["10.0.0.1"], "b.users.internal": ["10.0.0.2"]}
    await names.refresh()
    assert found(pool, "users") == [("10.0.0.1", 9001, 5, 0), ("10.0.0.2", 9002, 1, 1)]
    live = pool.get("users")
    assert live is not None
    assert live.targets[0].declared.tls is not None
    assert live.targets[0].declared.tls.server_name == "a.users.internal"


async def test_service_records_are_asked_for_by_dns() -> None:
    with name_server() as server:
        server.records["_http._tcp.users.test", "SRV"] = ["10 60 8080 a.users.test."]
        resolver = DnsResolver([("127.0.0.1", server.port)])
        assert await resolver.services("_http._tcp.users.test") == [ServiceRecord("a.users.test", 8080, 10, 60)]
        with pytest.raises(OSError):
            await resolver.services("_http._tcp.nobody.test")


async def test_name_servers_are_asked_instead_of_the_system() -> None:
    with name_server() as server:
        server.records["both.test", "A"] = ["10.0.0.1", "10.0.0.2"]
        server.records["both.test", "AAAA"] = ["fd00::1"]
        server.records["six.test", "AAAA"] = ["fd00::2"]
        server.records["none.test", "TXT"] = ["x"]
        resolver = DnsResolver([("127.0.0.1", server.port)], timeout=0.5)
        assert sorted(await resolver.addresses("both.test")) == ["10.0.0.1", "10.0.0.2", "fd00::1"]
        assert await resolver.addresses("six.test") == ["fd00::2"]
        for name in ("localhost", "none.test", "nobody.test", "x" * 64 + ".test", "a..test"):
            with pytest.raises(OSError):
                await resolver.addresses(name)
        asked = server.asked
        assert await resolver.addresses("127.0.0.9") == ["127.0.0.9"]
        assert server.asked == asked, "an address is no name"
        server.silent = True
        with pytest.raises(OSError):
            await resolver.addresses("both.test")


async def test_without_name_servers_addresses_are_the_systems() -> None:
    resolver = DnsResolver()
    assert "127.0.0.1" in await resolver.addresses("localhost")
    with pytest.raises(OSError):
        await resolver.addresses("nobody.invalid")


def test_a_watched_file_adds_changes_and_removes(tmp_path: Path) -> None:
    pool, path = registry(), tmp_path / "targets.json"
    pool.sync([Upstream("users", (parse_target("http://10.0.0.9:80"),))], 0)
    watched = WatchedFile(path, pool, SystemClock())
    watched.refresh()
    path.write_text(json.dumps({"users": ["http://10.0.0.1:80", {"url": "http://10.0.0.2:80", "weight": 3}]}))
    watched.refresh()
    assert found(pool, "users") == [("10.0.0.9", 80, 1, 0), ("10.0.0.1", 80, 1, 0), ("10.0.0.2", 80, 3, 0)]
    path.write_text(json.dumps({"orders": ["http://10.0.0.5:80"]}))
    watched.refresh()
    assert found(pool, "users") == [("10.0.0.9", 80, 1, 0)]
    assert found(pool, "orders") == [("10.0.0.5", 80, 1, 0)]
    for broken in (
        "{",
        "[]",
        '{"orders": "http://x"}',
        '{"orders": [{"url": "ftp://x"}]}',
        '{"orders": [{"weight": 1}]}',
    ):
        path.write_text(broken)
        watched.refresh()
        assert found(pool, "orders") == [("10.0.0.5", 80, 1, 0)], broken
    os.unlink(path)
    watched.refresh()
    assert found(pool, "orders") == [("10.0.0.5", 80, 1, 0)]


async def test_a_watched_file_is_seen_to_change(tmp_path: Path) -> None:
    pool, path = registry(), tmp_path / "targets.json"
    watched = WatchedFile(path, pool, SystemClock(), every=0.01)
    await watched.open()
    path.write_text('{"orders": ["http://10.0.0.5:80"]}')
    async with asyncio.timeout(5):
        while pool.get("orders") is None:
            await asyncio.sleep(0.01)
    await watched.close()


@pytest.mark.parametrize(
    "text", ['{"a": [{"url": "http://x:1", "weight": 0}]}', '{"a": [{"url": "http://x:1", "odd": 1}]}']
)
def test_what_a_file_must_not_say(text: str) -> None:
    with pytest.raises(ValueError):
        read_targets(text)


@pytest.mark.parametrize(
    ("family", "addresses"), [("ipv4", ["10.0.0.1"]), ("ipv6", ["fd00::1"]), ("any", ["10.0.0.1", "fd00::1"])]
)
async def test_addresses_of_one_family_by_choice(family: str, addresses: list[str]) -> None:
    pool, answers = registry(), Answers()
    targets = tuple(replace(parse_target(url), family=family) for url in ("dns://a:80", "srv://_http._tcp.b"))
    declared = Upstream("users", targets)
    pool.sync([declared], 0)
    answers.names = {"a": ["fd00::1", "10.0.0.1"], "b1": ["10.0.0.1", "fd00::1"]}
    answers.records = {"_http._tcp.b": [ServiceRecord("b1", 81, 0, 1)]}
    await Names(pool, answers, SystemClock(), lambda: [declared]).refresh()
    assert sorted(row[:2] for row in found(pool, "users")) == sorted(
        (address, port) for address in addresses for port in (80, 81)
    )
