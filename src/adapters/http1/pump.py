"""Sends a request body that is not at hand as a whole, while the response may already be arriving."""

from __future__ import annotations

from spork.adapters.http1 import faults, writer
from spork.adapters.http1.connection import NEVER, Connection, Response
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody
from spork.domain.outcomes import FaultKind


async def pump(connection: Connection, response: Response, body: RequestBody, length: int | None) -> None:
    """Copy `body` to the target with backpressure; `length` None sends chunks. A fault ends the exchange."""
    try:
        await _copy(connection, response, body, length)
    except FaultError as error:
        response.fail(error)
    except Exception as error:  # a body that breaks its port must not leave the exchange waiting
        response.fail(faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, f"request body: {error!r}"))
    else:
        response.sent = True
        response.write_alarm = NEVER
        if not response.status:
            response.rearm(connection.pool.clock())


async def _copy(connection: Connection, response: Response, body: RequestBody, length: int | None) -> None:
    transport = connection.transport
    clock = connection.pool.clock
    written = 0
    while True:
        response.waits_since = clock()
        data = await body.read()
        response.waits_since = NEVER
        if not data:
            break
        written += len(data)
        if length is None:
            transport.writelines(writer.chunk(data))
        elif written > length:
            raise faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, "request body longer than declared")
        else:
            transport.write(data)
        if connection.unwritable:
            response.write_alarm = clock() + response.idle
            await connection.drained()
            response.write_alarm = NEVER
    if length is None:
        transport.write(writer.LAST_CHUNK)
    elif written != length:
        raise faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, "request body shorter than declared")
