"""The last good OpenAPI documents of upstreams, one file each in `state_dir/openapi`. Implements `Shelf`."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]")


class OpenApiShelf:
    """Files are replaced as a whole, so that several workers may write the same one."""

    def __init__(self, state_dir: str) -> None:
        self._folder = Path(state_dir) / "openapi"

    def load(self, upstream: str) -> bytes | None:
        try:
            return self._file(upstream).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, upstream: str, text: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._file(upstream)
        written = target.with_suffix(f".{os.getpid()}.new")
        written.write_bytes(text)
        written.replace(target)

    def _file(self, upstream: str) -> Path:
        mark = hashlib.sha256(upstream.encode()).hexdigest()[:8]
        return self._folder / f"{_NOT_NAME.sub('_', upstream)[:60]}-{mark}.json"
