"""JSON bodies are read as they are written: a number in quotes is a text, and refused where a number is asked for.

Litestar reads bodies as it reads query strings, where everything is text, and would take `"5"` for 5.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request

from spork.adapters.litestar.admin.access import AdminProblem


async def strict_json(request: Request[Any, Any, Any]) -> None:
    """A hook for `before_request`: refuses a JSON body whose values are not of the types its handler declares.

    What is no JSON at all, or absent, is left to the handler. Raises AdminProblem.
    """
    declared = request.route_handler.parsed_data_field
    if declared is None:
        return
    body = await request.body()
    if not body:
        return
    try:
        _decoder(declared.annotation).decode(body)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        path = place.rstrip("`").removeprefix(".")
        raise AdminProblem(
            422, "The body is not of the form it should have.", errors=[{"path": path, "message": message}]
        ) from None
    except msgspec.DecodeError:
        return


@lru_cache(maxsize=128)
def _decoder(declared: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(declared)
