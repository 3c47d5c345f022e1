"""What operators do to the configuration, prepared like every other action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from spork.application.admin.commands import OperationRefused, Prepared
from spork.application.admin.controls import Act
from spork.application.configuration.live import LiveConfiguration, NotApplied, ReadResult, diff, problem_row
from spork.application.configuration.model import Configuration, RouteConfig


@dataclass(frozen=True, slots=True)
class DiffView:
    """`same` when what was sent is what runs; else a unified diff of the canonical texts, secrets replaced.

    `problems` has errors and warnings; with an error there is nothing to compare and `diff` is empty.
    """

    same: bool
    revision: str
    running: str
    diff: str
    problems: tuple[dict[str, object], ...]


class ConfigurationActions:
    """Prepares changes of the configuration in force."""

    def __init__(self, live: LiveConfiguration, same_files: Callable[[str], bool] = lambda node: True) -> None:
        """`same_files` is true of the nodes, by name, that read the files this one reads: its fellow workers."""
        self.live = live
        self._same_files = same_files

    async def apply(self, text: str, act: Act) -> Prepared:
        loaded = await self.live.read(text)
        return self._prepared("config.apply", loaded, lambda: self.live.put(loaded, act.by, act.reason))

    async def reload(self, act: Act) -> Prepared:
        loaded = await self.live.read_file()
        return self._prepared(
            "config.reload", loaded, lambda: self.live.take_file(loaded, act.by, act.reason), self._same_files
        )

    async def rollback(self, revision: str, act: Act) -> Prepared:
        former = self.live.find(revision)
        if former is None:
            raise OperationRefused("not_found", f"The history has no revision {revision}.")
        loaded = await self.live.read(former.full)
        note = act.reason or f"rollback to {revision}"
        return self._prepared("config.rollback", loaded, lambda: self.live.put(loaded, act.by, note, "rollback"))

    def _prepared(
        self,
        action: str,
        loaded: ReadResult,
        perform: Callable[[], Awaitable[Configuration]],
        among: Callable[[str], bool] = lambda node: True,
    ) -> Prepared:
        """`among` says which nodes will follow: what was applied reaches all, a file only those that read it."""
        if loaded.configuration is None:
            raise refused(NotApplied(loaded.problems))
        wanted = loaded.configuration.revision
        warnings = [str(problem) for problem in loaded.problems]

        async def carry_out() -> str:
            try:
                applied = await perform()
            except NotApplied as error:
                raise refused(error) from None
            except OSError as error:
                raise OperationRefused("unavailable", f"The other replicas cannot be told: {error}.") from error
            behind = await self.live.acknowledged(applied.revision, among=among)
            late = f" (not yet on {', '.join(behind)})" if behind else ""
            return f"revision {applied.revision}{late}"

        return Prepared(
            action,
            "config",
            f"revision {self.live.revision}",
            f"revision {wanted}",
            blast(self.live.running, loaded.configuration),
            carry_out,
            self.live.revision,
            warnings=tuple(warnings[:50]),
        )

    async def diff(self, text: str) -> DiffView:
        """How `text` differs from what runs."""
        loaded = await self.live.read(text)
        rows = tuple(problem_row(problem) for problem in loaded.problems)
        if loaded.configuration is None:
            return DiffView(False, "", self.live.revision, "", rows)
        current = self.live.find(self.live.revision)
        running = current.text if current is not None else ""
        wanted = loaded.configuration.revision
        same = wanted == self.live.revision
        return DiffView(same, wanted, self.live.revision, diff(running, loaded.text, "running", "given"), rows)

    def text_of(self, revision: str) -> dict[str, str]:
        """One revision's text. Raises OperationRefused."""
        found = self.live.find(revision)
        if found is None:
            raise OperationRefused("not_found", f"The history has no revision {revision}.")
        return {"revision": found.revision, "author": found.author, "text": found.text}


def refused(error: NotApplied) -> OperationRefused:
    """The answer to a configuration with errors: all of them, with their places."""
    return OperationRefused("invalid", str(error), errors=[problem_row(problem) for problem in error.problems])


#: Parts that are named one by one, with the word operators know them by.
_NAMED = ("plans", "consumers", "issuers", "objectives")
#: What says where a configuration came from, not what it does.
_PROVENANCE = frozenset(("revision", "sources", "routes", "upstreams", *_NAMED))


def blast(running: Configuration | None, wanted: Configuration) -> str:
    """How many routes and upstreams come, go and change, and which other settings differ."""
    before = running or Configuration()
    routes = _changes({r.name: _placeless(r) for r in before.routes}, {r.name: _placeless(r) for r in wanted.routes})
    upstreams = _changes({u.name: u for u in before.upstreams}, {u.name: u for u in wanted.upstreams})
    told = [f"Routes: {routes}.", f"Upstreams: {upstreams}."]
    for part in _NAMED:
        had, has = getattr(before, part), getattr(wanted, part)
        if had != has:
            told.append(f"{part.capitalize()}: {_changes({x.name: x for x in had}, {x.name: x for x in has})}.")
    others = [
        field.name
        for field in fields(Configuration)
        if field.name not in _PROVENANCE and getattr(before, field.name) != getattr(wanted, field.name)
    ]
    if others:
        told.append(f"Settings: {', '.join(others)}.")
    return " ".join((*told, "Requests in flight finish as they began."))


def _placeless(route: RouteConfig) -> RouteConfig:
    """The same route wherever it is written."""
    return replace(route, origin="")


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    added = sorted(after.keys() - before.keys())
    removed = sorted(before.keys() - after.keys())
    changed = sorted(name for name in after.keys() & before.keys() if after[name] != before[name])
    return ", ".join(
        f"{len(names)} {word}{_named(names)}"
        for word, names in (("added", added), ("removed", removed), ("changed", changed))
    )


def _named(names: Sequence[str]) -> str:
    """The first few of them."""
    if not names:
        return ""
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
