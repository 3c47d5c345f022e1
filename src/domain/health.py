"""Active probes with rise and fall, passive outlier ejection, aggregate status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """Active health check: `kind` http or tcp. Times in seconds; `rise`/`fall` consecutive results change the verdict."""

    path: str = "/health"
    kind: str = "http"
    every: float = 5.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    host: str | None = None


@dataclass(frozen=True, slots=True)
class OutlierPolicy:
    """Passive ejection: `consecutive` failures eject for `eject_for` seconds times ejections so far, capped."""

    consecutive: int = 5
    eject_for: float = 30.0
    max_eject_for: float = 300.0
    max_ejected: float = 0.5
    panic: float = 0.5
