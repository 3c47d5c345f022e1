"""Who this process is: read from the environment once, before anything is built."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The names of one gateway process. `environ` is for `${NAME}` in the configuration, and is not read for anything else."""

    #: How it is called in the fleet; stable over restarts. Workers add their number.
    node: str
    #: How the whole gateway is called, for people.
    gateway: str
    version: str
    #: This machine's name.
    host: str
    #: What the workers of one run of the gateway have in common, and no other run has.
    run: str
    #: The worker's number; empty for a gateway of one process.
    worker: str
    pid: int
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def label(self) -> str:
        """Tells this process from every other of its host; fit for a file's name."""
        return f"{self.node.replace('/', '_')}-{self.pid}"

    def same_gateway(self, node: str) -> bool:
        """Whether `node` is a worker of this very gateway, and so reads the same files."""
        return node.partition("/")[0] == self.node.partition("/")[0]

    @property
    def first(self) -> bool:
        """Whether this process does what one worker of a gateway has to do."""
        return self.worker in ("", "0")


def read_identity(port: int, environ: Mapping[str, str] | None = None) -> ProcessIdentity:
    """The identity of the process that listens on `port`: SPORK_NODE, SPORK_NAME, SPORK_RUN and SPORK_WORKER, or the host's
    name and the process's number."""
    given = os.environ if environ is None else environ
    host = socket.gethostname()
    worker = given.get("SPORK_WORKER", "")
    name = f"{given.get('SPORK_NODE') or host}:{port}"
    pid = os.getpid()
    return ProcessIdentity(
        f"{name}/{worker}" if worker else name,
        given.get("SPORK_NAME") or host,
        own_version(),
        host,
        given.get("SPORK_RUN") or f"{pid}-{int(time.time() * 1000)}",
        worker,
        pid,
        given,
    )


def own_version() -> str:
    """The version of the installed distribution; 0 when it is not installed."""
    try:
        return version("spork-gateway")
    except PackageNotFoundError:
        return "0"
