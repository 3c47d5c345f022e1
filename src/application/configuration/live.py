"""The configuration while the gateway runs: where it may come from, what was wrong with it, what it was before.

A configuration comes from the file (watched, SIGHUP, reload), from an operator (`PUT /admin/v1/config`, `spork apply`), from
history (rollback) or from another replica. Each is read whole and checked whole; only one without errors is put into
force, and that is one swap. What was refused is shown with its places, and the last good one goes on. What operators
apply is told to every replica, and the answer waits until all that speak serve it.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from spork.application.configuration.model import Configuration, DataListener
from spork.application.configuration.problems import Diagnostic, errors
from spork.application.kernel.events import EventSink
from spork.application.views import ConfigRevisionView, ConfigView

log = logging.getLogger("spork.configuration")

#: Seconds by which what is applied is at least later than what it replaces.
_STEP = 0.001

#: Settings that only take effect at start, with how they are called.
AT_START = (
    ("host", "listen"),
    ("port", "listen"),
    ("state_dir", "state_dir"),
    ("shared", "shared"),
    ("records", "records"),
    ("proxy_protocol", "proxy_protocol"),
    ("expose", "expose"),
    ("documented", "docs"),
    ("trusted_proxies", "trusted_proxies"),
    ("discovery_file", "discovery_file"),
    ("name_servers", "name_servers"),
    ("plugins", "plugins"),
)


def _listen(configuration: Configuration) -> str | None:
    """Where decisions are asked; None where there are none."""
    return None if configuration.decisions is None else configuration.decisions.listen


def _settled(listener: DataListener) -> object:
    """What of a listener only takes effect at start: not which certificates it shows."""
    return replace(listener, tls=None), listener.tls is None


class ReadResult(Protocol):
    """A configuration that was read. `text` is canonical with secrets replaced, `full` with secrets."""

    @property
    def configuration(self) -> Configuration | None: ...

    @property
    def problems(self) -> tuple[Diagnostic, ...]: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def watched(self) -> tuple[str, ...]: ...

    @property
    def contents(self) -> Mapping[str, bytes]: ...

    @property
    def says_routes(self) -> bool: ...

    @property
    def text(self) -> str: ...

    @property
    def full(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A configuration that was read without errors, and is not whole: `problems` say why it is refused."""

    problems: tuple[Diagnostic, ...]
    sources: tuple[str, ...]
    watched: tuple[str, ...]
    text: str
    full: str
    configuration: Configuration | None = None
    contents: Mapping[str, bytes] = field(default_factory=dict)
    says_routes: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """One configuration that was in force. `full` holds secrets and is kept readable by the gateway's user only."""

    revision: str
    at: float
    author: str
    source: str
    note: str
    text: str
    full: str


class RevisionStore(Protocol):
    """Keeps what was in force, newest last, across restarts. Called in a thread; raises OSError."""

    def keep(self, revision: Revision) -> None: ...

    def all(self) -> Sequence[Revision]: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """A configuration that an operator applied for the whole fleet."""

    revision: str
    at: float
    author: str
    note: str
    full: str


class ConfigExchange(Protocol):
    """Where replicas find what operators applied. Raises OSError when the store is gone."""

    def offer(self, shared: Shared) -> Awaitable[None]: ...

    def latest(self) -> Awaitable[Shared | None]: ...


class KeptExchange:
    """A fleet's exchange with a copy of what was applied on this node: the newer of both is what holds.

    A shared store that comes back empty is told again by every node that knows; a node that restarts while the store is
    gone or empty serves what it kept.
    """

    def __init__(self, kept: ConfigExchange, fleet: ConfigExchange) -> None:
        self._kept = kept
        self._fleet = fleet

    async def offer(self, shared: Shared) -> None:
        """Raises OSError when the fleet, or this node's disk, did not take it."""
        await self._fleet.offer(shared)
        await self._kept.offer(shared)

    async def latest(self) -> Shared | None:
        """Raises OSError when neither can be asked."""
        try:
            mine = await self._kept.latest()
        except OSError as error:
            log.warning("what was applied cannot be read from disk: %s", error)
            mine = None
        try:
            fleets = await self._fleet.latest()
        except OSError:
            if mine is None:
                raise
            return mine
        try:
            if mine is not None and (fleets is None or mine.at > fleets.at):
                await self._fleet.offer(mine)
                return mine
            if fleets is not None and (mine is None or fleets.at > mine.at):
                await self._kept.offer(fleets)
        except OSError as error:
            log.warning("what was applied could not be written down again: %s", error)
            return mine if fleets is None else fleets
        return fleets


