"""Plugins in a whole gateway: each hook, what they may do, and that their failures stay theirs."""

from __future__ import annotations

import pytest

from spork.adapters.yaml.load import loads
from spork.adapters.yaml.schema import schema
from spork.plugins.finding import find
from spork.plugins.request import bounded_field
from spork.testing import Received, Reply, gateway
from tests.unit.plugins.examples import Watching, Wild

HERE = "tests.unit.plugins.examples"
UPSTREAMS = "upstreams: {echo: {targets: ['http://echo:1']}}\n"


def echo(received: Received) -> Reply:
    return Reply(200, pieces=[repr(sorted(received.headers)).encode()])


def route(what: str, plugin: str = "wild", more: str = "") -> str:
    return f"  - {{name: r-{what.replace(' ', '-')}, match: '/{what.replace(' ', '-')}', upstream: echo, plugins: {{{plugin}: {{what: '{what}'}}}}{more}}}\n"


async def test_what_goes_wrong_in_a_plugin_stays_in_it() -> None:
    wrongs = ("raise", "hang", "undeclared", "nonsense", "set x-user-id", "set host", "set content-length", "set te")
    config = f"plugins: ['{HERE}:Wild', '{HERE}:Lenient']\n{UPSTREAMS}routes:\n" + "".join(map(route, wrongs))
    config += "  - {name: lenient, match: /lenient, upstream: echo, plugins: {lenient: {what: raise}}}\n"
    async with gateway(config, upstreams=echo) as spork:
        for wrong in wrongs:
            answer = await spork.get("/" + wrong.replace(" ", "-"))
            assert (answer.status, answer.reason) == (503, "plugin_failed"), wrong
        assert (await spork.get("/lenient")).status == 200
        metrics = await spork.metrics()
        assert metrics["gateway_plugin_failures_total", "wild", "timeout"] == 1
        assert metrics["gateway_plugin_failures_total", "wild", "guard"] == len(wrongs) - 1
        assert metrics["gateway_plugin_verdicts_total", "wild", "r-raise", "failed"] == 1


async def test_verdicts_are_answered_with_the_plugins_own_reasons() -> None:
    config = f"plugins: ['{HERE}:Wild']\n{UPSTREAMS}routes:\n" + "".join(
        map(route, ("deny", "late", "set x-good", "go"))
    )
    async with gateway(config, upstreams=echo) as spork:
        denied = await spork.get("/deny")
        assert (denied.status, denied.reason, denied.json()["title"]) == (418, "wild_said_no", "No tea here")
        assert (denied.headers["retry-after"], denied.headers["x-tea"]) == ("3", "no")
        late = await spork.get("/late")
        assert (late.status, late.text) == (203, "late")
        told = await spork.get("/set-x-good", headers={"X-Good": "forged"})
        assert "(b'x-good', b'x')" in told.text
        assert "forged" not in told.text
        assert (await spork.get("/go")).status == 200


async def test_a_plugin_after_limits_knows_the_caller_that_another_one_verified() -> None:
    config = (
        f"plugins: ['{HERE}:Wild', {{use: '{HERE}:Passwords', options: {{words: [ann]}}}}]\n{UPSTREAMS}routes:\n"
        + route("who", more=", auth: plugin")
    )
    async with gateway(config, upstreams=echo) as spork:
        assert (await spork.get("/who", headers={"Authorization": "Bearer ann"})).text == "'ann'"
        assert (await spork.get("/who", headers={"Authorization": "Bearer bob"})).status == 401


async def test_observers_and_transports() -> None:
    Watching.heard.clear()
    config = (
        f"plugins: ['{HERE}:Watching', '{HERE}:Canned']\n"
        "upstreams: {echo: {targets: ['http://echo:1'], transport: canned}}\nroutes: [{name: a, match: /a, upstream: echo}]\n"
    )
    async with gateway(config) as spork:
        assert (await spork.get("/a")).text == "canned"
        summary = Watching.heard[0]
        assert (summary.route, summary.status, summary.path, summary.upstream) == ("a", 200, "/a", "echo")
        assert (await spork.metrics())["gateway_plugin_failures_total", "watching", "observe"] == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "plugins: [nowhere.at.all:Plugin]",
            r"spork.yaml:1:\d+: error: plugins\[0\]: nowhere.at.all:Plugin cannot be imported",
        ),
        ("plugins: [no_such_plugin]", r"plugins\[0\]: no installed plugin is called 'no_such_plugin'"),
        (f"plugins: ['{HERE}:NoName']", "its name '' is not"),
        (f"plugins: ['{HERE}:Unreadable']", "route_options cannot be read from YAML"),
        (f"plugins: ['{HERE}:What']", "is no class that derives from"),
        (f"plugins: ['{HERE}:Wild', '{HERE}:Wild']", 'two plugins called "wild"'),
        (f"plugins: ['{HERE}:Passwords']", r"plugins\[0\].options: \"words\" is missing"),
        (
            "routes: [{match: /a, upstream: echo, plugins: {wild: {what: x}}}]",
            r'routes\[0\].plugins.wild: no plugin "wild"',
        ),
        (
            f"plugins: ['{HERE}:Wild']\nroutes:\n  - match: /a\n    upstream: echo\n    plugins:\n      wild:\n        whta: x",
            r'spork.yaml:8:\d+: error: routes\[0\].plugins.wild.whta: no such key "whta"; did you mean "what"',
        ),
        ("upstreams: {b: {targets: ['http://b:1'], transport: pigeon}}", 'no transport "pigeon"'),
    ],
)
def test_what_is_written_of_plugins_is_checked_with_its_place(text: str, complaint: str) -> None:
    import re

    base = "" if text.startswith("upstreams") else UPSTREAMS
    said = [str(problem) for problem in loads(base + text if "8:" in complaint else text + "\n" + base).problems]
    assert any(re.search(complaint, line) for line in said), said


def test_the_schema_says_what_a_plugin_takes_and_secrets_are_masked() -> None:
    taken = schema([Wild])["$defs"]["Route"]["properties"]["plugins"]["properties"]["wild"]
    assert taken["properties"]["what"]
    assert taken["additionalProperties"] is False
    loaded = loads(
        f"plugins: ['{HERE}:Wild']\n{UPSTREAMS}routes: [{{match: /a, upstream: echo, plugins: {{wild: {{what: x, api_token: s}}}}}}]"
    )
    assert "api_token: s" not in loaded.text


def test_a_plugin_without_a_class_of_its_own_is_not_found_by_accident() -> None:
    with pytest.raises(ValueError, match="derives from"):
        find("spork.plugins.plugin:PluginContext")
    assert bounded_field("X-Ok", "v ") == (b"x-ok", b"v")
    for name in ("Connection", "X-Gateway-Route", "x_y", "Forwarded"):
        with pytest.raises(ValueError):
            bounded_field(name, "v")
    with pytest.raises(ValueError):
        bounded_field("x-ok", "a\r\nb")
