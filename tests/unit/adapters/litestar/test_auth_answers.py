"""Answers of the auth service as they are passed on."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, get
from litestar.testing import TestClient

from spork.adapters.litestar.auth import _passed
from spork.application.callers.self_service import Passed


def test_every_cookie_of_signing_in_reaches_the_browser() -> None:
    """Set-Cookie fields cannot be joined into one (RFC 6265 3)."""
    given = Passed(200, (("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("content-type", "text/plain")), b"ok")

    @get("/login")
    async def login() -> Any:
        return _passed(given)

    with TestClient(Litestar([login])) as client:
        answer = client.get("/login")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == ("ok", "text/plain")
