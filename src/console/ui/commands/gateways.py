"""Which gateway is looked at: other contexts, and the token anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from spork.console.gateway.contexts import BadContext, Context
from spork.console.text.colours import THEMES
from spork.console.ui.host import Handler, Host


class Gateways:
    """See the module. `forget` leaves every pane of the old gateway; `use_theme` dresses the console for the new one."""

    def __init__(
        self,
        host: Host,
        contexts: Mapping[str, Context],
        forget: Callable[[], Awaitable[None]],
        use_theme: Callable[[str], None],
    ) -> None:
        self._host = host
        self._contexts = contexts
        self._forget = forget
        self._use_theme = use_theme

    def handlers(self) -> dict[str, Handler]:
        return {"beside": self.do_beside, "context": self.do_context, "login": self.do_login}

    def do_context(self, argument: str = "") -> None:
        if argument in self._contexts:
            self._host.work(self._switch(self._contexts[argument]), "context")
        elif argument:
            self._host.tell(f"no context {argument!r}; there are {', '.join(self._contexts) or 'none'}", "bad")
        elif self._contexts:
            from spork.console.ui.picker import Picker

            choices = [
                (name, f"{context.url}{'   PROD' if context.production else ''}")
                for name, context in self._contexts.items()
            ]
            self._host.choose(Picker("Gateways", choices, self._host.session.context.name), self._picked)
        else:
            self._host.tell("no contexts: see docs/console.md for ~/.config/spork/console.toml", "dim")

    def _picked(self, name: str | None) -> None:
        if name is not None:
            self.do_context(name)

    async def _switch(self, context: Context) -> None:
        try:
            await self._host.session.switch(context)
        except BadContext as error:
            self._host.tell(str(error), "bad")
        if context.theme in THEMES:
            self._use_theme(context.theme)
        await self._forget()

    def do_beside(self, argument: str = "") -> None:
        names = argument.replace(",", " ").split() or list(self._contexts)
        unknown = [name for name in names if name not in self._contexts]
        if unknown:
            self._host.tell(f"no context {unknown[0]!r}; there are {', '.join(self._contexts) or 'none'}", "bad")
            return
        self._host.go("beside", " ".join(names))

    def do_login(self, argument: str = "") -> None:
        self._host.tell("fetching the token again", "dim")
        self._host.work(self._host.session.login(), "context")
