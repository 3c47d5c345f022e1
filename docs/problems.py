"""Writes docs/problems.md from the table of reasons. `python docs/problems.py` from the project's root."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spork.adapters.litestar.problems import REASONS, TYPE_PREFIX, JsonProblemResponses, declared  # noqa: E402
from spork.application.guards.order import reasons  # noqa: E402
from spork.domain.outcomes import Fault, FaultKind, Side  # noqa: E402

HEAD = f"""# Refusals

Everything Spork answers by itself is `application/problem+json` (RFC 9457): `type` is `{TYPE_PREFIX}` followed by the reason,
`instance` is the request id (also in `X-Request-Id` and in the access log). Quota refusals use the registered type
`https://iana.org/assignments/http-problem-types#quota-exceeded`. Faults of the upstream side also carry `Proxy-Status` (RFC 9209).

This page is written by `python docs/problems.py`; a test checks that it is current.
"""


def page() -> str:
    """The whole page."""
    known = REASONS | {reason: declared(reason) for reason in reasons()}
    lines = [HEAD, "## Reasons\n", "| reason | status | title |", "|---|--:|---|"]
    lines += [f"| `{reason}` | {status} | {title} |" for reason, (status, title) in sorted(known.items())]
    lines += ["", "## Faults\n", "| fault | status |", "|---|--:|"]
    for kind in sorted(FaultKind, key=lambda kind: kind.value):
        lines.append(f"| `{kind.value}` | {JsonProblemResponses().fail(Fault(kind, Side.UPSTREAM), '').status} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "problems.md").write_text(page())
