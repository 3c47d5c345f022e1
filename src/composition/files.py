"""Checks of the files and folders that a configuration names for TLS, logs and state: what `serve` would stumble over.

Read here as the server reads them, so that `spork check` and a reload find what would else be a traceback at start.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from spork.adapters.cryptography.certificates import names_of
from spork.application.configuration.model import CertificatePair, Configuration
from spork.application.configuration.problems import Diagnostic, child
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.tls import client_context
from spork.domain.upstreams.model import TlsToTarget


def file_problems(configuration: Configuration) -> Iterator[Diagnostic]:
    """Everything named that is there and cannot be used. Files that are missing are found elsewhere."""
    shown = [("tls", configuration.tls)]
    shown += [(f"listeners[{index}].tls", listener.tls) for index, listener in enumerate(configuration.listeners)]
    for path, tls in shown:
        if tls is not None:
            yield from _pair_problems(path, tls.cert, tls.key)
            yield from _trust_problems(f"{path}.client_ca", tls.client_ca)
            for index, pair in enumerate(tls.certificates):
                yield from _further_problems(f"{path}.certificates[{index}]", pair)
    for issuer in configuration.issuers:
        yield from _trust_problems(child(child("issuers", issuer.name), "ca"), issuer.ca)
    for upstream in configuration.upstreams:
        path = child("upstreams", upstream.name)
        wanted = [(f"{path}.tls", upstream.tls)]
        wanted += [(f"{path}.targets[{i}].tls", t.tls) for i, t in enumerate(upstream.targets) if t.tls is not None]
        seen: set[TlsToTarget] = set()
        for where, to_target in wanted:
            named = [name for name in (to_target.ca, to_target.cert, to_target.key) if name]
            if to_target in seen or not named or not all(os.path.isfile(name) for name in named):
                continue
            seen.add(to_target)
            try:
                client_context(to_target)
            except FaultError as error:
                yield Diagnostic(where, f"cannot be used: {error.fault.note}", "look at its PEM files")
    yield from _log_problems(configuration.access_log)
    yield from _folder_problems(configuration.state_dir)


def _pair_problems(path: str, cert: str, key: str) -> Iterator[Diagnostic]:
    if not (os.path.isfile(cert) and os.path.isfile(key)):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield Diagnostic(f"{path}.key", f"{key!r} is the key of another certificate than {cert!r}", "name its own")
            return
        bad = "key" if _holds(cert, b"CERTIFICATE") and not _holds(key, b"PRIVATE KEY") else "cert"
        name = key if bad == "key" else cert
        yield Diagnostic(f"{path}.{bad}", f"{name!r} is no PEM file that can be used: {error.reason or error}")
    except (OSError, ValueError) as error:
        yield Diagnostic(path, f"cannot be read: {error}")


def _further_problems(path: str, pair: CertificatePair) -> Iterator[Diagnostic]:
    found = list(_pair_problems(path, pair.cert, pair.key))
    yield from found
    if not found and os.path.isfile(pair.cert) and not names_of(pair.cert):
        yield Diagnostic(
            f"{path}.cert", f"{pair.cert!r} is for no DNS name, so nobody can ask for it", "issue it for one"
        )


def _holds(name: str, kind: bytes) -> bool:
    try:
        return kind + b"-----" in Path(name).read_bytes()
    except OSError:
        return False


def _trust_problems(path: str, name: str | None) -> Iterator[Diagnostic]:
    if not name or not os.path.isfile(name):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(name)
    except (OSError, ValueError) as error:
        yield Diagnostic(path, f"{name!r} holds no certificates that can be used: {error}")


def _log_problems(name: str) -> Iterator[Diagnostic]:
    if name in ("off", "stdout", "stderr"):
        return
    try:
        if stat.S_ISFIFO(os.stat(name).st_mode):
            os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK))
        elif os.path.isdir(name):
            yield Diagnostic("access_log", f"{name!r} is a directory", "name a file in it")
        elif not os.access(name, os.W_OK):
            yield Diagnostic("access_log", f"{name!r} cannot be written")
    except FileNotFoundError:
        folder = os.path.dirname(name) or "."
        if not os.path.isdir(folder):
            yield Diagnostic("access_log", f"there is no directory {folder!r}", "make it, or name another file")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield Diagnostic("access_log", f"no file can be made in {folder!r}")
    except OSError as error:
        why = "nobody reads this pipe" if stat.S_ISFIFO(os.stat(name).st_mode) else error.strerror
        yield Diagnostic("access_log", f"{name!r} cannot be opened: {why}", "start its reader first, or name a file")


def _folder_problems(name: str) -> Iterator[Diagnostic]:
    at = os.path.abspath(name)
    while not os.path.lexists(at):
        at = os.path.dirname(at)
    if not os.path.isdir(at):
        yield Diagnostic("state_dir", f"{at!r} is no directory", "name another one")
    elif not os.access(at, os.W_OK | os.X_OK) or _is_virtual(at):
        yield Diagnostic("state_dir", f"nothing can be kept in {at!r}", "name another directory")


def _is_virtual(folder: str) -> bool:
    """Folders of the kernel's own, which say that root may write and then refuse."""
    return folder == "/proc" or folder.startswith(("/proc/", "/sys/"))
