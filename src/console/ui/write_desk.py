"""Writes between the key and the notice: what may be done, the dialog, the one POST, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spork.console.gateway.faults import Invalid, LinkFault
from spork.console.gateway.topics import TOPICS
from spork.console.session.tiers import gate
from spork.console.session.writes import APPLIED, CHANGED, UNKNOWN, WRITES, Outcome, Write, body, left_without
from spork.console.text.spans import crop
from spork.console.ui.clipboard import Clipboard
from spork.console.ui.host import Host, Selected
from spork.console.ui.screens.pane import Pane

if TYPE_CHECKING:
    from spork.application.views import ActionResult
    from spork.console.ui.action_dialog import Confirmed


class WriteDesk:
    """Carries the operator's writes out, one after the other."""

    def __init__(self, host: Host, clipboard: Clipboard) -> None:
        self.host = host
        self.clipboard = clipboard
        self.last_audit = ""

    def possible(self, name: str, pane: Pane) -> bool:
        """Does the write make sense for the pane's row? (Whether it is allowed is asked when it begins.)"""
        chosen = self._chosen(WRITES[name], pane.selected())
        return bool(chosen) and not WRITES[name].blocked(chosen[0].row)

    def _chosen(self, write: Write, rows: list[Selected]) -> list[Selected]:
        """What the write would take: the rows; or nothing yet, for what it makes (the row lends it a name)."""
        return [Selected(write.topic, "", rows[0].row if rows else None)] if write.alone else rows

    def begin(self, name: str, argument: str = "") -> None:
        """A write's key was pressed: check, read again if stale, dry-run, then the dialog. `argument` was typed after
        its `:` word and stands in the first field."""
        write = WRITES[name]
        chosen = self._chosen(write, self.host.selected())
        if not chosen:
            self.host.tell(f"{write.title}: no row", "dim")
            return
        for one in chosen:
            refusal = self.host.session.refusal(write, one.row)
            if refusal:
                self.host.tell(refusal, "bad")
                return
        self.host.tell(f"{write.title}: asking the gateway what it would do…", "dim", 15)
        self.host.work(self._prepare(write, chosen, argument=argument), "write")

    async def _prepare(self, write: Write, chosen: list[Selected], note: str = "", argument: str = "") -> None:
        from spork.console.ui.action_dialog import ActionDialog, Confirmed, PlanField

        session = self.host.session
        try:
            rows = [await session.fresh_row(write, one.topic, one.key, one.row) for one in chosen]
        except LinkFault as fault:
            self.host.tell(f"{write.title} refused: {fault.word.lower()}: {fault}", "bad", 12)
            return
        refused = next(filter(None, (session.refusal(write, row) for row in rows)), "")
        if refused:  # the row as read now, not as it was painted
            self.host.tell(refused, "bad")
            return
        inputs = write.inputs(rows[0])
        if argument and inputs:
            inputs = (replace(inputs[0], default=argument), *inputs[1:])

        async def ask(values: Mapping[str, object]) -> list[ActionResult]:
            return [await session.preview(write, row, {**values, "reason": "dry run"}) for row in rows]

        previews, mend = list[Any](), ""
        try:
            previews = await ask(body(inputs, {"reason": "dry run"}))
        except LinkFault as fault:
            if isinstance(fault, Invalid) and any(each.name != "reason" for each in inputs):
                mend = crop(str(fault), 60)  # another value may do
            else:
                self.host.tell(f"{write.title} refused: {fault.word.lower()}: {fault}", "bad", 12)
                return
        seen = session.store.freshness(chosen[0].topic, session.mono())
        tier = max(session.tier(write, row) for row in rows)
        context = session.context
        if write.name == "drain":
            alone = left_without(rows, list(session.store.rows("targets")))
            if alone:
                note = f"no target of {', '.join(alone)} takes requests after this: its routes answer 503" + (
                    f"; {note}" if note else ""
                )
        plan = PlanField(
            write,
            inputs,
            rows,
            previews,
            gate(tier, write.label(rows[0]), len(rows), context.production),
            f"{context.name} · tier {3 if len(rows) > 1 else tier}",
            context.production,
            session.mono() - (seen.age or 0.0),
            f"POST /admin/v1{write.path(rows[0])}",
            note,
            ask,
            mend,
        )
        if not plan.gate.dialog:
            await self._send(Confirmed(plan, {}), chosen)
            return
        self.host.tell("")  # asked and answered
        confirmed = await self.host.ask(ActionDialog(plan, session.mono))
        if confirmed is None:
            self.host.tell(f"{write.title}: cancelled, nothing was sent", "dim")
            return
        await self._send(confirmed, chosen)

    async def _send(self, confirmed: Confirmed, chosen: list[Selected]) -> None:
        write = confirmed.plan.write
        for one, row, preview in zip(chosen, confirmed.plan.rows, confirmed.plan.preview, strict=True):
            refusal = self.host.session.refusal(write, row)
            if refusal:
                self.host.tell(refusal, "bad", 12)
                return
            rev = preview.revision if write.name != "probe" else None
            self.host.tell(f"{write.title}: sent, waiting for the gateway's answer…", "dim", 15)
            outcome = await self.host.session.perform(write, one.topic, row, confirmed.values, rev)
            result = outcome.result
            if result is not None and result.secret is not None:
                outcome = replace(outcome, result=replace(result, secret=None))
            self._report(outcome)
            if result is not None and result.secret is not None:
                await self._show_secret(write, result)
            if outcome.word == CHANGED and len(chosen) == 1:
                await self._again(write, one)
                return
            if outcome.word == UNKNOWN:
                self.host.session.store.notice(
                    outcome.text + "; UNKNOWN, verifying", "unknown", self.host.session.wall()
                )
                self._report(await self.host.session.verify(write, one.topic, one.key))
            if outcome.word == APPLIED and not TOPICS[one.topic].live:
                await self._reread(one.topic)
        pane = self.host.shown
        grid = pane.active_table() if pane is not None else None
        if grid is not None and len(chosen) > 1:
            grid.marks.clear()

    async def _show_secret(self, write: Write, result: ActionResult) -> None:
        """A new secret, in a window of its own; nothing else of the console ever holds it."""
        from spork.console.ui.secret import SecretWindow

        heading = f"New key {result.after.rpartition(' ')[2]}" if write.alone else f"New secret of {result.object}"
        await self.host.ask(
            SecretWindow(heading, result.secret or "", result.audit_id or "", self.clipboard.to_terminal)
        )

    async def _reread(self, topic: str) -> None:
        """What no stream carries shows what was done at its next reading: now, not in some seconds."""
        with suppress(LinkFault):
            await self.host.session.reread((topic,))

    async def _again(self, write: Write, one: Selected) -> None:
        try:
            await self.host.session.reread((one.topic,))
        except LinkFault as fault:
            self.host.tell(f"{fault.word} {fault}", "bad")
            return
        row = self.host.session.store.row(one.topic, one.key)
        if row is not None and not write.blocked(row):
            await self._prepare(
                write, [Selected(one.topic, one.key, row)], "it changed while you looked: confirm again"
            )

    def _report(self, outcome: Outcome) -> None:
        store = self.host.session.store
        audit = outcome.result.audit_id if outcome.result is not None else None
        text = outcome.text + (f"   audit {audit}" if audit else "")
        self.last_audit = audit or self.last_audit
        store.notice(f"{outcome.word} {text}", outcome.tone, self.host.session.wall(), audit or "")
        self.host.told_enough()
        self.host.pump(True)
