"""The content codings of this process."""

from __future__ import annotations

from functools import cache

from spork.application.exchange.codings import Codings


@cache
def codings() -> Codings:
    """zstd, br and gzip, in the order of preference; imported when the first route asks for them."""
    from spork.adapters.brotli.coder import BROTLI
    from spork.adapters.isal.coder import GZIP
    from spork.adapters.zstandard.coder import ZSTD

    return Codings((ZSTD, BROTLI, GZIP))
