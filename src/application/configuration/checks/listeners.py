"""Checks of data listeners: their addresses, certificates, and who speaks the PROXY protocol to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from spork.application.configuration.model import Configuration, ListenerTls
from spork.application.configuration.problems import Diagnostic

IsFile = Callable[[str], bool]


def check_listeners(configuration: Configuration, is_file: IsFile | None) -> Iterator[Diagnostic]:
    if configuration.tls is not None:
        yield from _check_tls(configuration.tls, "tls", is_file)
    yield from _check_peers(configuration.proxy_protocol, "proxy_protocol")
    taken = {_address(f"{configuration.host}:{configuration.port}"): "listen"}
    if configuration.admin.enabled:
        taken.setdefault(_address(f"{configuration.admin.host}:{configuration.admin.port}"), "admin.listen")
    if configuration.decisions is not None and configuration.decisions.listen:
        taken.setdefault(_address(configuration.decisions.listen), "decisions.listen")
    for index, listener in enumerate(configuration.listeners):
        path = f"listeners[{index}]"
        at = _address(listener.listen)
        if at in taken and not at.endswith(":0"):
            yield Diagnostic(f"{path}.listen", f"is the address of {taken[at]} too", "give it another one")
        taken.setdefault(at, f"{path}.listen")
        if listener.tls is not None:
            yield from _check_tls(listener.tls, f"{path}.tls", is_file)
            if listener.redirect_https:
                yield Diagnostic(f"{path}.redirect_https", "sends clients from https to https", "take tls or it out")
        if listener.https_port != 443 and not listener.redirect_https:
            yield Diagnostic(f"{path}.https_port", "has no effect without redirect_https", "", "warning")
        if listener.https_port > 65535:
            yield Diagnostic(f"{path}.https_port", "is not a port (1 to 65535)")
        yield from _check_peers(listener.proxy_protocol, f"{path}.proxy_protocol")
        unix = listener.listen.startswith("unix:")
        if listener.proxy_protocol and unix is not ("unix" in listener.proxy_protocol):
            yield Diagnostic(
                f"{path}.proxy_protocol",
                "names peers that cannot come to this socket",
                "write [unix] for a unix socket, networks for any other",
            )


def _address(text: str) -> str:
    """One spelling of an address, to compare."""
    if text.startswith("unix:"):
        return "unix:" + os.path.abspath(text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    return f"{host.strip('[]') or '0.0.0.0'}:{port}"  # noqa: S104 - compared, not bound


def _check_tls(tls: ListenerTls, path: str, is_file: IsFile | None) -> Iterator[Diagnostic]:
    files = {f"{path}.cert": tls.cert, f"{path}.key": tls.key, f"{path}.client_ca": tls.client_ca or ""}
    for index, pair in enumerate(tls.certificates):
        files |= {f"{path}.certificates[{index}].cert": pair.cert, f"{path}.certificates[{index}].key": pair.key}
    for where, name in files.items():
        if name and is_file is not None and not is_file(name):
            yield Diagnostic(where, f"no file {name!r}", "paths are relative to the working directory")
    if tls.require_client and not tls.client_ca:
        yield Diagnostic(f"{path}.require_client", "needs client_ca to check certificates against")


def _check_peers(peers: tuple[str, ...], path: str) -> Iterator[Diagnostic]:
    for index, peer in enumerate(peers):
        if peer.endswith("/0"):
            yield Diagnostic(
                f"{path}[{index}]", "lets every client choose its own address", "name your balancers", "warning"
            )
