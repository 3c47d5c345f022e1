"""The health of every part of this process, asked of the parts themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from spork.application.admin.controls import Component
from spork.application.kernel.tasks import now_or_later
from spork.application.views import ComponentHealth

#: Seconds within which a part has to answer.
PATIENCE = 1.0


class Components:
    """Asks each component for its verdict; one that raises or is late is failing."""

    def __init__(self, components: Sequence[Component] = ()) -> None:
        self._components = tuple(components)

    async def health(self) -> list[ComponentHealth]:
        """Every component's own verdict, each within a second."""
        return list(await asyncio.gather(*(_ask(component) for component in self._components)))


async def _ask(component: Component) -> ComponentHealth:
    name = getattr(component, "name", type(component).__name__)
    began = time.perf_counter()
    try:
        return await asyncio.wait_for(now_or_later(component.health()), PATIENCE)
    except TimeoutError:
        return ComponentHealth(name, "failing", "did not answer within a second", PATIENCE * 1000)
    except Exception as error:
        took = (time.perf_counter() - began) * 1000
        return ComponentHealth(name, "failing", type(error).__name__, took)
