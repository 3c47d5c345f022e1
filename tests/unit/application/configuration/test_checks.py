"""The checks of a whole configuration, made by hand: what each says, and what it leaves alone."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from spork.adapters.yaml.load import loads
from spork.application.configuration.checks import check, needs_shared_state
from spork.application.configuration.model import (
    AdminListener,
    AdminToken,
    Configuration,
    EdgeLimits,
    ListenerTls,
    Mirror,
    RouteConfig,
    Split,
)
from spork.application.configuration.problems import Diagnostic, check_report, child, did_you_mean, errors, summary
from spork.domain.channels.rules import ChannelRule, Demand
from spork.domain.channels.settings import ChannelSettings, PusherApp, SlowBounds
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy, RequestSecurity
from spork.domain.identity.consumers import Consumer, TokenClaim
from spork.domain.identity.tokens import Issuer
from spork.domain.limits.limit import Limit
from spork.domain.objectives import Objective
from spork.domain.routing.patterns import Match, PathPattern, Rewrite
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import Fallback, PoolPolicy, Timeouts, TlsToTarget, Upstream, parse_target
from spork.domain.upstreams.retries import RetryPolicy

USERS = Upstream("users", (parse_target("http://127.0.0.1:7001"),))
ISSUER = Issuer("idp", "https://idp", ("api",), jwks_url="https://idp/jwks")


def route(path: str = "/users/*", name: str = "", upstream: str | None = "users", **more: object) -> RouteConfig:
    return RouteConfig(name or path, Match(PathPattern.parse(path)), upstream, **more)  # type: ignore[arg-type]


def configuration(*routes: RouteConfig, **more: object) -> Configuration:
    given: dict[str, object] = {"upstreams": (USERS,), "routes": routes or (route(),)}
    return Configuration(**(given | more))  # type: ignore[arg-type]


def said(configuration: Configuration) -> list[str]:
    return [f"{p.severity} {p.path}: {p.message}" for p in check(configuration)]


def test_a_plain_configuration_has_no_problem() -> None:
    assert said(configuration()) == []
    assert said(Configuration()) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            configuration(admin=AdminListener("0.0.0.0", 9000)),
            "warning admin.listen: the admin API would answer on 0.0.0.0",
        ),
        (configuration(admin=AdminListener("127.0.0.1", 8000)), "error admin.listen: is the data listener's address"),
        (
            configuration(admin=AdminListener(tokens=(AdminToken("a", "0"), AdminToken("a", "1")))),
            'error admin.tokens[1].name: "a" is the name of admin.tokens[0] too',
        ),
        (configuration(tls=ListenerTls("c", "k", None, True)), "error tls.require_client: needs client_ca"),
        (configuration(trusted_proxies=("0.0.0.0/0",)), "warning trusted_proxies[0]: lets every client choose"),
        (configuration(edge=EdgeLimits(header_timeout=0)), "error edge.header_timeout: must be longer than 0"),
        (configuration(edge=EdgeLimits(body_grace=0)), "error edge.body_grace: must be longer than 0"),
        (configuration(edge=EdgeLimits(header_bytes=100)), "error edge.header_bytes: is less than 1KiB"),
        (configuration(edge=EdgeLimits(drain_delay=30)), "warning edge.drain_delay: is longer than grace"),
    ],
)
def test_the_server(given: Configuration, expected: str) -> None:
    assert any(line.startswith(expected) for line in said(given)), said(given)


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (Upstream("users", ()), "error upstreams.users.targets: is missing or empty"),
        (
            replace(USERS, targets=(parse_target("http://a", priority=1),)),
            "warning upstreams.users.targets: no target has",
        ),
        (replace(USERS, timeouts=Timeouts(total=0)), "error upstreams.users.timeouts.total: must be longer than 0"),
        (replace(USERS, timeouts=Timeouts(connect=9, total=5)), "warning upstreams.users.timeouts.connect: is longer"),
        (
            replace(USERS, probe=ProbePolicy(every=1, timeout=2)),
            "error upstreams.users.probe.timeout: is longer than every",
        ),
        (replace(USERS, probe=ProbePolicy(path="health")), "error upstreams.users.probe.path: a path begins with /"),
        (
            replace(USERS, breaker=BreakerPolicy(window=0)),
            "error upstreams.users.breaker.window: must be longer than 0",
        ),
        (
            replace(USERS, breaker=BreakerPolicy(slow_call=99), timeouts=Timeouts(total=60)),
            "warning upstreams.users.breaker.slow_call: is longer",
        ),
        (
            replace(USERS, outliers=OutlierPolicy(eject_for=0)),
            "error upstreams.users.outliers.eject_for: must be longer",
        ),
        (
            replace(USERS, retries=RetryPolicy(per_try=90), timeouts=Timeouts(total=60)),
            "warning upstreams.users.retries.per_try: is longer",
        ),
        (replace(USERS, retries=RetryPolicy(attempts=50)), "warning upstreams.users.retries.attempts: more than 10"),
        (
            replace(USERS, fallback=Fallback(upstream="users")),
            "error upstreams.users.fallback.upstream: is the upstream itself",
        ),
        (replace(USERS, tls=TlsToTarget(verify=False)), "warning upstreams.users.tls.verify: anybody on the way"),
        (
            replace(USERS, tls=TlsToTarget(ca="ca.pem")),
            "warning upstreams.users.tls: has no effect: no target is https",
        ),
        (
            replace(USERS, pool=PoolPolicy(proxy="http://proxy:3128")),
            "error upstreams.users.proxy: transport httptools knows no proxies",
        ),
        (
            replace(USERS, pool=PoolPolicy(proxy="http://proxy:3128"), transport="httpx", probe=ProbePolicy()),
            "warning upstreams.users.probe: asks targets directly",
        ),
        (
            replace(
                USERS, targets=(parse_target("unix:///x.sock"),), pool=PoolPolicy(proxy="http://p:1"), transport="httpx"
            ),
            "error upstreams.users.proxy: leads to no unix socket",
        ),
    ],
)
def test_upstreams(upstream: Upstream, expected: str) -> None:
    lines = said(configuration(upstreams=(upstream,)))
    assert any(line.startswith(expected) for line in lines), lines


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (route(upstream="usrs"), 'error routes[0].upstream: no upstream "usrs"'),
        (route(upstream=None), "error routes[0]: leads nowhere"),
        (route("/a/{b}", upstream="{c}"), "error routes[0].upstream: the path /a/{b} has no {c}"),
        (route("/a/{b}", upstream="x-{b}"), 'error routes[0].upstream: "x-{b}" is neither'),
        (route(mirror=Mirror("shadow")), 'error routes[0].mirror: no upstream "shadow"'),
        (route(splits=(Split("users", 0.6), Split("users", 0.6))), "error routes[0].splits: weights add up"),
        (replace(route(splits=(Split("users", 0.5),)), upstream=None), "error routes[0].splits: has no effect"),
        (route(splits=(Split("users"),)), "error routes[0].splits[0]: takes no traffic"),
        (route(timeout=0.0), "error routes[0].timeout: must be longer than 0"),
        (route(rewrite=Rewrite(strip="/user")), "error routes[0].strip_prefix: /user is not how /users/* begins"),
        (route(rewrite=Rewrite(add="v2")), "error routes[0].add_prefix: 'v2' is not a path"),
        (route("/a", rewrite=Rewrite(path="/b{rest}")), "warning routes[0].rewrite: {rest} is empty"),
        (route("/health"), "error routes[0].match: the gateway answers /health itself"),
        (route("/ready/*"), "warning routes[0].match: the gateway answers /ready itself"),
        (route(auth=AuthPolicy(("jwt",))), "error routes[0].auth: asks for jwt, but there are no issuers"),
        (route(auth=AuthPolicy(("anonymous", "api_key"), roles=frozenset("r"))), "warning routes[0].auth: anonymous callers"),
        (route(auth=AuthPolicy((), ("anonymous",))), "error routes[0].auth.all_of: anonymous is no credential"),
        (route(auth=AuthPolicy(("api_key",), tenant="{t}")), "error routes[0].auth.tenant: names a path parameter"),
        (route(cors=CorsPolicy(("*", "https://a"))), "error routes[0].cors.origins: * stands alone"),
        (route(limits=(Limit("c", 1, 1.0, "consumer"),)), "warning routes[0].limits[0].by: counts by consumer"),
        (route(limits=(Limit("f", 1, 1.0, algorithm="fixed_window"),)), "warning routes[0].limits[0].algorithm: fixed_window admits"),
        (
            route(security=RequestSecurity(screen="block", screen_bytes=64 * 1024 + 1)),
            "error routes[0].security.screen_bytes: is more than 64KiB",
        ),
        (route(limits=(Limit("z", 0, 1.0),)), "warning routes[0].limits[0].quota: 0 refuses every request"),
        (route(limits=(Limit("p", 0, 0.0, source="plan"),)), "error routes[0].limits[0].from: there are no plans"),
        (
            route(limits=(Limit("l", 50_000, 1.0, algorithm="sliding_log"),)),
            "error routes[0].limits[0].algorithm: sliding_log remembers every request",
        ),
    ],
)  # fmt: skip
def test_routes(given: RouteConfig, expected: str) -> None:
    assert any(line.startswith(expected) for line in said(configuration(given))), said(configuration(given))


def test_files_must_exist_when_somebody_can_look() -> None:
    given = configuration(
        route(security=RequestSecurity(schema="order.json")),
        tls=ListenerTls("cert.pem", "key.pem"),
        issuers=(replace(ISSUER, jwks_url="", jwks_file="keys.json"),),
    )
    paths = {p.path for p in check(given, is_file=lambda name: name == "key.pem")}
    assert {"tls.cert", "issuers.idp.jwks_file", "routes[0].security.schema"} <= paths
    assert "tls.key" not in paths
    assert not any("no file" in p.message for p in check(given))


def test_both_places_of_a_conflict_are_said() -> None:
    one = replace(route("/u/{a}", "one"), origin="one.yaml:3")
    two = replace(route("/u/{b}", "two"), origin="two.yaml:9")
    (problem,) = check(configuration(one, two))
    assert (problem.path, problem.severity) == ("routes[1].match", "error")
    assert problem.message == 'ties with route "one" at one.yaml:3 for any method'


def test_dynamic_routes_use_every_upstream() -> None:
    other = Upstream("other", USERS.targets)
    assert said(configuration(upstreams=(USERS, other))) == ["warning upstreams.other: no route leads here"]
    assert said(configuration(route("/s/{name}/*", upstream="{name}"), upstreams=(USERS, other))) == []


def test_registered_services_need_no_target_yet() -> None:
    empty = Upstream("users", ())
    assert said(configuration(upstreams=(empty,), registration="token")) == []
    assert said(configuration(upstreams=(empty,), discovery_file="targets.json")) == []


def test_shared_limits_must_agree() -> None:
    one = Limit("shared", 5, 1.0, shared=True)
    same = configuration(route("/a", limits=(one,)), route("/b", limits=(one,)))
    assert said(same) == []
    (line,) = said(configuration(route("/a", limits=(one,)), route("/b", limits=(replace(one, quota=6),))))
    assert line.startswith('error routes[1].limits[0]: shared limit "shared" differs from routes[0].limits[0]')


def test_subjects_mean_one_consumer() -> None:
    consumers = (Consumer("a", subjects=("s",)), Consumer("b", subjects=("s",)))
    assert said(configuration(consumers=consumers)) == ['error consumers.b.subjects[0]: "s" means consumer "a" already']


def test_a_subject_that_several_could_issue_is_told_and_no_two_meet() -> None:
    issuers = (Issuer("main", "https://a", ("x",), keys=("k",)), Issuer("second", "https://b", ("x",), keys=("k",)))
    consumers = (Consumer("a", subjects=("s", "second|s", "mtls|s")), Consumer("b", subjects=("main|s",)))
    (warning, error) = said(configuration(consumers=consumers, issuers=issuers))
    assert warning.startswith('warning consumers.a.subjects[0]: "s" could be the name of several')
    assert "it is taken for one of main" in warning
    assert error == 'error consumers.b.subjects[0]: "main|s" means consumer "a" already'


def test_a_claim_of_a_consumer_is_of_an_issuer_that_there_is() -> None:
    consumers = (Consumer("a", claims=(TokenClaim("mian", "azp", "app"),)),)
    (line,) = said(configuration(consumers=consumers, issuers=(Issuer("main", "https://a", ("x",), keys=("k",)),)))
    assert line.startswith('error consumers.a.claims[0].issuer: no issuer "mian"')


@pytest.mark.parametrize("name", ["mtls", "auth_service", "a|b"])
def test_an_issuer_is_not_called_like_a_name_space(name: str) -> None:
    (line,) = said(configuration(issuers=(Issuer(name, "https://a", ("x",), keys=("k",)),)))
    assert "an issuer cannot be called" in line


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective("o", 0.99, route="usrs"), 'error objectives.o.route: no route "usrs"'),
        (Objective("o", 1.0), "error objectives.o.availability: must be more than 0 and less than 100%"),
    ],
)
def test_objectives(objective: Objective, expected: str) -> None:
    (line,) = said(configuration(route(name="users"), objectives=(objective,)))
    assert line.startswith(expected)


def test_references_to_what_could_not_be_read_are_left_alone() -> None:
    given = configuration(route(upstream="broken"), upstreams=())
    assert errors(check(given, unread={"upstreams.broken"})) == []
    assert errors(check(given))


class TestSharedState:
    def test_memory_is_enough_for_plain_routes(self) -> None:
        assert needs_shared_state(configuration()) == []

    def test_each_reason_is_named(self) -> None:
        limited = route(limits=(Limit("l", 1, 1.0),), name="r")
        given = configuration(
            limited, upstreams=(replace(USERS, breaker=BreakerPolicy()),), issuers=(ISSUER,), registration="open",
            channels=ChannelSettings(),
        )  # fmt: skip
        reasons = " / ".join(needs_shared_state(given))
        for word in (
            "limits are counted",
            "routes: r",
            "registered services",
            "revoked token",
            "circuits open",
            "upstreams: users",
            "events of channels",
        ):
            assert word in reasons

    def test_a_shared_store_is_enough_for_everything(self) -> None:
        assert needs_shared_state(configuration(route(limits=(Limit("l", 1, 1.0),)), shared="redis://r")) == []


class TestReport:
    def test_lines_are_in_order_and_counted(self) -> None:
        later = Diagnostic("b", "two", "", "error", "spork.yaml", 9, 1)
        sooner = Diagnostic("a", "one", "do this", "warning", "spork.yaml", 2, 5)
        assert check_report([later, sooner, later]).splitlines() == [
            "spork.yaml:2:5: warning: a: one; do this",
            "spork.yaml:9:1: error: b: two",
            "2 errors, 1 warning",
        ]
        assert check_report([]) == ""

    def test_a_line_is_a_line(self) -> None:
        assert "\n" not in str(Diagnostic("a", "said\nso \x1b[31m")) and "\x1b" not in str(Diagnostic("a", "\x1b[31m"))

    def test_summary(self) -> None:
        assert summary(replace(configuration(), revision="ab12cd")) == "ok: 1 upstream, 1 route, revision ab12cd"

    def test_paths(self) -> None:
        assert child(child(child("", "upstreams"), "a.b"), 0) == 'upstreams["a.b"][0]'

    def test_suggestions(self) -> None:
        assert did_you_mean("Usrs", ["users", "orders"]) == 'did you mean "users"?'
        assert did_you_mean("xyz", ["users"], "declare it") == "declare it"


def test_ten_thousand_routes_take_seconds() -> None:
    """Loose on purpose: what is quadratic takes minutes."""
    routes = tuple(route(f"/s{i}/items/*", f"r{i}", limits=(Limit("l", 5, 1.0),)) for i in range(10_000))
    begun = time.process_time()
    assert check(configuration(*routes)) == []
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("match: {path: /a, methods: [FOO]}", "FOO is no method that the gateway reads"),
        ("match: {path: /a, headers: {X_A: b}}", "requests with a header x_a are refused at the edge"),
        ("match: {path: /a, query: {a: 'c&d'}}", "'c&d' cannot stand in a query as it is"),
        ("match: {path: /a, query: {'a b': c}}", "'a b' cannot stand in a query as it is"),
        ("match: '/a\"b'", "is refused at the edge, so this can never match"),
        ("match: '/a%7Fb'", "is refused at the edge, so this can never match"),
        ("match: /a, headers: {response: {set: {Content-Length: '1'}}}", "content-length frames the message"),
        ("match: /a, headers: {response: {add: {Connection: close}}}", "connection frames the message"),
        ("match: /a, headers: {request: {set: {Transfer-Encoding: chunked}}}", "transfer-encoding frames the message"),
        ("match: /a, headers: {request: {remove: [Upgrade]}}", "upgrade frames the message"),
    ],
)
def test_what_could_never_work_is_refused(text: str, expected: str) -> None:
    loaded = loads("upstreams: {users: {targets: ['http://u:1']}}\nroutes: [{name: r, upstream: users, " + text + "}]")
    assert loaded.configuration is None
    assert any(expected in problem.message for problem in loaded.problems), loaded.problems
    assert not any("another route" in problem.message for problem in loaded.problems)


class TestChannels:
    def check(self, **settings: object) -> str:
        given = ChannelSettings(**settings)  # type: ignore[arg-type]
        return " / ".join(f"{p.severity} {p.path} {p.message}" for p in check(configuration(channels=given)))

    def test_patterns_parts_and_names_are_checked(self) -> None:
        rules = (
            ChannelRule("a*b"),
            ChannelRule("x/{t}", tenant="tenant"),
            ChannelRule("y", publish=Demand(anonymous=True)),
            ChannelRule("y"),
        )
        said = self.check(rules=rules, origins=("app.example.com",))
        for wanted in (
            "error channels.rules[0].match * stands at the end",
            "error channels.rules[1].tenant match has no {tenant}",
            "warning channels.rules[2].publish anonymous",
            "error channels.rules[3].match is that of rules[2]",
            "error channels.origins[0]",
        ):
            assert wanted in said

    def test_ways_in_are_checked(self) -> None:
        assert "error channels has no way in" in self.check(mercure="")
        assert "error channels.personal.topic" in self.check(personal="/ws/{id}", personal_topic="clients/{name}")
        assert "error channels.pusher.secret" in self.check(pusher=PusherApp(key="k", secret="short"))
        assert "error channels.slow.queue_bytes" in self.check(slow=SlowBounds(queue_bytes=10))
        assert "warning channels.rules is empty" in self.check()
