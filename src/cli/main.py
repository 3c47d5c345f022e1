"""The `spork` command. Each subcommand lives in `adapters/commands/` and is imported only when it is called."""

from __future__ import annotations

import importlib

import click

#: command -> (module, attribute, one line for the list of commands)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("spork.cli.commands.init", "init", "Write a commented configuration to begin with."),
    "serve": ("spork.cli.commands.serve", "serve", "Run the gateway."),
    "demo": ("spork.cli.commands.demo", "demo", "Gateway and three small services; prints what to try."),
    "check": ("spork.cli.commands.check", "check", "Compile a configuration as serve would; show every error."),
    "doctor": ("spork.cli.commands.doctor", "doctor", "Whether this machine and what is configured are fit to serve."),
    "explain": (
        "spork.cli.commands.explain",
        "explain",
        "Which route takes a request, why the others lost, what would be sent.",
    ),
    "register": (
        "spork.cli.commands.register",
        "register",
        "Announce a service to a gateway and keep its lease alive.",
    ),
    "keys": ("spork.cli.commands.keys", "keys", "Issue, rotate, revoke and list API keys."),
    "token": ("spork.cli.commands.token", "token", "Signing keys and development tokens."),
    "records": ("spork.cli.commands.keys", "records", "Upgrade the database of consumers, keys, audit and usage."),
    "diff": ("spork.cli.commands.apply", "diff", "How a configuration differs from what a gateway runs (exit 0 or 2)."),
    "apply": ("spork.cli.commands.apply", "apply", "Put a configuration into force on a running gateway."),
    "audit": ("spork.cli.commands.audit", "audit", "Verify, export, thin out and clear the audit trail."),
    "versions": ("spork.cli.commands.versions", "versions", "Versions of APIs, and who still calls them."),
    "maintenance": (
        "spork.cli.commands.maintenance",
        "maintenance",
        "Take routes, or the whole gateway, away and bring them back.",
    ),
    "cache": ("spork.cli.commands.cache", "cache", "What is stored of a URL, and purging it."),
    "usage": ("spork.cli.commands.usage", "usage", "What consumers used, for people and for billing."),
    "support": ("spork.cli.commands.support", "support", "One file with what helpers need, without secrets."),
    "openapi": (
        "spork.cli.commands.openapi",
        "openapi",
        "The published OpenAPI document; what a new version of one breaks.",
    ),
    "graphql": ("spork.cli.commands.graphql", "graphql", "GraphQL documents: check, register, and what was asked for."),
    "import": ("spork.cli.commands.importing", "importing", "Routes from what other tools wrote."),
    "export": ("spork.cli.commands.export", "export", "Configuration of a proxy in front that asks for decisions."),
    "schema": ("spork.cli.commands.check", "schema", "JSON Schema of the configuration, for editors."),
}


class Lazy(click.Group):
    """A group whose commands are imported on use, so that `spork check` does not load a web framework."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise click.UsageError(f'no command "{args[0]}".{hint}', ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spork-gateway", prog_name="spork")
def spork() -> None:
    """An API gateway in typed Python."""


def main() -> None:
    """Entry point of the `spork` script."""
    spork(prog_name="spork")
