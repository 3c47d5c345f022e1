"""A fault on its way from an adapter to whoever answers it."""

from __future__ import annotations

from spork.domain.outcomes import Fault


class FaultError(Exception):
    """Carries a `Fault` out of an adapter. Adapters translate foreign exceptions into this once, at their edge."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.side.value}: {fault.kind.value} {fault.note}".rstrip())
        self.fault = fault
