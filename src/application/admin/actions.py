"""What operators can do, prepared: each function finds the object, says what would change and how much it touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from spork.application.admin.callers import key_request
from spork.application.admin.commands import OperationRefused, Prepared
from spork.application.admin.controls import Act, Controls
from spork.application.callers.issuing import bad_networks, request_of, unknown_names
from spork.application.callers.ports import Conflict
from spork.application.fleet.overview import Overview
from spork.application.kernel.tasks import now_or_later
from spork.application.upstreams.state import takes_traffic
from spork.application.views import ApiKeyView, BreakerView, TargetView

T = TypeVar("T")


#: Most keys revoked in one go.
MOST_REVOKED: Final = 1000


class Actions:
    """Prepares actions on this process's controls. `overview` answers the present, over the whole fleet."""

    def __init__(self, controls: Controls, overview: Callable[[], Overview], monotonic: Callable[[], float]) -> None:
        self._controls = controls
        self._overview = overview
        self._monotonic = monotonic

    # ------------------------------------------------------------------------------------------------------- breakers

    async def trip(self, name: str, act: Act) -> Prepared:
        overview = self._overview()
        view = _breaker(overview, name)
        control = _there(self._controls.upstreams, "circuit breakers")
        warnings = () if act.ttl is not None else ("No ttl: the circuit stays open until somebody resets it.",)
        if view.state == "forced_open":
            warnings = (*warnings, f"It is already forced open by {view.forced_by}.")

        async def perform() -> None:
            await now_or_later(control.trip(name, act, self._monotonic()))

        return Prepared(
            "breaker.trip", f"breaker {name}", view.state, "forced_open", blast_of_breaker(overview, view, "refuses"),
            perform, (view.state, view.forced_by), view.since, warnings,
        )  # fmt: skip

    async def reset(self, name: str, act: Act) -> Prepared:
        overview = self._overview()
        view = _breaker(overview, name)
        control = _there(self._controls.upstreams, "circuit breakers")
        warnings = ("It is closed already.",) if view.state == "closed" else ()

        async def perform() -> None:
            await now_or_later(control.reset(name, act, self._monotonic()))

        return Prepared(
            "breaker.reset", f"breaker {name}", view.state, "closed", blast_of_breaker(overview, view, "admits"),
            perform, (view.state, view.forced_by), view.since, warnings,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------------- targets

    async def drain(self, upstream: str, target: str, act: Act) -> Prepared:
        overview = self._overview()
        view = _target(overview, upstream, target)
        control = _there(self._controls.upstreams, "targets")
        rest = [t for t in overview.targets() if t.upstream == upstream and t.name != target]
        others = [t for t in rest if takes_traffic(t)]
        idle = len(rest) - len(others)
        warnings = () if others else (f"No other target of {upstream} takes requests: its routes will answer 503.",)

        async def perform() -> None:
            await now_or_later(control.drain(upstream, target, act, self._monotonic()))

        unusable = f" ({idle} more take none now)" if idle else ""
        blast = f"Moves {view.rps:.1f} requests/s to {len(others)} other target(s){unusable}; {view.in_flight} in flight finish."
        return Prepared(
            "target.drain", f"target {upstream}/{target}", view.config, "draining", blast, perform,
            view.config, warnings=warnings,
        )  # fmt: skip

    async def undrain(self, upstream: str, target: str, act: Act) -> Prepared:
        view = _target(self._overview(), upstream, target)
        control = _there(self._controls.upstreams, "targets")

        async def perform() -> None:
            await now_or_later(control.undrain(upstream, target, act, self._monotonic()))

        warnings = ("It is active already.",) if view.config == "active" else ()
        blast = f"{upstream} sends requests to {target} again."
        return Prepared(
            "target.undrain", f"target {upstream}/{target}", view.config, "active", blast, perform,
            view.config, warnings=warnings,
        )  # fmt: skip

    async def probe(self, upstream: str, target: str) -> Prepared:
        view = _target(self._overview(), upstream, target)
        control = _there(self._controls.upstreams, "targets")

        async def perform() -> str:
            return await now_or_later(control.probe(upstream, target))

        return Prepared(
            "target.probe",
            f"target {upstream}/{target}",
            view.probe,
            "probed",
            "Sends one probe.",
            perform,
            view.config,
        )

    # ---------------------------------------------------------------------------------------------------- connections

    async def close_connection(self, id: str) -> Prepared:
        control = _there(self._controls.connections, "live connections")
        view = await now_or_later(control.view(id))
        if view is None:
            raise OperationRefused("not_found", f"No live connection {id}.")

        async def perform() -> str | None:
            return None if await now_or_later(control.close(id)) else "over already"

        who = view.consumer or view.subject or view.client
        return Prepared(
            "connection.close", f"connection {id}", "open", "closed", f"Ends one {view.kind} of {who} on {view.route}.",
            perform, None, view.since, subject=view.subject,
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------------- cache

    async def purge_cache(
        self, urls: Sequence[str], tags: Sequence[str], routes: Sequence[str], everything: bool, soft: bool
    ) -> Prepared:
        control = _there(self._controls.cache, "the response cache")
        if not (urls or tags or routes or everything):
            raise OperationRefused("invalid", "Say what to purge: urls, tags, routes or everything.")
        known = {route.name for route in self._overview().routes()}
        for route in routes:
            if route not in known:
                raise OperationRefused("not_found", f"There is no route {route}.")
        counts = [
            f"{len(names)} {word}(s)" for word, names in (("url", urls), ("tag", tags), ("route", routes)) if names
        ]
        named = "everything" if everything else ", ".join(counts)
        blast = "Stored answers are revalidated before they are given." if soft else "Stored answers are forgotten."

        async def perform() -> str | None:
            try:
                silent = await control.purge(urls, tags, routes, everything, soft)
            except ValueError as error:
                raise OperationRefused("invalid", f"{error}.") from error
            return f"purged, not confirmed by {', '.join(silent)}" if silent else None

        view = control.view()
        return Prepared(
            "cache.purge", "cache", f"{view.entries} entries here", "purged",
            f"Purges {named}{' softly' if soft else ''} on every node. {blast}", perform, None,
        )  # fmt: skip

    # --------------------------------------------------------------------------------------------- quotas, consumers

    async def reset_quota(self, id: str, act: Act) -> Prepared:
        control = _there(self._controls.quotas, "limits")
        view = await now_or_later(control.quota(id))
        if view is None:
            raise OperationRefused("not_found", f"No window {id} is being counted.")

        async def perform() -> None:
            await now_or_later(control.reset(id, act))

        blast = f"{view.subject} may use {view.quota} per {view.period:g} s of {view.limit} anew."
        return Prepared(
            "quota.reset", f"quota {id}", f"{view.used} of {view.quota} used", f"0 of {view.quota} used", blast, perform,
            view.override, subject=view.subject,
        )  # fmt: skip

    async def raise_quota(self, id: str, quota: int, act: Act) -> Prepared:
        control = _there(self._controls.quotas, "limits")
        view = await now_or_later(control.quota(id))
        if view is None:
            raise OperationRefused("not_found", f"No window {id} is being counted.")
        if quota <= 0 or act.ttl is None or act.ttl <= 0:
            raise OperationRefused(
                "invalid", "A raise takes a positive quota and ttl.", errors=_errors(quota="positive", ttl="positive")
            )

        async def perform() -> None:
            await now_or_later(control.raise_to(id, quota, act))

        warnings = (f"{quota} is less than the configured {view.quota}.",) if quota < view.quota else ()
        blast = f"{view.subject} may use {quota} instead of {view.quota} per {view.period:g} s for {act.ttl:g} s."
        return Prepared(
            "quota.raise", f"quota {id}", str(view.quota), str(quota), blast, perform, view.override,
            warnings=warnings, subject=view.subject,
        )  # fmt: skip

    async def change_plan(self, consumer: str, plan: str, act: Act) -> Prepared:
        control = _there(self._controls.plans, "consumers")
        overview = self._overview()
        if plan not in {p.name for p in overview.configuration.plans}:
            raise OperationRefused("invalid", f"There is no plan {plan}.", errors=_errors(plan="is not configured"))
        view = next((c for c in overview.picture.consumers() if c.name == consumer), None)
        declared = next((c for c in overview.configuration.consumers if c.name == consumer), None)
        if view is None and declared is None:
            raise OperationRefused("not_found", f"No consumer {consumer} is known.")
        before = (view.plan if view is not None else None) or (declared.plan if declared is not None else "") or "-"

        async def perform() -> None:
            await now_or_later(control.put_on_plan(consumer, plan, act))

        rps = view.rps if view is not None else 0.0
        blast = f"The limits of plan {plan} apply to {consumer} ({rps:.1f} requests/s) from its next request."
        return Prepared("consumer.plan", f"consumer {consumer}", before, plan, blast, perform, before, subject=consumer)

    # --------------------------------------------------------------------------------------------------- credentials

    async def issue_key(self, wanted: Mapping[str, object], act: Act) -> Prepared:
        control = _there(self._controls.keys, "API keys")
        secrets: list[str] = []
        warnings = self._unknown_in(wanted)

        async def perform() -> str:
            try:
                view, secret = await now_or_later(control.issue(wanted, act))
            except ValueError as error:
                raise OperationRefused("invalid", str(error), errors=_errors(key=str(error))) from error
            secrets.append(secret)
            return f"active, id {view.id}"

        consumer = str(wanted.get("consumer", ""))
        blast = f"{consumer} can authenticate with one more key."
        return Prepared(
            "key.issue", f"keys of {consumer}", "-", "active", blast, perform, None, warnings=warnings, subject=consumer,
            secrets=secrets,
        )  # fmt: skip

    def _unknown_in(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """What a key would name that does not exist, as warnings when it is forced. Raises OperationRefused otherwise."""
        request = key_request(wanted)
        wrong = list(bad_networks(request.cidrs))
        unknown = list(unknown_names(request, self._overview().configuration))
        if wrong or (unknown and not wanted.get("force")):
            errors = [{"path": field, "message": said} for field, said in wrong + unknown]
            detail = "; ".join(said for _, said in wrong + unknown)
            hint = "" if wrong else ". Say force: true to issue it all the same."
            raise OperationRefused("invalid", f"{detail[:1].upper()}{detail[1:]}{hint}", errors=errors)
        return tuple(f"{said[:1].upper()}{said[1:]}." for _, said in unknown)

    async def rotate_key(self, id: str, overlap: float, act: Act) -> Prepared:
        control = _there(self._controls.keys, "API keys")
        view = await self._key(id)
        if view.state in ("revoked", "expired"):
            raise OperationRefused("conflict", f"The key is {view.state}.", current=view.state)
        secrets: list[str] = []

        async def perform() -> None:
            try:
                _, secret = await now_or_later(control.rotate(id, overlap, act))
            except Conflict as error:
                raise OperationRefused("conflict", str(error), current=view.state) from error
            secrets.append(secret)

        blast = f"{view.consumer}'s old secret ends in {overlap:g} s."
        return Prepared(
            "key.rotate", f"key {id}", view.state, "rotating", blast, perform, view.state, subject=view.consumer,
            secrets=secrets,
        )  # fmt: skip

    async def revoke_key(self, id: str, act: Act) -> Prepared:
        control = _there(self._controls.keys, "API keys")
        view = await self._key(id)

        async def perform() -> None:
            await now_or_later(control.revoke(id, act))

        blast = f"{view.consumer} is refused with this key from now on."
        return Prepared(
            "key.revoke", f"key {id}", view.state, "revoked", blast, perform, view.state, subject=view.consumer
        )

    async def import_keys(self, rows: Sequence[object], force: bool, act: Act) -> Prepared:
        """Keys of an export, or with the texts or hashes of another system. All of them, or none."""
        control = _there(self._controls.keys, "API keys")
        keys, wrong = control.read_rows(rows)
        if wrong:
            errors = [{"path": said.partition(":")[0], "message": said.partition(": ")[2]} for said in wrong[:100]]
            raise OperationRefused("invalid", f"{len(wrong)} key(s) cannot be brought: {wrong[0]}", errors=errors)
        configuration = self._overview().configuration
        unknown = {said for key in keys for _, said in unknown_names(request_of(key), configuration)}
        if unknown and not force:
            errors = [{"path": "keys", "message": said} for said in sorted(unknown)[:100]]
            raise OperationRefused(
                "invalid", f"{min(unknown)}. Say force: true to bring them all the same.", errors=errors
            )

        async def perform() -> str:
            added, there = await now_or_later(control.bring(keys, act))
            return f"{added} added, {there} there already"

        consumers = len({key.consumer for key in keys})
        blast = f"{len(keys)} keys of {consumers} consumer(s) can authenticate."
        warnings = tuple(f"{said[:1].upper()}{said[1:]}." for said in sorted(unknown)[:50])
        return Prepared("key.import", "keys", "-", f"{len(keys)} keys", blast, perform, None, warnings=warnings)

    async def revoke_keys(self, consumer: str, ids: Sequence[str], act: Act) -> Prepared:
        """All keys of a consumer, or those of these ids, at most `MOST_REVOKED`."""
        control = _there(self._controls.keys, "API keys")
        if bool(consumer) == bool(ids):
            raise OperationRefused("invalid", "Name a consumer, or ids.")
        chosen, more = list(dict.fromkeys(ids)), ""
        if consumer:
            views, more = await now_or_later(control.search(consumer, "", "", "", MOST_REVOKED))
            chosen = [view.id for view in views if view.state not in ("revoked", "expired")]
        for id in ids:
            await self._key(id)

        async def perform() -> str:
            return f"{await now_or_later(control.revoke_all(chosen, act))} revoked"

        whose = f"of {consumer}" if consumer else "chosen"
        warnings = (f"There are more than {MOST_REVOKED}: say it again for the rest.",) if more else ()
        blast = f"{len(chosen)} keys are refused from now on."
        return Prepared(
            "key.revoke_all", f"keys {whose}", f"{len(chosen)} good", "revoked", blast, perform, None, warnings=warnings,
            subject=consumer,
        )  # fmt: skip

    async def _key(self, id: str) -> ApiKeyView:
        view = await now_or_later(_there(self._controls.keys, "API keys").key(id))
        if view is None:
            raise OperationRefused("not_found", f"There is no key {id}.")
        return view

    async def revoke_session(self, id: str, act: Act) -> Prepared:
        control = _there(self._controls.sessions, "sessions")
        view = next((s for s in await now_or_later(control.sessions()) if s.id == id), None)

        async def perform() -> None:
            await now_or_later(control.revoke_session(id, act))

        warnings = () if view is not None else ("This session has not been seen; tokens naming it will be refused.",)
        subject = view.subject if view is not None else ""
        blast = "Every token of this session is refused from now on."
        return Prepared(
            "session.revoke", f"session {id}", "active", "revoked", blast, perform, warnings=warnings, subject=subject
        )

    async def revoke_subject(self, subject: str, act: Act) -> Prepared:
        control = _there(self._controls.sessions, "sessions")
        known = sum(1 for s in await now_or_later(control.sessions()) if s.subject == subject)

        async def perform() -> None:
            await now_or_later(control.revoke_subject(subject, act))

        blast = f"Every token of {subject} issued until now is refused ({known} session(s) seen)."
        return Prepared(
            "subject.revoke", f"subject {subject}", "active", "revoked", blast, perform,
            warnings=self._out_of_reach(subject), subject=subject,
        )  # fmt: skip

    def _out_of_reach(self, subject: str) -> tuple[str, ...]:
        """Credentials of a consumer of this name, or with this subject, that have no time of issue to be revoked by."""
        warnings: list[str] = []
        for consumer in self._overview().configuration.consumers:
            if subject not in (consumer.name, *(text.partition("|")[2] or text for text in consumer.subjects)):
                continue
            kinds = [
                *(("its password",) if consumer.basic_password_hash else ()),
                *(("its signature secret",) if consumer.signature_secret else ()),
                *(("its certificates",) if consumer.certificates or consumer.subjects else ()),
            ]
            if kinds:
                warnings.append(
                    f"Consumer {consumer.name} can still call with {', '.join(kinds)}: these end with the configuration."
                )
        return tuple(warnings)


def _there(control: T | None, what: str) -> T:
    if control is None:
        raise OperationRefused("unavailable", f"This gateway has no {what} to act on.")
    return control


def _breaker(overview: Overview, name: str) -> BreakerView:
    view = next((b for b in overview.breakers() if b.name == name), None)
    if view is None:
        raise OperationRefused("not_found", f"There is no circuit {name}.")
    return view


def _target(overview: Overview, upstream: str, name: str) -> TargetView:
    view = next((t for t in overview.targets() if t.upstream == upstream and t.name == name), None)
    if view is None:
        raise OperationRefused("not_found", f"{upstream} has no target {name}.")
    return view


def _errors(**members: str) -> list[dict[str, str]]:
    return [{"path": name, "message": message} for name, message in members.items()]


def blast_of_breaker(overview: Overview, view: BreakerView, verb: str) -> str:
    """How much traffic a circuit carries, and on which routes."""
    window = overview.picture.windows.upstreams.get(view.name.partition("/")[0])
    rps = view.rps or (window.rps if window is not None else 0.0)
    routes = ", ".join(view.routes[:5]) + (f" and {len(view.routes) - 5} more" if len(view.routes) > 5 else "")
    nodes = overview.picture.nodes
    silent = f"; {len(nodes.silent)} silent node(s) not counted" if nodes.silent else ""
    return f"{verb.capitalize()} {rps:.1f} requests/s on {len(view.routes)} route(s){': ' + routes if routes else ''}{silent}."
