"""What the console can change, and the careful way it does.

    prepare   POST ...?dry_run=true      before, after, blast radius, the revision they hold for
    confirm   the operator, at the gate of the write's tier
    send      POST with If-Match: that revision and a fresh Idempotency-Key, exactly once
    confirm   PENDING until the stream shows a revision at or after the answer's

An answer that never comes leaves the outcome UNKNOWN: the object is read again until it tells; the write is not
repeated. A 409 or 412 means the object changed under the operator: shown, and asked anew from the dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spork.console.gateway.topics import segment, target_key
from spork.console.keys.actions import BY_NAME
from spork.console.session.tiers import seconds
from spork.console.text.formats import mask, period

if TYPE_CHECKING:
    from spork.application.views import ActionResult, BreakerView, ConfigView, QuotaView, TargetView


@dataclass(frozen=True, slots=True)
class Input:
    """A value the operator types. `kind`: text, words, number, duration, lifetime (or "never") or overlap (from 0);
    `default` stands there first."""

    name: str
    label: str
    kind: str
    default: str = ""

    def read(self, text: str) -> object:
        """The value as the admin API takes it. Raises ValueError with what is accepted."""
        text = text.strip()
        if self.kind == "duration":
            return seconds(text)
        if self.kind == "lifetime":
            return None if text.lower() == "never" else seconds(text, 3650)
        if self.kind == "overlap":
            return 0.0 if text.strip("smhd") == "0" else seconds(text)
        if self.kind == "words":
            return text.replace(",", " ").split()
        if self.kind == "number":
            if not (text.isascii() and text.isdigit()) or len(text) > 12:
                raise ValueError("a whole number")
            return int(text)
        return text


REASON = Input("reason", "reason", "text")


@dataclass(frozen=True, slots=True)
class Write:
    """One write. `blocked` tells why it makes no sense for a row ('' if it does); `topic` is what it changes.

    `done(row)` recognises a row on which it has happened, for outcomes that were never answered; a row that cannot show
    it is never done.
    """

    name: str
    title: str
    verb: str
    topic: str
    path: Callable[[Any], str]
    label: Callable[[Any], str]
    inputs: Callable[[Any], tuple[Input, ...]]
    blocked: Callable[[Any], str]
    done: Callable[[Any | None], bool]
    hard: Callable[[Any, list[TargetView]], bool] = lambda row, targets: False
    confirmed: bool = True
    """Does a row change by it, which the stream brings?"""
    alone: bool = False
    """It makes something new: one at a time, and no row has to be there."""
    named_by: str = ""
    """The input whose value names the object, if the row does not."""
    lost: str = ""
    """What to know if its answer never came."""
    titled: Callable[[Any], str] | None = None
    """Its title for a row, where it takes rows of several kinds."""

    def title_of(self, row: Any) -> str:
        """What is done, to what kind of thing."""
        return self.title if self.titled is None or row is None else self.titled(row)

    @property
    def tier(self) -> int:
        return BY_NAME[self.name].tier or 0

    @property
    def role(self) -> str:
        return BY_NAME[self.name].role

    def tier_for(self, row: Any, targets: list[TargetView]) -> int:
        return 3 if self.hard(row, targets) else self.tier


def body(inputs: tuple[Input, ...], typed: Mapping[str, str]) -> dict[str, object]:
    """What was typed as the POST's body. Raises ValueError naming the input."""
    values: dict[str, object] = {}
    for field in inputs:
        try:
            values[field.name] = field.read(typed.get(field.name, field.default))
        except ValueError as error:
            raise ValueError(f"{field.label}: {error}") from error
    return values


def curl(url: str, path: str, values: Mapping[str, object], dry_run: bool = False) -> str:
    """The same call as a curl line. The token is a variable, never its value."""
    import json

    quoted = json.dumps(dict(values)).replace("'", "'\\''")
    query = "?dry_run=true" if dry_run else ""
    return f"curl -X POST -H \"Authorization: Bearer $SPORK_TOKEN\" {url}/admin/v1{path}{query} -d '{quoted}'"


def _breaker(verb: str) -> Callable[[BreakerView], str]:
    return lambda row: f"/breakers/{segment(row.name)}/{verb}"


def _target(verb: str) -> Callable[[TargetView], str]:
    return lambda row: f"/targets/{segment(row.upstream)}/{segment(row.name)}/{verb}"


