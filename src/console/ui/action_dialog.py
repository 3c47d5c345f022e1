"""The dialog of an action: shows what the server's dry run said, and opens only after it. Cancel has the focus, always."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from spork.application.views import ActionResult
from spork.console.gateway.faults import LinkFault
from spork.console.session.tiers import Gate
from spork.console.session.writes import Input as Typed
from spork.console.session.writes import Write, body
from spork.console.text.freshness import age
from spork.console.text.labels import is_state, state
from spork.console.text.sanitize import clean
from spork.console.text.spans import BLANK, Line, crop, wrap
from spork.console.ui.widgets.lines import Box

Ask = Callable[[Mapping[str, object]], Awaitable[list[ActionResult]]]
ASK_AFTER = 0.4
"""Seconds without typing after which the gateway is asked about a changed value."""


@dataclass(frozen=True, slots=True)
class PlanField:
    """What an action dialog is about."""

    write: Write
    inputs: tuple[Typed, ...]
    rows: list[Any]
    preview: list[ActionResult]
    gate: Gate
    where: str
    production: bool
    read_at: float
    """Monotonic time at which the rows were read."""
    call: str
    note: str = ""
    ask: Ask | None = None
    """Asks the gateway again, for other values than were previewed. Raises a Fault."""
    refused: str = ""
    """Why the gateway would not do it as it stands; another value may mend that."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The operator said yes, with these values; `plan` is what was confirmed."""

    plan: PlanField
    values: dict[str, object] = field(default_factory=dict)


