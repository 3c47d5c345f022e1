"""Reading: files, includes, variables, overrides, services of the environment, quarantine."""

from __future__ import annotations

from pathlib import Path

import pytest

from spork.adapters.yaml.load import Loaded, load, loads
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import errors

UPSTREAM = "upstreams: {users: {targets: [http://127.0.0.1:7001]}}\n"
ROUTE = "routes: [{name: users, match: /users/*, upstream: users}]\n"


def good(loaded: Loaded) -> Configuration:
    assert loaded.configuration is not None, "\n".join(map(str, loaded.problems))
    return loaded.configuration


def messages(loaded: Loaded) -> list[str]:
    return [str(p) for p in loaded.problems]


def route(configuration: Configuration, name: str) -> RouteConfig:
    return next(r for r in configuration.routes if r.name == name)


class TestNothing:
    def test_no_file_is_the_defaults(self) -> None:
        configuration = good(load(None, {}))
        assert (configuration.host, configuration.port) == ("127.0.0.1", 8000)
        assert configuration.routes == ()

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "{}", "~", "---\n", "routes:\nupstreams:\n"])
    def test_an_empty_file_too(self, text: str) -> None:
        assert good(loads(text)).upstreams == ()

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "spork.yaml").write_text("")
        loaded = load(tmp_path / "sprok.yaml", {})
        assert loaded.configuration is None
        assert 'did you mean "spork.yaml"?' in messages(loaded)[0]

    def test_a_directory(self, tmp_path: Path) -> None:
        assert "is a directory" in messages(load(tmp_path, {}))[0]


class TestVariables:
    def test_values_are_filled_in_and_keep_their_kind(self) -> None:
        text = "listen: ${HOST:-127.0.0.1}:${PORT}\nedge: {max_in_flight: ${MOST:-7}, body_bytes: '${SIZE}'}\n"
        text = text.replace("${MOST:-7}", '"${MOST:-7}"')
        configuration = good(loads(text, environ={"PORT": "81", "SIZE": "2MiB"}))
        assert (configuration.host, configuration.port) == ("127.0.0.1", 81)
        assert configuration.edge.max_in_flight == 7
        assert configuration.edge.body_bytes == 2 * 1024 * 1024

    def test_a_value_cannot_add_structure(self) -> None:
        loaded = loads("state_dir: ${X}\n", environ={"X": "a\nlisten: 0.0.0.0:1"})
        configuration = good(loaded)
        assert configuration.state_dir == "a\nlisten: 0.0.0.0:1"
        assert configuration.host == "127.0.0.1"

    def test_a_value_is_not_expanded_again(self) -> None:
        assert good(loads("state_dir: ${X}", environ={"X": "${Y}"})).state_dir == "${Y}"

    @pytest.mark.parametrize(
        ("written", "value"),
        [("$$", "$"), ("$${X}", "${X}"), ("a$b", "a$b"), ("${E:-}", ""), ("${EMPTY:-d}", "d"), ("${EMPTY}", "")],
    )
    def test_dollars(self, written: str, value: str) -> None:
        text = f"routes: [{{match: /a, redirect: /b, metadata: {{note: '{written}'}}}}]"
        assert good(loads(text, environ={"EMPTY": ""})).routes[0].metadata["note"] == value

    def test_keys_are_not_expanded(self) -> None:
        assert 'no such key "${X}"' in messages(loads('"${X}": 1', environ={"X": "listen"}))[0]


