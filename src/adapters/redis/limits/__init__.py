"""The rate limiter on Redis."""

from pathlib import Path

#: The scripts of this package, one act each.
LUA = Path(__file__).parent / "lua"
