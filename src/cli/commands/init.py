"""`spork init`: a commented configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

STARTING = """\
# The configuration of a Spork gateway. Every key: docs/configuration.md, or `spork schema` for an editor.
#   spork check              every mistake, with its line
#   spork explain GET {path}  which route takes a request, and what would be sent
#   spork serve              run it; a changed file is read again by itself
# ${{NAME:-default}} takes a value from the environment, ${{file:/run/secrets/name}} from a file.

listen: ${{LISTEN:-127.0.0.1:8000}}        # behind a load balancer: 0.0.0.0:8000, and trusted_proxies: [its network]
admin: {{listen: 127.0.0.1:9000}}          # admin API and metrics; the console asks here
expose: [health, ready]                  # own endpoints on the data listener

# Several gateways, or several workers, count limits and share circuits through Redis:
# shared: redis://127.0.0.1:6379/0
# Keys, plans, audit and usage of a fleet:
# records: postgresql://spork:${{DB_PASSWORD}}@127.0.0.1/spork

upstreams:
  {name}:
    targets: [{target}]
    # probe: {{path: /health, every: 5s}}        # a target that fails its probe gets no requests
    breaker: {{}}                              # refuses at once while the service fails; the defaults are careful
    retries: {{attempts: 1, budget: 20%}}       # never more than a fifth of the requests again

routes:
  - name: {name}
    match: {match}
    upstream: {name}
    limits: [{{name: per-address, quota: 100, per: 1m, by: ip}}]
    # auth: {{any_of: [jwt, api_key]}}          # who may call: docs/identity.md
    # cache: {{ttl: 30s}}                       # answers that may be kept: docs/cache.md
"""


@click.command()
@click.argument("target", default="http://127.0.0.1:3000")
@click.option("--path", default="/*", show_default=True, help="The paths that go to it.")
@click.option("--name", default="app", show_default=True, help="What it is called.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("spork.yaml"),
    show_default=True,
    help="The file to write; - for standard output.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(target: str, path: str, name: str, output: Path, force: bool) -> None:
    """Write a commented configuration for the service at TARGET, to begin with."""
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter(f"{target!r} is not http://HOST:PORT or https://HOST", param_hint="TARGET")
    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} does not begin with /", param_hint="--path")
    text = STARTING.format(target=target, match=path, name=name, path=path.replace("*", "") or "/")
    from spork.adapters.yaml.load import loads
    from spork.application.configuration.problems import check_report, errors

    problems = errors(loads(text, str(output), {}, ".").problems)
    if problems:
        raise click.ClickException(f"this would not be a configuration:\n{check_report(problems)}")
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{output} is there already; --force writes over it, -o names another") from None
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"{output} is written: {path} goes to {target}. Next: spork check -c {output}; spork serve -c {output}")