class ActionDialog(ModalScreen[Confirmed | None]):
    """Before and after, blast radius, what to type. Answers Confirmed, or None for Cancel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "cancel", "Cancel"),
        ("left", "app.focus_previous", ""),
        ("right", "app.focus_next", ""),
    ]
    AUTO_FOCUS = "#cancel"
    VERTICAL_BREAKPOINTS = [(0, "low"), (30, "high")]  # noqa: RUF012

    def __init__(self, plan: PlanField, now: Callable[[], float]) -> None:
        """`now` is the clock of `plan.read_at`."""
        super().__init__()
        self.plan = plan
        self._now = now
        self.inputs = plan.inputs
        self.armed = plan.gate.arm_seconds <= 0
        self.refused = plan.refused
        self._asked = self._values()

    def compose(self) -> ComposeResult:
        plan = self.plan
        with Vertical(id="dialog"):
            yield Box("dialog-title", on="bar")
            yield Box("dialog-facts", on="bar")
            for each in self.inputs:
                with Horizontal(classes="field"):
                    yield Box(f"label-{each.name}", on="bar")
                    yield Input(each.default, id=f"input-{each.name}", compact=True, select_on_focus=True)
            if plan.gate.typed is not None:
                with Horizontal(classes="field"):
                    yield Box("label-typed", on="bar")
                    yield Input("", id="input-typed", compact=True, placeholder=self._name_to_type(self._defaults()))
            yield Box("dialog-say", on="bar")
            with Horizontal(id="dialog-buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(plan.write.verb, id="confirm", compact=True, disabled=True)

    def on_mount(self) -> None:
        self.query_one("#dialog-title", Box).show([self._title()])
        self._show_facts()
        for each in self.inputs:
            self.query_one(f"#label-{each.name}", Box).show([[(each.label, "dim")]])
        if self.plan.gate.typed is not None:
            what = "type count" if len(self.plan.rows) > 1 else "type name"
            self.query_one("#label-typed", Box).show([[(what, "warn")]])
        if not self.armed:
            self.set_timer(self.plan.gate.arm_seconds, self._arm)
        self._judge()
        self.set_interval(1.0, self._show_facts)

    def _show_facts(self) -> None:
        """Painted once a second, because it says how old it is."""
        facts = self._facts()
        box = self.query_one("#dialog-facts", Box)
        box.styles.height = len(facts)
        box.show(facts)

    def _title(self) -> Line:
        plan = self.plan
        line: Line = [(" PROD ", "prod"), (" ", "")] if plan.production else []
        count = f" × {len(plan.rows)}" if len(plan.rows) > 1 else ""
        return [
            *line,
            (plan.write.title_of(plan.rows[0] if plan.rows else None) + count, "title"),
            (f"   {plan.where}", "dim"),
        ]

    def _facts(self) -> list[Line]:
        plan, width = self.plan, 60
        lines: list[Line] = [BLANK]
        if len(plan.rows) > 1:
            return [*lines, *self._many(), _row("call", plan.call, "dim"), BLANK]
        for row, preview in list(zip(plan.rows, plan.preview, strict=False))[:4]:
            lines.append(_row("object", clean(plan.write.label(row)), "bold"))
            word, tone = _stated(preview.before)
            seen = (f"   read {age(self._now() - plan.read_at)} ago", "dim")
            lines.append([*_row("now", word, tone), seen])
            lines.append(_row("after", *_stated(preview.after)))
            for index, piece in enumerate(wrap(preview.blast or "none told", width)):
                lines.append(_row("blast" if index == 0 else "", piece))
            for warning in preview.warnings[:3]:
                lines.append(_row("warning", warning, "warn"))
        if not plan.preview:
            lines.append(_row("object", clean(plan.write.label(plan.rows[0])), "bold"))
        if len(plan.rows) > 4:
            lines.append(_row("", f"and {len(plan.rows) - 4} more", "dim"))
        if plan.note:
            lines += [_row("note" if not at else "", piece, "warn") for at, piece in enumerate(wrap(plan.note, width))]
        return [*lines, _row("call", plan.call, "dim"), BLANK]

    def _many(self) -> list[Line]:
        """A line for each of several rows, and what is true of them together: short, for small windows."""
        plan = self.plan
        lines: list[Line] = []
        for row, preview in list(zip(plan.rows, plan.preview, strict=False))[:5]:
            word, tone = _stated(preview.before)
            after, after_tone = _stated(preview.after)
            lines.append(
                [
                    *_row("object", f"{clean(plan.write.label(row))}  ", "bold"),
                    (word, tone),
                    (" → ", "dim"),
                    (after, after_tone),
                ]
            )
        if len(plan.rows) > 5:
            lines.append(_row("", f"and {len(plan.rows) - 5} more", "dim"))
        if plan.note:
            lines += [_row("note" if not at else "", piece, "bad") for at, piece in enumerate(wrap(plan.note, 60))]
        return lines

    # ----------------------------------------------------------------------------------------------- judging

    def _arm(self) -> None:
        self.armed = True
        self._judge()

    def _values(self) -> dict[str, object] | None:
        """What decides the outcome, as typed so far: all but the reason. None while it cannot be read."""
        typed = self.typed() if self.is_mounted else {}
        try:
            return {name: value for name, value in body(self.inputs, typed).items() if name != "reason"}
        except ValueError:
            return None

    async def _ask(self, values: dict[str, object]) -> Any:
        """Before, after and blast for the values that stand there now."""
        await asyncio.sleep(ASK_AFTER)
        if self.plan.ask is None:
            return
        try:
            self.plan = replace(self.plan, preview=await self.plan.ask(values))
            self.refused = ""
        except LinkFault as fault:
            self.refused = crop(str(fault), 60)
        self._asked = values
        if self.is_mounted:
            self._show_facts()
            self._judge()

    def _defaults(self) -> dict[str, str]:
        return {each.name: each.default for each in self.inputs}

    def typed(self) -> dict[str, str]:
        return {each.name: self.query_one(f"#input-{each.name}", Input).value for each in self.inputs}

    def _name_to_type(self, typed: Mapping[str, str]) -> str:
        """What proves that the operator means this object."""
        name = self.plan.write.named_by
        return (typed.get(name, "").strip() if name else "") or self.plan.gate.typed or ""

    def missing(self) -> str:
        """What keeps the button locked; '' if nothing does."""
        gate, typed = self.plan.gate, self.typed()
        try:
            body(self.inputs, typed)
        except ValueError as error:
            return str(error)
        if self._values() != self._asked:
            return "asking the gateway what that would do…"
        if self.refused:
            return self.refused
        if gate.reason and not typed.get("reason", "").strip():
            return "a reason is needed; it goes into the audit"
        wanted = self._name_to_type(typed)
        if gate.typed is not None and self.query_one("#input-typed", Input).value.strip() != wanted:
            return f"type {crop(wanted, 40)} to confirm"
        return "" if self.armed else f"arming: {gate.arm_seconds:.0f} s to think"

    def _judge(self) -> None:
        missing = self.missing()
        self.query_one("#confirm", Button).disabled = bool(missing)
        say: Line = [(missing, "bad" if missing == self.refused else "dim")] if missing else [("ready", "ok")]
        if not missing and self.plan.gate.quick_yes:
            say = [("y confirms", "dim")]
        self.query_one("#dialog-say", Box).show([say])

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        values = self._values()
        if values is not None and values != self._asked and self.plan.ask is not None:
            self.run_worker(partial(self._ask, values), exclusive=True, group="ask", exit_on_error=False)
        self._judge()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.focus_next()

    def on_key(self, event: events.Key) -> None:
        if event.key == "y" and self.plan.gate.quick_yes and not isinstance(self.focused, Input) and not self.missing():
            event.stop()
            self._confirm()

    def on_button_pressed(self, message: Button.Pressed) -> None:
        message.stop()
        if message.button.id == "confirm":
            self._confirm()
        else:
            self.dismiss(None)

    def _confirm(self) -> None:
        if not self.missing():
            self.dismiss(Confirmed(self.plan, body(self.inputs, self.typed())))

    def action_cancel(self) -> None:
        self.dismiss(None)


def _stated(text: str) -> tuple[str, str]:
    """The server's word for a state, said as everywhere in the console; anything else as it came."""
    known = is_state(text)
    return (str(state(text)).strip(), state(text).tone) if known else (text, "bold")


def _row(label: str, text: str, tone: str = "") -> Line:
    return [(f"{label:<9}", "dim"), (text, tone)]