class TestOverrides:
    def test_a_scalar_anywhere_by_its_path(self) -> None:
        environ = {
            "SPORK_LISTEN": "0.0.0.0:80",
            "SPORK_EDGE__BODY_BYTES": "1MiB",
            "SPORK_ADMIN__LISTEN": "127.0.0.1:1",
            "SPORK_UPSTREAMS__USERS__TIMEOUTS__TOTAL": "3s",
            "SPORK_ROUTES__0__TIMEOUT": "2s",
            "SPORK_TRUSTED_PROXIES": "10.0.0.0/8, 192.168.0.0/16",
            "SPORK_UPSTREAMS__USERS__TARGETS": "http://127.0.0.1:1,http://127.0.0.1:2",
        }
        configuration = good(loads("listen: 127.0.0.1:8000\n" + UPSTREAM + ROUTE, environ=environ))
        assert (configuration.host, configuration.port, configuration.admin.port) == ("0.0.0.0", 80, 1)
        assert configuration.edge.body_bytes == 1024 * 1024
        assert configuration.upstreams[0].timeouts.total == 3.0
        assert configuration.routes[0].timeout == 2.0
        assert configuration.trusted_proxies == ("10.0.0.0/8", "192.168.0.0/16")
        assert [t.port for t in configuration.upstreams[0].targets] == [1, 2]

    @pytest.mark.parametrize(
        ("variable", "value", "said"),
        [
            ("SPORK_LISTEN", "80", "environment SPORK_LISTEN: error: listen: an address is host:port"),
            ("SPORK_LISTNE", "x", 'environment SPORK_LISTNE: error: no such key "listne"; did you mean "LISTEN"?'),
            ("SPORK_EDGE__BODY_BYTE", "1", "environment SPORK_EDGE__BODY_BYTE: error: edge: no such key"),
            (
                "SPORK_ROUTES__7__TIMEOUT",
                "1s",
                "environment SPORK_ROUTES__7__TIMEOUT: error: routes: routes has 1 items",
            ),
            ("SPORK_EDGE", "x", "environment SPORK_EDGE: error: edge: is"),
        ],
    )
    def test_errors_name_the_variable(self, variable: str, value: str, said: str) -> None:
        loaded = loads(UPSTREAM + ROUTE, environ={variable: value})
        assert loaded.configuration is None
        assert any(m.startswith(said) for m in messages(loaded)), messages(loaded)

    def test_a_stranger_is_only_a_warning(self) -> None:
        loaded = loads("", environ={"SPORK_FAVOURITE_COLOUR": "green"})
        good(loaded)
        assert "environment SPORK_FAVOURITE_COLOUR: warning: is no configuration key" in messages(loaded)[0]

    def test_what_kubernetes_sets_beside_a_service_of_this_name_is_none_of_ours(self) -> None:
        environ = {
            "SPORK_PORT": "tcp://10.0.0.1:80", "SPORK_SERVICE_HOST": "10.0.0.1", "SPORK_SERVICE_PORT": "80",
            "SPORK_PORT_80_TCP": "tcp://10.0.0.1:80", "SPORK_PORT_80_TCP_ADDR": "10.0.0.1", "SPORK_SERVICE_PORT_HTTP": "80",
        }  # fmt: skip
        assert loads("", environ=environ).problems == ()

    def test_nor_is_what_the_other_programs_go_by(self) -> None:
        environ = dict.fromkeys(("SPORK_CONSOLE_URL", "SPORK_DEMO_HOST", "SPORK_TEST_STRICT", "SPORK_CONFIG"), "x")
        assert loads("", environ=environ).problems == ()

    def test_a_variable_that_the_document_asks_for_is_no_override(self) -> None:
        assert loads("state_dir: ${SPORK_MY_DIR}", environ={"SPORK_MY_DIR": "x"}).problems == ()


