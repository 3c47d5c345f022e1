"""The whole gateway in memory: what `spork serve` composes, with a virtual clock and targets in process."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dependency_injector import providers

from spork.adapters.memory.front_door import request
from spork.adapters.memory.upstream_transport import MemoryTransport, Received, Reply
from spork.adapters.yaml.load import loads
from spork.application.configuration.problems import check_report, errors
from spork.application.kernel.faults import FaultError
from spork.composition.gateway import GatewayContainer
from spork.composition.process import running
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.testing.clock import VirtualClock

#: A target: a request in, a reply out.
Target = Callable[[Received], "Reply | Awaitable[Reply]"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Names of `headers` are lower-case; of a field that stands there twice, the values are joined by `, `."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The slug of the problem that was answered, "" for none."""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return ""
        return str(self.json()["type"]).rpartition("/" if "/" in str(self.json()["type"]) else ":")[2]


class GatewayUnderTest:
    """A gateway in memory. `received` is what its targets got, oldest first."""

    def __init__(self, container: GatewayContainer, clock: VirtualClock, transport: MemoryTransport) -> None:
        self._container = container
        self._transport = transport
        self.clock = clock

    @property
    def received(self) -> list[Received]:
        return self._transport.requests

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        client: str = "192.0.2.1",
        host: str = "gateway.test",
        scheme: str = "http",
    ) -> Answer:
        """Send one request from `client`; `path` may carry a query."""
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        if body and not any(name == b"content-length" for name, _ in fields):
            fields.append((b"content-length", str(len(body)).encode()))
        sink = await request(
            self._container.data_gateway(), method, path, fields, [body] if body else (), peer=client, host=host.encode(),
            scheme=scheme,
        )  # fmt: skip
        told: dict[str, str] = {}
        for name, value in sink.headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            told[key] = f"{told[key]}, {text}" if key in told else text
        return Answer(sink.status, told, bytes(sink.body))

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        return await self.request("GET", path, headers, **more)

    async def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        return await self.request("POST", path, headers, body, **more)

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Every sample so far: (name, label values...) to value."""
        report = await self._container.admin.monitoring().report()
        return {(name, *labels): value for name, labels, value in report.samples}


@contextlib.asynccontextmanager
async def gateway(
    config: str,
    *,
    upstreams: Mapping[str, Target] | Target | None = None,
    clock: VirtualClock | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[GatewayUnderTest]:
    """Run the gateway that `config` (YAML) describes until the block ends.

    `upstreams` are the targets, by the host that `targets:` names (`http://users` is "users"), or one function for all.
    Raises AssertionError with the report of `spork check` for a configuration that has errors.
    """
    time = clock or VirtualClock()
    with tempfile.TemporaryDirectory(prefix="spork-testing-") as folder:
        head = f'state_dir: "{Path(folder) / "state"}"\n'
        own = "".join(f"{key}: {value}\n" for key, value in _QUIET.items() if f"\n{key}:" not in "\n" + config)
        loaded = loads(head + own + config, "spork.yaml", environ or {}, folder)
        if loaded.configuration is None or errors(loaded.problems):
            raise AssertionError(check_report(loaded.problems))
        container = GatewayContainer(configuration=loaded.configuration, config_path=None)
        container.clock.override(providers.Object(time))
        transport = MemoryTransport(_choose(upstreams))
        plugged = dict(container.plugins().transports())
        container.upstreams.transports.override(
            providers.Object({"httptools": transport, "httpx": transport, **plugged})
        )
        async with running(container, loaded.configuration):
            yield GatewayUnderTest(container, time, transport)


#: What a test does not want to see on its terminal or disk, unless its configuration says otherwise.
_QUIET = {"access_log": '"off"', "environment_services": "false"}


def _choose(upstreams: Mapping[str, Target] | Target | None) -> Target:
    if callable(upstreams):
        return upstreams
    known = dict(upstreams or {})

    def choose(received: Received) -> Reply | Awaitable[Reply]:
        target = known.get(received.target.host)
        if target is None:
            raise FaultError(
                Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM, note=f"no target {received.target.host}")
            )
        return target(received)

    return choose
