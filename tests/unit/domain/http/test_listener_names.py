"""DNS rebinding: a private listener answers to its own names only."""

import pytest

from spork.domain.http.listener_names import answers_to

NAMES = ("gw.corp.example", "*.ops.example")


@pytest.mark.parametrize(
    "host",
    [None, b"127.0.0.1:9000", b"[::1]:9000", b"10.1.2.3", b"localhost:9000", b"app.localhost", b"gateway:9000",
     b"GW.corp.example.:9000", b"a.b.ops.example"],
)  # fmt: skip
def test_own_names(host: bytes | None) -> None:
    assert answers_to(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [b"evil.example:9000", b"127.0.0.1.evil.example", b"gw.corp.example.evil.example", b"ops.example", b"localhost.evil",
     b"xops.example", b"", b"a b", b"evil.example@127.0.0.1", b"127.0.0.1,evil.example"],
)  # fmt: skip
def test_names_of_others(host: bytes) -> None:
    assert not answers_to(host, NAMES)