class TestServices:
    def test_a_service_url(self) -> None:
        configuration = good(load(None, {"USERS_SERVICE_URL": "http://users:7001"}))
        (upstream,) = configuration.upstreams
        (found,) = configuration.routes
        assert (upstream.name, upstream.targets[0].url) == ("users", "http://users:7001")
        assert (found.match.path.text, found.upstream) == ("/api/v1/users/*", "users")
        assert found.rewrite.compile() is None
        assert found.origin == "environment USERS_SERVICE_URL"

    @pytest.mark.parametrize("path", ["/api/products/*", "/api/v1/products/*"])
    def test_a_versioned_upstream_answers_both_prefixes(self, path: str) -> None:
        configuration = good(load(None, {"UPSTREAM_PRODUCTS_V1": "http://host/api/v1/products"}))
        (upstream,) = configuration.upstreams
        assert upstream.name == "products_v1"
        assert upstream.targets[0].base_path == b""
        found = next(r for r in configuration.routes if r.match.path.text == path)
        rewriter = found.rewrite.compile()
        assert rewriter is not None
        assert rewriter.apply(path[:-2].encode() + b"/7/x", {}, b"/7/x") == b"/api/v1/products/7/x"
        assert rewriter.apply(path[:-2].encode(), {}, b"") == b"/api/v1/products"

    def test_the_lowest_version_keeps_the_path_without_one(self) -> None:
        configuration = good(
            load(None, {"UPSTREAM_P_V10": "http://ten", "UPSTREAM_P_V2": "http://two", "UPSTREAM_Q": "http://q"})
        )
        led = {r.match.path.text: r.upstream for r in configuration.routes}
        assert led == {"/api/p/*": "p_v2", "/api/v2/p/*": "p_v2", "/api/v10/p/*": "p_v10", "/api/q/*": "q"}

    def test_an_unversioned_variable_takes_the_path_outright(self) -> None:
        configuration = good(load(None, {"UPSTREAM_P": "http://p", "UPSTREAM_P_V1": "http://one"}))
        assert {r.match.path.text: r.upstream for r in configuration.routes} == {"/api/p/*": "p", "/api/v1/p/*": "p_v1"}

    def test_words_of_a_name_are_joined_by_hyphens_or_underscores(self) -> None:
        configuration = good(load(None, {"USER_PROFILES_SERVICE_URL": "http://up"}))
        assert {r.match.path.text for r in configuration.routes} == {
            "/api/v1/user-profiles/*",
            "/api/v1/user_profiles/*",
        }

    def test_several_targets(self) -> None:
        configuration = good(load(None, {"USERS_SERVICE_URL": "http://a:1/x, http://b:2/x"}))
        assert [t.name for t in configuration.upstreams[0].targets] == ["a:1", "b:2"]

    def test_auth_and_hub_are_no_services(self) -> None:
        environ = {"AUTH_SERVICE_URL": "http://auth:1", "MESSAGE_HUB_URL": "nats://hub:4222"}
        configuration = good(load(None, environ))
        assert (configuration.auth_service, configuration.hub.url) == ("http://auth:1", "nats://hub:4222")
        assert configuration.upstreams == ()
        written = good(loads("auth_service: http://mine\nevents: {url: redis://mine}", environ=environ))
        assert (written.auth_service, written.hub.url) == ("http://mine", "redis://mine")

    def test_what_is_written_wins(self) -> None:
        environ = {"USERS_SERVICE_URL": "http://other:1", "ORDERS_SERVICE_URL": "http://orders:1"}
        text = (
            UPSTREAM + "routes: [{name: orders, match: /o, upstream: users}, {match: /api/v1/users/*, upstream: users}]"
        )
        configuration = good(loads(text, environ=environ))
        assert [u.targets[0].host for u in configuration.upstreams] == ["127.0.0.1", "orders"]
        assert [r.name for r in configuration.routes] == ["orders", "api-v1-users"]

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("users:7001", "has no scheme"),
            ("http://a/x,http://b/y", "different paths"),
            ("http://:80", "is not a host"),
        ],
    )
    def test_errors_name_the_variable(self, url: str, said: str) -> None:
        loaded = load(None, {"USERS_SERVICE_URL": url})
        assert loaded.configuration is None
        assert messages(loaded)[0].startswith("environment USERS_SERVICE_URL: error: upstreams.users: ")
        assert said in messages(loaded)[0]


