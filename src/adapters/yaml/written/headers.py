"""Edits of header fields as written."""

from __future__ import annotations

from typing import Annotated

import msgspec

from spork.adapters.yaml.scalars import HeaderName
from spork.adapters.yaml.written.form import Written


class HeaderEdits(Written, frozen=True):
    """Changes of one direction's headers: remove, then set, then add."""

    set: Annotated[dict[HeaderName, str], "Headers put in place of any of that name."] = msgspec.field(
        default_factory=dict
    )
    add: Annotated[dict[HeaderName, str], "Headers put beside any of that name."] = msgspec.field(default_factory=dict)
    remove: Annotated[tuple[HeaderName, ...], "Headers taken away."] = ()


class Headers(Written, frozen=True):
    """Header transforms, after the gateway's own rules."""

    request: Annotated[HeaderEdits, "Towards the target."] = HeaderEdits()
    response: Annotated[HeaderEdits, "Towards the client."] = HeaderEdits()
