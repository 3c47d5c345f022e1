"""The application's own log: everything that is logged through `logging` or structlog, as one redacted JSON line each.

On a terminal people read it, so there it is rendered for people. The level can be changed while the gateway runs.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from spork.adapters.files.line_sink import LineSink, line_sink
from spork.adapters.structlog.redaction import redact_fields

LEVELS = ("debug", "info", "warning", "error", "critical")
Event = MutableMapping[str, Any]
_sink: LineSink | None = None
_FIRST = ("time", "level", "event", "logger")


def _redacted(_: Any, __: str, event: Event) -> Event:
    record = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    return redact_fields(event) | record


def _as_json(_: Any, __: str, event: Event) -> str:
    # As in the access log: when, how bad, what; then the rest in the order it was given.
    line = {name: event[name] for name in _FIRST if name in event} | dict(event)
    try:
        return msgspec.json.encode(line, enc_hook=repr).decode("utf-8", "backslashreplace")
    except (TypeError, ValueError):  # half a surrogate pair, or keys that are no text
        return json.dumps(line, default=repr, skipkeys=True)


class _ToSink(logging.Handler):
    """Hands formatted lines to a sink; from any thread, never waiting."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self._sink = sink

    def close(self) -> None:
        """The process ends (`logging.shutdown`): what waits has a second to be written."""
        super().close()
        self._sink.close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).replace("\n", "\\n")
        except Exception:
            self._sink.failed += 1
            return
        self._sink.put_from_thread(line.encode("utf-8", "backslashreplace"))


def set_up_logging(sink: LineSink | None = None, level: str = "info", people: bool | None = None) -> None:
    """Send all logging through structlog: JSON to `sink` (or standard error), for people when it is a terminal."""
    if people is None:
        people = sink is None and sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    console = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False, timestamp_key="time")
    last: Any = console if people else _as_json
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    handler: logging.Handler = _ToSink(sink) if sink is not None else logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_from_a_thread() -> None:
    """Have a thread of this process write its log, unless people read it: a stuck reader then costs nobody any time."""
    global _sink
    if not sys.stderr.isatty():
        _sink = line_sink("stderr")
        _sink.open()
        set_up_logging(_sink)


def own_sink() -> LineSink | None:
    """What the application's log goes to, None when it is written at once."""
    return _sink


def set_level(level: str) -> None:
    """Change what is logged from now on. Raises ValueError."""
    if level not in LEVELS:
        raise ValueError(f"no level {level!r}; one of {', '.join(LEVELS)}")
    logging.getLogger().setLevel(level.upper())


def level() -> str:
    """The level in force."""
    return logging.getLevelName(logging.getLogger().level).lower()
