"""What `spork check` says of decisions: who may ask, and what a front cannot express."""

from __future__ import annotations

from spork.adapters.yaml.load import loads

BASE = "upstreams: {echo: {targets: ['http://127.0.0.1:1'], retries: {attempts: 2}}}\n"


def said(text: str) -> list[str]:
    return [str(problem) for problem in loads(BASE + text).problems]


def test_each_policy_that_a_front_cannot_express_is_named() -> None:
    found = said(
        "decisions: {from: [127.0.0.0/8], fronts: [traefik, nginx]}\n"
        "routes: [{name: a, match: /a, upstream: echo, cache: true, timeout: 1s, limits: [{quota: 1, per: 1s}],"
        " cors: {origins: ['https://a.test']}, splits: [{upstream: echo, weight: 10%}], strip_prefix: /a}]\n"
    )
    traefik = next(line for line in found if "behind traefik" in line)
    nginx = next(line for line in found if "behind nginx" in line)
    assert traefik.endswith(
        "express them: RateLimit fields, cache, cors, rewrite, splits, timeout, upstream's retries;"
        " let such requests go through this gateway, or set the same at the front"
    )
    assert "RateLimit" not in nginx
    assert "spork.yaml:3" in traefik


def test_a_route_without_such_policies_is_not_complained_about() -> None:
    found = loads(
        "upstreams: {echo: {targets: ['http://127.0.0.1:1']}}\n"
        "decisions: {from: [unix], listen: 'unix:x.sock', fronts: [envoy]}\nroutes: [{match: /a, upstream: echo}]\n"
    )
    assert not found.problems


def test_who_may_ask_is_looked_at() -> None:
    assert any("names nobody" in line for line in said("decisions: {fronts: [nginx]}\n"))
    assert any("lets everybody say" in line for line in said("decisions: {from: [0.0.0.0/0], fronts: [nginx]}\n"))
    assert any(
        "add unix" in line for line in said("decisions: {listen: 'unix:a', from: [10.0.0.0/8], fronts: [nginx]}\n")
    )
    assert any("is the address of listen" in line
        for line in said("decisions: {listen: '127.0.0.1:8000', from: [10.0.0.0/8], fronts: [nginx]}\n"))  # fmt: skip
    assert any("as it came" in line
        for line in said("decisions: {from: [10.0.0.0/8], fronts: [nginx], normalize: nginx}\n"))  # fmt: skip
    assert any("is not one of" in line for line in said("decisions: {from: [10.0.0.0/8], fronts: [ngnix]}\n"))
