"""Edits of header fields, as declared and compiled."""

from __future__ import annotations

from dataclasses import dataclass

from spork.domain.http.head import Header


@dataclass(frozen=True, slots=True)
class HeaderEdit:
    """Header transforms of one direction, applied after the gateway's own rules: remove, then set, then add."""

    set: tuple[tuple[bytes, bytes], ...] = ()
    add: tuple[tuple[bytes, bytes], ...] = ()
    remove: frozenset[bytes] = frozenset()


class HeaderTransform:
    """A compiled `HeaderEdit`: remove, then set (replacing), then add."""

    __slots__ = ("_append", "_drop")

    def __init__(self, edit: HeaderEdit) -> None:
        self._drop = edit.remove | {name for name, _ in edit.set}
        self._append = [*edit.set, *edit.add]

    @staticmethod
    def compile(edit: HeaderEdit) -> HeaderTransform | None:
        """None when there is nothing to change."""
        return HeaderTransform(edit) if edit.set or edit.add or edit.remove else None

    def apply(self, headers: list[Header]) -> list[Header]:
        kept = [header for header in headers if header[0] not in self._drop] if self._drop else headers
        return kept + self._append