def _quota(verb: str) -> Callable[[QuotaView], str]:
    return lambda row: f"/quotas/{segment(row.id)}/{verb}"


def _kind(row: Any) -> str:
    """The name of a row's type: `revoke` takes several. The views themselves are not imported before one is read."""
    return type(row).__name__


def _revoke_path(row: Any) -> str:
    kind = _kind(row)
    if kind == "ApiKeyView":
        return f"/keys/{segment(row.id)}/revoke"
    if kind == "SessionView":
        return f"/sessions/{segment(row.id)}/revoke"
    return f"/subjects/{segment(row.subject)}/revoke"


def _revoke_label(row: Any) -> str:
    if _kind(row) == "ApiKeyView":
        return mask(row.id, "key")
    return str(row.subject)


def _revoke_title(row: Any) -> str:
    return {"ApiKeyView": "Revoke API key", "SessionView": "Revoke session"}.get(
        _kind(row), f"Revoke all tokens of {getattr(row, 'kind', 'user')}"
    )


def _revoke_blocked(row: Any) -> str:
    if _kind(row) == "QuotaView" and row.kind != "user":
        return f"revoke keys in :keys (owner {row.owner or '-'}); here only users' tokens can be revoked"
    if _kind(row) == "ApiKeyView" and row.state == "revoked":
        return "is revoked already"
    return ""


def usable(row: TargetView) -> bool:
    """Does it take requests now? Said by operator, probe, ejection and circuit, as the gateway judges it."""
    return (
        row.config in ("active", "registered")
        and row.probe != "down"
        and row.traffic not in ("ejected", "failing")
        and row.breaker not in ("open", "forced_open")
    )


def left_without(rows: list[TargetView], targets: list[TargetView]) -> list[str]:
    """Services that would have no target to send to if all of `rows` were taken out together."""
    gone = {(row.upstream, row.name) for row in rows}
    return [
        name
        for name in sorted({row.upstream for row in rows})
        if not any(t.upstream == name and (t.upstream, t.name) not in gone and usable(t) for t in targets)
    ]


def _last_healthy(row: TargetView, targets: list[TargetView]) -> bool:
    return bool(left_without([row], targets))


def _former(row: ConfigView) -> str:
    """The revision before the one that runs, '' if there is none."""
    return next((former.revision for former in row.history if former.revision != row.revision), "")


def _new_key(row: Any) -> tuple[Input, ...]:
    """What a key for the consumer at the cursor would be."""
    consumer = "" if row is None else row.name if _kind(row) == "ConsumerView" else row.consumer
    return (
        Input("consumer", "consumer", "text", consumer),
        Input("owner", "owner", "text"),
        Input("plan", "plan", "text", getattr(row, "plan", None) or ""),
        Input("scopes", "scopes", "words"),
        Input("expires_in", "valid for", "lifetime", "90d"),
        REASON,
    )


def _only_reason(row: Any) -> tuple[Input, ...]:
    return (REASON,)


