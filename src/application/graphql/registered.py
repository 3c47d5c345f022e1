"""Documents that an operator registered: by id, and by the digest of their text."""

from __future__ import annotations

from collections.abc import Mapping

from spork.domain.graphql.identity import digest_of


class Registered:
    """The documents of a manifest. `by_id` holds texts by id and by digest; `digests` are of all texts."""

    __slots__ = ("by_id", "digests")

    def __init__(self, documents: Mapping[str, str] | None = None) -> None:
        self.by_id: dict[str, str] = {}
        digests = set()
        for given, text in (documents or {}).items():
            digest = digest_of(text)
            digests.add(digest)
            self.by_id[digest] = text
            self.by_id.setdefault(given.removeprefix("sha256:"), text)
        self.digests = frozenset(digests)


NOTHING = Registered()
