"""`spork explain`: what would happen to a request, without a gateway, or asked of a running one with its live state."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from spork.cli.commands.admin_client import AdminClient, find_token
from spork.cli.commands.options import chosen_config, config_option


@click.command()
@config_option
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, help="A request header, `Name: value`.")
@click.option("--data", default="", help="The request's body; shows what the target would get of it.")
@click.option("--client", default="", help="The client's address.")
@click.option("--live", "admin_url", envvar="SPORK_ADMIN_URL", help="Ask the running gateway at this admin URL.")
@click.option("--token", envvar="SPORK_ADMIN_TOKEN", help="Admin token for --live.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(
    config: Path | None,
    method: str,
    url: str,
    headers: tuple[str, ...],
    data: str,
    client: str,
    admin_url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Which route takes a request, why the others lost, what guards say, what would be sent. Sends nothing.

    Exit 0 when the request would be forwarded or answered, 1 when it would be refused.
    """
    pairs = [_pair(header) for header in headers]
    question = {"method": method, "url": url, "headers": pairs, "client": client}
    if data:
        question["data"] = data
    if admin_url:
        joined: dict[str, str] = {}
        for name, value in pairs:  # the API takes a mapping; lines of one name are one list (RFC 9110 5.3)
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        body = json.dumps(question | {"headers": joined}).encode()
        answer = AdminClient(admin_url, find_token(token, None)).call("POST", "/admin/v1/explain", body)
    else:
        answer = asyncio.run(_offline(chosen_config(config), question))
    click.echo(json.dumps(answer, indent=2) if as_json else "\n".join(lines(answer)))
    if answer["refusal"]:
        sys.exit(1)


async def _offline(path: Path | None, question: dict[str, Any]) -> dict[str, Any]:
    import os
    from dataclasses import asdict

    from spork.adapters.yaml.load import load
    from spork.application.admin.explain import NotARequest
    from spork.application.configuration.problems import check_report
    from spork.composition.gateway import GatewayContainer

    loaded = load(path, os.environ)
    if loaded.configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    container = GatewayContainer(configuration=loaded.configuration, config_path=path)
    container.configurator().apply(loaded.configuration)
    try:
        return asdict(await container.explainer().explain(**question))
    except NotARequest as error:
        raise click.ClickException(str(error)) from error


def _pair(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        raise click.BadParameter(f"{header!r} is not `Name: value`", param_hint="-H")
    return name.strip(), value.strip()


def lines(answer: dict[str, Any]) -> list[str]:
    """An explanation for people."""
    found = [answer["request"], ""]
    for candidate in answer["candidates"]:
        mark = "*" if candidate["won"] else " "
        found.append(f"{mark} {candidate['route']}  {candidate['pattern']}  {candidate['why']}")
    if not answer["candidates"]:
        found.append("  no route takes this path")
    found.append("")
    for guard in answer["guards"]:
        found.append(f"{guard['phase']}: {guard['verdict']}: {guard['detail']}")
    for name in ("upstream", "breaker", "target", "wire_target"):
        if answer[name]:
            found.append(f"{name.replace('_', ' ')}: {answer[name]}")
    found += [f"  {name}: {value}" for name, value in answer["request_headers"]]
    found += [f"note: {note}" for note in answer["notes"]]
    found.append(f"refused: {answer['refusal']}" if answer["refusal"] else "would be served")
    return found
