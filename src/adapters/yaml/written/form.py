"""The form every written mapping has."""

from __future__ import annotations

import msgspec


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping an operator writes. An unknown key is an error."""


class WrittenPolicy(Written, frozen=True):
    """A policy of a route that says by itself what it compiles to: no translation beside it is needed."""

    def compiled(self) -> object:
        """The immutable value that the policy's guard is compiled from. Raises ValueError with a sentence for the operator."""
        raise NotImplementedError
