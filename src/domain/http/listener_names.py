"""The names a private listener answers to, so that a web page cannot reach it under a name of its own (DNS rebinding).

A browser that was led to a private address by somebody's DNS entry still sends that entry's name as Host. Only a name with a
dot can stand in somebody's DNS: addresses, `localhost` and single labels (a container's, a service's) are always ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from spork.domain.http.authority import authority, without_port


def answers_to(host: bytes | None, names: Iterable[str]) -> bool:
    """Whether a listener whose further names are `names` (exact, or `*.suffix`) answers a request with this Host value.

    Without a Host it does (HTTP/1.0: no browser), with one that is no authority it does not.
    """
    if host is None:
        return True
    normal = authority(host)
    if normal is None:
        return False
    name = without_port(normal).decode("ascii")
    if _is_address(name) or "." not in name or name.endswith(".localhost"):
        return True
    return any(name == wanted or (wanted[:2] == "*." and name.endswith(wanted[1:])) for wanted in names)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