WRITES: dict[str, Write] = {
    write.name: write
    for write in (
        Write(
            "trip",
            "Trip breaker",
            "Trip",
            "breakers",
            _breaker("trip"),
            lambda r: str(r.name),
            lambda r: (Input("ttl", "for", "duration", "15m"), REASON),
            lambda r: "is forced open already" if r.state == "forced_open" else "",
            lambda r: r is not None and r.state == "forced_open",
        ),
        Write(
            "reset",
            "Reset breaker",
            "Reset",
            "breakers",
            _breaker("reset"),
            lambda r: str(r.name),
            _only_reason,
            lambda r: "is closed already" if r.state == "closed" else "",
            lambda r: r is not None and r.state == "closed",
        ),
        Write(
            "drain",
            "Drain target",
            "Drain",
            "targets",
            _target("drain"),
            target_key,
            lambda r: (Input("ttl", "for", "duration", "1h"), REASON),
            lambda r: "is drained already" if r.config in ("draining", "drained") else "",
            lambda r: r is not None and r.config in ("draining", "drained"),
            _last_healthy,
        ),
        Write(
            "undrain",
            "Undrain target",
            "Undrain",
            "targets",
            _target("undrain"),
            target_key,
            _only_reason,
            lambda r: "" if r.config in ("draining", "drained") else "is not drained",
            lambda r: r is not None and r.config not in ("draining", "drained"),
        ),
        Write(
            "probe",
            "Probe target",
            "Probe",
            "targets",
            _target("probe"),
            target_key,
            lambda r: (),
            lambda r: "",
            lambda r: False,
        ),
        Write(
            "raise",
            "Change limit",
            "Change",
            "quotas",
            _quota("raise"),
            lambda r: f"{r.subject}, limit {r.limit} ({r.quota} per {period(r.period)})",
            lambda r: (Input("quota", "quota", "number", str(r.quota)), Input("ttl", "for", "duration", "1h"), REASON),
            lambda r: "" if r.id else "has no handle",
            lambda r: r is not None and r.override is not None,
        ),
        Write(
            "renew",
            "Reset window",
            "Reset",
            "quotas",
            _quota("reset"),
            lambda r: str(r.subject),
            _only_reason,
            lambda r: "" if r.id else "has no handle",
            lambda r: r is None or r.used == 0,
        ),
        Write(
            "issue",
            "Issue API key",
            "Issue",
            "keys",
            lambda r: "/keys",
            lambda r: "new key",
            _new_key,
            lambda r: "",
            lambda r: False,
            confirmed=False,
            alone=True,
            named_by="consumer",
            lost="if a key was made, its secret is lost: revoke it in :keys",
        ),
        Write(
            "rotate",
            "Rotate API key",
            "Rotate",
            "keys",
            lambda r: f"/keys/{segment(r.id)}/rotate",
            lambda r: mask(r.id, "key"),
            lambda r: (Input("overlap", "overlap", "overlap", "1d"), REASON),
            lambda r: f"is {r.state}" if r.state in ("revoked", "expired") else "",
            lambda r: r is not None and r.state == "rotating",
            lost="its new secret is lost: rotate once more",
        ),
        Write(
            "revoke",
            "Revoke key, session or tokens",
            "Revoke",
            "keys",
            _revoke_path,
            _revoke_label,
            _only_reason,
            _revoke_blocked,
            lambda r: r is not None and _kind(r) == "ApiKeyView" and r.state == "revoked",
            titled=_revoke_title,
        ),
        Write(
            "close",
            "Close connection",
            "Close",
            "connections",
            lambda r: f"/connections/{segment(r.id)}/close",
            lambda r: f"{r.kind} {r.id} of {r.consumer or r.subject or r.client}",
            _only_reason,
            lambda r: "",
            lambda r: r is None,
            confirmed=False,
        ),
        Write(
            "purge",
            "Purge the cache",
            "Purge",
            "cache",
            lambda r: "/cache/purge",
            lambda r: f"stored answers of {r.route}" if r is not None else "stored answers",
            lambda r: (
                Input("routes", "routes", "words", r.route if r is not None else ""),
                Input("tags", "tags", "words"),
                Input("urls", "URLs", "words"),
                REASON,
            ),
            lambda r: "",
            lambda r: False,
            confirmed=False,
            lost="purging once more does no harm",
        ),
        Write(
            "level",
            "Change log level",
            "Change",
            "components",
            lambda r: "/logging",
            lambda r: "log level",
            lambda r: (Input("level", "level", "text", "debug"), REASON),
            lambda r: "",
            lambda r: False,
            confirmed=False,
            alone=True,
        ),
        Write(
            "reload",
            "Reload configuration",
            "Reload",
            "config",
            lambda r: "/config/reload",
            lambda r: "configuration",
            _only_reason,
            lambda r: "",
            lambda r: False,
            confirmed=False,
        ),
        Write(
            "rollback",
            "Roll back configuration",
            "Roll back",
            "config",
            lambda r: "/config/rollback",
            lambda r: "configuration",
            lambda r: (Input("revision", "to", "text", _former(r)), REASON),
            lambda r: "" if _former(r) else "has no former revision",
            lambda r: False,
        ),
        Write(
            "plan",
            "Change plan",
            "Change",
            "consumers",
            lambda r: f"/consumers/{segment(r.name)}/plan",
            lambda r: str(r.name),
            lambda r: (Input("plan", "plan", "text", r.plan or ""), REASON),
            lambda r: "",
            lambda r: False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a write ended. `word`: APPLIED, REFUSED, CHANGED or UNKNOWN."""

    word: str
    text: str
    result: ActionResult | None = None

    @property
    def tone(self) -> str:
        return {"APPLIED": "ok", "REFUSED": "bad", "CHANGED": "warn", "UNKNOWN": "unknown"}[self.word]


APPLIED, REFUSED, CHANGED, UNKNOWN = "APPLIED", "REFUSED", "CHANGED", "UNKNOWN"
