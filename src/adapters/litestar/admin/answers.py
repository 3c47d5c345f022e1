"""Which answers each kind of call may give, for the API description."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457. `errors`, `needs`, `current` and `rev` come with 422, 403, 409 and 412."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, object]] = []
    needs: str = ""
    current: str = ""
    rev: int = 0


class _Answer(ResponseSpec):
    """Litestar copies what handlers are made of, deeply and several times; nobody changes these, so they are shared."""

    def __deepcopy__(self, memo: object) -> _Answer:
        return self


def _spec(description: str) -> ResponseSpec:
    return _Answer(
        data_container=Problem, description=description, media_type="application/problem+json", generate_examples=False
    )


_ACCESS = {
    400: _spec("The request is malformed"),
    401: _spec("No valid token"),
    403: _spec("The token's role does not allow this; `needs` names the role"),
    429: _spec("Too many failed attempts from this address; Retry-After says when to ask again"),
}
_FOUND = {
    404: _spec("There is no such thing"),
    422: _spec("A parameter or the body is not acceptable; `errors` says which"),
    503: _spec("The part that would answer is not there, or its store is gone; Retry-After"),
}
READ: dict[str, Any] = {"responses": _ACCESS | _FOUND, "raises": None}
_WRITE = {
    409: _spec("It is in another state; `current` says which"),
    412: _spec("It has changed since the revision in If-Match; `rev` is the present one"),
    413: _spec("The body is too large"),
}


def writing(role: str, act: str) -> dict[str, Any]:
    """Keywords of a handler that changes something."""
    return {
        "responses": _ACCESS | _FOUND | _WRITE,
        "opt": {"role": role, "act": act},
        "status_code": 200,
        "raises": None,
    }