class NotApplied(Exception):
    """It has errors. `problems` has them all, warnings too."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        first = errors(problems)[0] if errors(problems) else None
        super().__init__(str(first) if first is not None else "nothing to apply")
        self.problems = tuple(problems)


class LiveConfiguration:
    """Puts configurations into force, one after the other, and remembers them.

    `read_file` and `read_text` are called in a thread. `apply` runs on the event loop; what it answers is awaited if it can be. `serving` answers which revision
    each speaking node serves, for acknowledgement.
    """

    def __init__(
        self,
        read_file: Callable[[], ReadResult],
        read_text: Callable[[str], ReadResult],
        apply: Callable[[Configuration], object],
        store: RevisionStore,
        unix: Callable[[], float],
        events: EventSink,
        exchange: ConfigExchange | None = None,
        serving: Callable[[], dict[str, str]] | None = None,
        beat: Callable[[], Awaitable[None]] | None = None,
        followed_as: str = "fleet",
    ) -> None:
        """`followed_as` is the source that history names for what came through `exchange`."""
        self._followed_as = followed_as
        self._read_file = read_file
        self._read_text = read_text
        self._apply = apply
        self._store = store
        self._unix = unix
        self._events = events
        self._exchange = exchange
        self._serving = serving
        self._beat = beat
        self._turn = asyncio.Lock()
        self._history: list[Revision] = []
        self._first: Configuration | None = None
        self.running: Configuration | None = None
        self.problems: tuple[Diagnostic, ...] = ()
        self.sources: tuple[str, ...] = ()
        self.watched: tuple[str, ...] = ()
        self._contents: Mapping[str, bytes] = {}
        self._file_revision = ""
        self.reloads: dict[tuple[str], int] = {("applied",): 0, ("refused",): 0}
        self._heard_at = 0.0
        self._signature: Callable[[Sequence[str]], object] | None = None
        self._seen: object = None  # the files' signature when they were last taken, for the watch
        self._read_as: object = None

    # ------------------------------------------------------------------------------------------------------- at start

    async def adopt(self, loaded: ReadResult, author: str = "start") -> None:
        """Note what was put into force at start, and take over what an operator applied to the fleet since."""
        assert loaded.configuration is not None
        self._history = [*await asyncio.to_thread(self._stored)]
        self._first = self.running = loaded.configuration
        self.sources = loaded.sources
        self.watched = loaded.watched
        self._contents = loaded.contents
        self._file_revision = loaded.configuration.revision
        self.problems = loaded.problems
        await self._remember(loaded, author, "file", "")

    def whole(self, loaded: ReadResult) -> ReadResult:
        """`loaded`, or its refusal when it is what an emptied or half-written file gives.

        An empty file reads without error as a gateway without routes. So does a text that was cut between two keys, and
        one that was cut elsewhere may read as a part of what it was.
        """
        running = self.running
        if loaded.configuration is None or running is None:
            return loaded
        why = ""
        if running.routes and not loaded.configuration.routes and not loaded.says_routes:
            why = f"says nothing of routes, and {len(running.routes)} are in force"
        for name, content in loaded.contents.items():
            had = self._contents.get(name, b"")
            if len(content) < len(had) and not content.endswith(b"\n") and had.startswith(content):
                why = f"{name} ends in the middle of what it was: it is being written, or was cut"
        if not why:
            return loaded
        file = loaded.sources[0] if loaded.sources else ""
        problem = Diagnostic("routes", why, "write `routes: []` if nothing is to be served", file=file)
        return Incomplete((problem, *loaded.problems), loaded.sources, loaded.watched, loaded.text, loaded.full)

    def _stored(self) -> Sequence[Revision]:
        try:
            return self._store.all()
        except OSError as error:
            log.warning("configuration history cannot be read: %s", error)
            return ()

    # ------------------------------------------------------------------------------------------------------- applying

    async def reload(self, author: str, note: str = "") -> Configuration:
        """Read the file again. Raises NotApplied; then the configuration in force stays."""
        return await self._take(await asyncio.to_thread(self._read_file), author, "file", note)

    async def again(self) -> None:
        """Put what runs into force once more: what is laid over it has changed."""
        async with self._turn:
            if self.running is not None and isinstance(done := self._apply(self.running), Awaitable):
                await done

    async def put(self, loaded: ReadResult, author: str, note: str = "", source: str = "api") -> Configuration:
        """Put what an operator sent into force, here and on every replica. Raises NotApplied, OSError."""
        configuration = await self._take(loaded, author, source, note)
        await self._offer(configuration, loaded, author, note)
        return configuration

    async def take_file(self, loaded: ReadResult, author: str, note: str = "") -> Configuration:
        """Put what `read_file` read into force, here. Raises NotApplied."""
        configuration = await self._take(loaded, author, "file", note)
        # So that the watch does not bring the same file once more, perhaps after an operator went back behind it.
        self._seen = self._read_as
        return configuration

    async def read(self, text: str) -> ReadResult:
        """Only read and check: for dry runs and diffs."""
        return self.whole(await asyncio.to_thread(self._read_text, text))

    async def read_file(self) -> ReadResult:
        if self._signature is not None:
            self._read_as = await asyncio.to_thread(self._signature, self.watched)
        return self.whole(await asyncio.to_thread(self._read_file))

    async def _take(self, loaded: ReadResult, author: str, source: str, note: str) -> Configuration:
        async with self._turn:
            loaded = self.whole(loaded)
            self.problems = loaded.problems
            if loaded.configuration is None:
                if source == "file":  # what it names may be what mends it
                    self.watched = tuple(dict.fromkeys((*self.watched, *loaded.watched)))
                self.reloads["refused",] += 1
                refused = NotApplied(loaded.problems)
                self._events.publish(
                    "config.refused", source, {"actor": author, "outcome": "refused", "detail": str(refused)}
                )
                raise refused
            before = self.running.revision if self.running is not None else ""
            done = self._apply(loaded.configuration)
            if isinstance(done, Awaitable):
                await done
            self.running = loaded.configuration
            if source == "file":
                self.sources = loaded.sources
                self.watched = loaded.watched
                self._contents = loaded.contents
                self._file_revision = loaded.configuration.revision
            self.reloads["applied",] += 1
            await self._remember(loaded, author, source, note)
            detail = f"{before} -> {loaded.configuration.revision}" + (f": {note}" if note else "")
            self._events.publish(
                "config.applied",
                loaded.configuration.revision,
                {"actor": author, "outcome": "applied", "detail": detail},
            )
            return loaded.configuration

    async def _remember(self, loaded: ReadResult, author: str, source: str, note: str) -> None:
        assert loaded.configuration is not None
        entry = Revision(
            loaded.configuration.revision, self._unix(), author, source, note, loaded.text, loaded.full or loaded.text
        )
        if self._history and self._history[-1].revision == entry.revision:
            return
        self._history = [*self._history, entry][-50:]
        try:
            await asyncio.to_thread(self._store.keep, entry)
        except OSError as error:
            log.warning("configuration history cannot be kept: %s", error)

    # ------------------------------------------------------------------------------------------------------- the fleet

    async def _offer(self, configuration: Configuration, loaded: ReadResult, author: str, note: str) -> None:
        if self._exchange is None:
            return
        # Later than what it replaces, also when that came from a node whose clock is ahead of this one's.
        at = max(self._unix(), self._heard_at + _STEP)
        with contextlib.suppress(OSError):
            if (latest := await self._exchange.latest()) is not None:
                at = max(at, latest.at + _STEP)
        shared = Shared(configuration.revision, at, author, note, loaded.full or loaded.text)
        self._heard_at = shared.at
        await self._exchange.offer(shared)

    async def follow(self, newer_than: float | None = None) -> bool:
        """Take over what an operator applied on another replica; True when something was. Called each second."""
        if newer_than is not None:
            self._heard_at = newer_than
        if self._exchange is None:
            return False
        try:
            shared = await self._exchange.latest()
        except OSError:
            return False
        if shared is None or shared.at <= self._heard_at:
            return False
        self._heard_at = shared.at
        if self.running is not None and shared.revision == self.running.revision:
            return False
        try:
            loaded = await asyncio.to_thread(self._read_text, shared.full)
            await self._take(loaded, shared.author, self._followed_as, shared.note)
        except NotApplied as refused:
            log.error("what %s applied to the fleet has errors here: %s", shared.author, refused)
            return False
        if newer_than is not None:
            log.warning("revision %s that %s applied is in force: the file is older", shared.revision, shared.author)
        return True

    async def acknowledged(
        self, revision: str, seconds: float = 5.0, among: Callable[[str], bool] = lambda node: True
    ) -> tuple[str, ...]:
        """Wait until every node that speaks, and that `among` is true of, serves `revision`; those that do not in time, by
        name."""
        if self._serving is None:
            return ()
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            if self._beat is not None:
                await self._beat()
            behind = tuple(sorted(node for node, has in self._serving().items() if has != revision and among(node)))
            if not behind or asyncio.get_running_loop().time() >= deadline:
                return behind
            await asyncio.sleep(0.1)

    # ------------------------------------------------------------------------------------------------------- watching

    async def watch(self, signature: Callable[[Sequence[str]], object], every: float = 1.0) -> None:
        """Reload when the files change, once they have been still for a turn. Until cancelled."""
        self._signature = signature
        watched = self.watched
        self._seen = await asyncio.to_thread(signature, watched)
        pending: object = None
        while True:
            await asyncio.sleep(every)
            if watched != self.watched:  # a configuration came that names other files
                watched = self.watched
                self._seen, pending = await asyncio.to_thread(signature, watched), None
                await self._catch_up()
                continue
            now = await asyncio.to_thread(signature, watched)
            if now == self._seen:
                pending = None
            elif now != pending:
                pending = now
            else:
                self._seen, pending = now, None
                try:
                    await self.reload("file watch")
                except NotApplied as refused:
                    log.error("configuration refused, revision %s stays: %s", self.revision, refused)

    async def _catch_up(self) -> None:
        """Take what files said between being read and being watched for the first time."""
        loaded = await self.read_file()
        if loaded.configuration is not None and loaded.configuration.revision != self._file_revision:
            await self._take(loaded, "file watch", "file", "")

    # --------------------------------------------------------------------------------------------------------- showing

    @property
    def revision(self) -> str:
        return self.running.revision if self.running is not None else ""

    def find(self, revision: str) -> Revision | None:
        return next((entry for entry in reversed(self._history) if entry.revision == revision), None)

    def history(self) -> list[ConfigRevisionView]:
        """Newest first."""
        last = len(self._history) - 1
        return [
            ConfigRevisionView(e.revision, e.at, e.author, e.source, index == last, e.note)
            for index, e in reversed(list(enumerate(self._history)))
        ]

    def restart_needed(self) -> tuple[str, ...]:
        """Settings that differ from what the process started with and wait for a restart."""
        if self._first is None or self.running is None:
            return ()
        first, running = self._first, self.running
        found = [called for name, called in AT_START if getattr(first, name) != getattr(running, name)]
        if replace(first.admin, tokens=()) != replace(running.admin, tokens=()):
            found.append("admin.listen")
        if running.shared != "memory" and (first.channels is None) is not (running.channels is None):
            found.append("channels")
        if (first.tls is None) is not (running.tls is None):
            found.append("tls")
        if [_settled(each) for each in first.listeners] != [_settled(each) for each in running.listeners]:
            found.append("listeners")
        if _listen(first) != _listen(running):
            found.append("decisions.listen")
        return tuple(dict.fromkeys(found))

    async def view(self) -> ConfigView:
        """What runs, what the file says now, and how they differ."""
        on_disk = await self.read_file()
        current = self._history[-1] if self._history else None
        previous = self._history[-2] if len(self._history) > 1 else None
        running = current.text if current is not None else ""
        return ConfigView(
            revision=self.revision,
            applied_at=current.at if current is not None else 0.0,
            author=current.author if current is not None else "",
            running=running,
            file=on_disk.text,
            diff_file=diff(running, on_disk.text, "running", "file"),
            diff_previous=diff(previous.text, running, previous.revision, "running") if previous is not None else "",
            problems=tuple(
                problem_row(p) for p in (on_disk.problems if on_disk.configuration is None else self.problems)
            ),
            restart_needed=self.restart_needed(),
            history=tuple(self.history()),
        )

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        found: list[tuple[str, tuple[str, ...], float]] = [
            ("gateway_config_reloads_total", key, float(count)) for key, count in self.reloads.items()
        ]
        if self._history:
            found.append(("gateway_config_applied_timestamp_seconds", (), self._history[-1].at))
        return found


def diff(before: str, after: str, before_name: str, after_name: str) -> str:
    """A unified diff, empty when both are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), before_name, after_name, lineterm="")
    return "\n".join(lines)


def problem_row(problem: Diagnostic) -> dict[str, object]:
    """A problem as the admin API shows it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "suggestion": problem.suggestion,
        "severity": problem.severity,
    }
