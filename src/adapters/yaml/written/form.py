"""The form every written mapping has."""

from __future__ import annotations

import msgspec


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping an operator writes. An unknown key is an error."""