class TestIncludes:
    def test_lists_add_up_and_mappings_merge(self, tmp_path: Path) -> None:
        (tmp_path / "teams").mkdir()
        (tmp_path / "teams" / "a.yaml").write_text(
            "upstreams: {a: {targets: [http://a]}}\nroutes: [{name: a, match: /a, upstream: a}]\nedge: {header_fields: 50}\n"
        )
        (tmp_path / "teams" / "b.yaml").write_text(
            "include: ../shared/plans.yaml\nupstreams: {b: {targets: [http://b]}}\nroutes: [{name: b, match: /b, upstream: b}]\n"
        )
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "plans.yaml").write_text("plans: {basic: {limits: [{quota: 1, per: 1s}]}}")
        root = tmp_path / "spork.yaml"
        root.write_text(
            "include: [teams/*.yaml]\nedge: {grace: 1s, drain_delay: 0s}\nroutes: [{name: r, match: /r, upstream: a}]\n"
        )
        loaded = load(root, {})
        configuration = good(loaded)
        assert [u.name for u in configuration.upstreams] == ["a", "b"]
        assert [r.name for r in configuration.routes] == ["r", "a", "b"]
        assert (configuration.edge.header_fields, configuration.edge.grace) == (50, 1.0)
        assert configuration.plans[0].name == "basic"
        assert [Path(s).name for s in loaded.sources] == ["spork.yaml", "a.yaml", "b.yaml", "plans.yaml"]
        assert route(configuration, "b").origin == f"{tmp_path / 'teams' / 'b.yaml'}:3"

    def test_two_files_about_one_thing(self, tmp_path: Path) -> None:
        (tmp_path / "more.yaml").write_text("listen: 127.0.0.1:2\nupstreams: {users: {targets: [http://b]}}\n")
        (tmp_path / "spork.yaml").write_text("include: more.yaml\nlisten: 127.0.0.1:1\n" + UPSTREAM)
        said = messages(load(tmp_path / "spork.yaml", {}))
        more, root = tmp_path / "more.yaml", tmp_path / "spork.yaml"
        assert f"{more}:1:1: error: listen: is set already, at {root}:2; keep one of the two" in said
        assert f"{more}:2:13: error: upstreams.users: is set already, at {root}:3; keep one of the two" in said

    def test_a_cycle(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("include: b.yaml\n")
        (tmp_path / "b.yaml").write_text("\ninclude: a.yaml\n")
        (said,) = messages(load(tmp_path / "a.yaml", {}))
        assert said.startswith(f"{tmp_path / 'b.yaml'}:2:10: error: include: {tmp_path / 'a.yaml'} includes itself")

    def test_twice(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("include: [b.yaml, ./b.yaml]\n")
        (tmp_path / "b.yaml").write_text("")
        assert "is included already" in messages(load(tmp_path / "a.yaml", {}))[0]

    def test_a_glob_that_covers_its_own_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("include: '*.yaml'\n")
        (tmp_path / "b.yaml").write_text("hosts: [b.example.com]\n")
        assert good(load(tmp_path / "a.yaml", {})).hosts == ("b.example.com",)


class TestQuarantine:
    def write(self, folder: Path, quarantine: str = "true") -> Path:
        (folder / "good.yaml").write_text(
            "upstreams: {a: {targets: [http://a]}}\nroutes: [{name: a, match: /a, upstream: a}]\n"
        )
        (folder / "bad.yaml").write_text("upstreams:\n  b: {targets: [nowhere]}\n")
        (folder / "worse.yaml").write_text("routes: [\n")
        root = folder / "spork.yaml"
        root.write_text(f"quarantine: {quarantine}\ninclude: [good.yaml, bad.yaml, worse.yaml, missing.yaml]\n")
        return root

    def test_broken_includes_are_left_out(self, tmp_path: Path) -> None:
        loaded = load(self.write(tmp_path), {})
        configuration = good(loaded)
        assert [r.name for r in configuration.routes] == ["a"]
        assert {Path(p.file).name for p in loaded.problems} == {"bad.yaml", "worse.yaml", "spork.yaml"}
        assert all(p.severity == "warning" for p in loaded.problems)
        assert all("left out" in p.suggestion for p in loaded.problems)

    def test_an_include_that_needs_a_broken_one_is_left_out_too(self, tmp_path: Path) -> None:
        root = self.write(tmp_path)
        (tmp_path / "good.yaml").write_text("routes: [{name: a, match: /a, upstream: b}]\n")
        loaded = load(root, {})
        assert good(loaded).routes == ()
        assert any('no upstream "b"' in p.message for p in loaded.problems)

    def test_without_it_nothing_is_served(self, tmp_path: Path) -> None:
        assert load(self.write(tmp_path, "false"), {}).configuration is None

    def test_the_root_is_never_left_out(self, tmp_path: Path) -> None:
        root = self.write(tmp_path)
        root.write_text(root.read_text() + "lisen: 1\n")
        loaded = load(root, {})
        assert loaded.configuration is None
        assert errors(loaded.problems)


class TestAliases:
    def test_defaults_by_merge_keys(self) -> None:
        text = """
upstreams:
  a: &defaults
    targets: [http://a]
    timeouts: {total: 3s}
  b:
    <<: *defaults
    targets: [http://b]
routes: [{match: /a, upstream: a}, {match: /b, upstream: b}]
"""
        a, b = good(loads(text)).upstreams
        assert a.timeouts == b.timeouts
        assert b.targets[0].host == "b"

    def test_an_override_of_one_copy_leaves_the_other(self) -> None:
        text = "upstreams:\n  a: &a {targets: [http://a], timeouts: {total: 3s}}\n  b: *a\n"
        a, b = good(loads(text, environ={"SPORK_UPSTREAMS__B__TIMEOUTS__TOTAL": "9s"})).upstreams
        assert (a.timeouts.total, b.timeouts.total) == (3.0, 9.0)
