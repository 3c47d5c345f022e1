"""One document from many: what is published, under which names, and what the gateway adds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spork.domain.identity.authorization import AuthPolicy, CredentialGroup
from spork.domain.identity.presentation import KeyPlaces, TokenPlaces
from spork.domain.identity.tokens import Issuer
from spork.domain.openapi.protection import requirements, schemes
from spork.domain.routing.patterns import Match, PathPattern, Rewrite
from tests.unit.domain.openapi.merged import OK, answering, dangling, document, merged, route, source, whole

ORDER = {"type": "object", "properties": {"id": {"type": "string"}}}
REF = {"$ref": "#/components/schemas/Order"}


def get(**node: Any) -> dict[str, Any]:
    return {"get": {"responses": OK, **node}}


def test_an_operation_appears_where_clients_reach_it_and_once_per_route() -> None:
    orders = source("orders", {"/orders/{id}": get(operationId="one"), "/internal": get()})
    routes = [
        route("new", "/api/orders/*", "orders", strip="/api"),
        route("old", "/old/orders/*", "orders", strip="/old"),
    ]
    made = merged([orders], routes)
    found = whole(made)
    assert list(found["paths"]) == ["/api/orders/{id}", "/old/orders/{id}"]
    ids = [item["get"]["operationId"] for item in found["paths"].values()]
    assert ids == ["Orders_one", "Orders_one_old"]
    assert [(out.place, out.why) for out in made.left_out] == [("GET /internal", "no route leads there")]


def test_a_path_that_another_route_takes_is_not_that_of_the_prefix() -> None:
    orders = source("orders", {"/orders/{id}": get(), "/orders/vip": get()})
    other = source("other", {"/x": get()})
    routes = [route("orders", "/orders/*"), route("vip", "/orders/vip", "other", to="/x")]
    made = merged([orders, other], routes)
    assert {(o.path, o.upstream) for o in made.operations} == {("/orders/{id}", "orders"), ("/orders/vip", "other")}
    assert [(out.place, out.why) for out in made.left_out] == [("GET /orders/vip", "route vip takes it")]


def test_methods_that_the_route_does_not_take_are_left_out() -> None:
    orders = source("orders", {"/orders": {"get": {"responses": OK}, "delete": {"responses": OK}}})
    made = merged([orders], [route("orders", "/orders", methods=("GET",))])
    assert [o.method for o in made.operations] == ["get"]
    assert made.left_out[0].why == "route orders does not take DELETE"


def test_servers_and_base_paths_count() -> None:
    orders = source("orders", {"/orders": get()}, bases=("/v2",), servers=[{"url": "https://x.test/v2/shop"}])
    made = document([orders], [route("orders", "/shop/*")])
    assert list(made["paths"]) == ["/shop/orders"]
    elsewhere = source("orders", {"/orders": get()}, bases=("/v2",), servers=[{"url": "/v1"}])
    assert merged([elsewhere], [route("orders", "/*")]).left_out[0].why == "no route leads there"
    varied = source(
        "orders", {"/o": get()}, servers=[{"url": "http://x.test/{v}", "variables": {"v": {"default": "v3"}}}]
    )
    assert list(document([varied], [route("orders", "/*")])["paths"]) == ["/v3/o"]


def test_every_path_of_a_route_is_there() -> None:
    exposure = route("orders", "/orders/*")
    further = Match(PathPattern.parse("/bestellungen/*"))
    exposure = replace(exposure, matches=(*exposure.matches, further), rewrite=Rewrite(path="/orders{rest}"))
    found = document([source("orders", {"/orders/{id}": get(operationId="one")})], [exposure])
    assert list(found["paths"]) == ["/orders/{id}", "/bestellungen/{id}"]
    assert len({item["get"]["operationId"] for item in found["paths"].values()}) == 2


def test_credentials_stand_where_the_route_says_and_groups_are_alternatives() -> None:
    auth = AuthPolicy(
        any_of=(CredentialGroup(all_of=("mtls", "api_key")), "jwt"),
        keys=KeyPlaces(headers=("X-Key",), query="api_key"),
        tokens=TokenPlaces(cookie="session"),
    )
    assert requirements(auth, (), "GET") == [
        {"mutual_tls": [], "api_key_header_X-Key": []},
        {"mutual_tls": [], "api_key_query_api_key": []},
        {"bearer": []},
        {"token_cookie_session": []},
    ]
    assert schemes(auth, ())["token_cookie_session"] == {"type": "apiKey", "in": "cookie", "name": "session"}


def test_the_same_path_with_other_names_is_one_path() -> None:
    one = source("one", {"/x/{id}": get(parameters=[{"name": "id", "in": "path", "required": True, "schema": {}}])})
    put = {"put": {"responses": OK, "parameters": [{"name": "key", "in": "path", "schema": {"type": "integer"}}]}}
    two = source("two", {"/x/{key}": put})
    found = document([one, two], [route("one", "/x/*", methods=("GET",)), route("two", "/x/*", methods=("PUT",))])
    assert list(found["paths"]) == ["/x/{id}"]
    assert found["paths"]["/x/{id}"]["put"]["parameters"] == [
        {"name": "id", "in": "path", "schema": {"type": "integer"}, "required": True}
    ]


def test_a_new_upstream_renames_nothing_and_equal_components_are_one() -> None:
    paths = {"/a": get(responses=answering(REF))}
    first = source("orders", paths, {"Order": ORDER})
    same = source("bills", {"/b": get(responses=answering(REF))}, {"Order": ORDER})
    other = source("carts", {"/c": get(responses=answering(REF))}, {"Order": {"type": "string"}})
    alone = document([first], [route("orders", "/a")])
    routes = [route("orders", "/a"), route("bills", "/b"), route("carts", "/c")]
    found = document([first, same, other], routes)
    assert list(alone["components"]["schemas"]) == ["Orders_Order"]
    assert list(found["components"]["schemas"]) == ["Carts_Order", "Orders_Order"]
    assert found["paths"]["/a"] == alone["paths"]["/a"]
    schema = found["paths"]["/b"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Orders_Order"}


def test_components_that_differ_below_are_not_one() -> None:
    def of(name: str, inner: dict[str, Any]) -> Any:
        schemas = {"Order": {"properties": {"line": {"$ref": "#/components/schemas/Line"}}}, "Line": inner}
        return source(name, {f"/{name}": get(responses=answering(REF))}, schemas)

    found = document([of("a", {"type": "string"}), of("b", {"type": "integer"})], [route("a", "/a"), route("b", "/b")])
    assert set(found["components"]["schemas"]) == {"A_Order", "A_Line", "B_Order", "B_Line"}
    assert dangling(found) == []


def test_older_words_become_newer_ones() -> None:
    schema = {
        "type": "object",
        "properties": {
            "note": {"type": "string", "nullable": True, "example": "hi"},
            "qty": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "file": {"type": "string", "format": "binary"},
            "line": {"nullable": True, "allOf": [REF]},
            "kind": {"type": "string", "nullable": True, "enum": ["a"]},
        },
        "default": {"nullable": True},
    }
    old = source("orders", {"/o": get(responses=answering(schema))}, {"Order": ORDER}, version="3.0.3")
    found = document([old], [route("orders", "/o")])
    made = found["paths"]["/o"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert made["properties"] == {
        "note": {"type": ["string", "null"], "examples": ["hi"]},
        "qty": {"type": "integer", "exclusiveMinimum": 0},
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "line": {"anyOf": [{"allOf": [{"$ref": "#/components/schemas/Orders_Order"}]}, {"type": "null"}]},
        "kind": {"type": ["string", "null"], "enum": ["a", None]},
    }
    assert made["default"] == {"nullable": True}


def test_words_of_3_2_are_kept_on_request_and_otherwise_reported() -> None:
    stream = {"200": {"description": "ok", "content": {"application/jsonl": {"itemSchema": REF}}}}
    new = source(
        "orders", {"/o": {"query": {"responses": OK}, "get": {"responses": stream}}}, {"Order": ORDER}, version="3.2.0"
    )
    routes = [route("orders", "/o")]
    made = merged([new], routes)
    assert [o.method for o in made.operations] == ["get"]
    assert made.left_out[0].why.startswith("QUERY has no word in 3.1")
    assert [lost.place for lost in made.lost] == ["itemSchema"]
    kept = document([new], routes, "3.2")
    assert kept["openapi"] == "3.2.0"
    assert set(kept["paths"]["/o"]) == {"get", "query"}
    media = kept["paths"]["/o"]["get"]["responses"]["200"]["content"]["application/jsonl"]
    assert media == {"itemSchema": {"$ref": "#/components/schemas/Orders_Order"}}


def test_discriminators_links_callbacks_and_anchors_are_rewritten() -> None:
    pet = {
        "oneOf": [{"$ref": "#/components/schemas/Cat"}],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "Cat", "dog": "#/components/schemas/Dog"}},
    }
    tree = {"$dynamicAnchor": "node", "properties": {"below": {"items": {"$dynamicRef": "#node"}}}}
    answers = answering({"$ref": "#/components/schemas/Pet"})
    answers["200"]["links"] = {
        "self": {"operationId": "one", "parameters": {"id": "$response.body#/id"}},
        "pet": {"operationRef": "#/paths/~1pets~1{id}/get"},
        "gone": {"operationId": "hidden"},
    }
    told = {"{$request.body#/url}": {"post": {"operationId": "told", "responses": OK}}}
    paths = {
        "/pets": {"post": {"operationId": "add", "responses": answers, "callbacks": {"told": told}}},
        "/pets/{id}": get(operationId="one", responses=answering({"$ref": "#/components/schemas/Tree"})),
        "/hidden": get(operationId="hidden"),
    }
    schemas = {"Pet": pet, "Cat": ORDER, "Dog": {"type": "string"}, "Tree": tree}
    found = document([source("pets", paths, schemas)], [route("pets", "/pets/*")])
    made = found["components"]["schemas"]
    assert made["Pets_Pet"]["discriminator"]["mapping"] == {
        "cat": "#/components/schemas/Pets_Cat",
        "dog": "#/components/schemas/Pets_Dog",
    }
    assert made["Pets_Tree"] == {
        "$dynamicAnchor": "Pets_node",
        "properties": {"below": {"items": {"$dynamicRef": "#Pets_node"}}},
    }
    post = found["paths"]["/pets"]["post"]
    links = post["responses"]["200"]["links"]
    assert {name: link["operationId"] for name, link in links.items()} == {"self": "Pets_one", "pet": "Pets_one"}
    assert post["callbacks"]["told"]["{$request.body#/url}"]["post"]["operationId"] == "Pets_told"
    assert dangling(found) == []


def test_ids_and_places_that_are_no_components_are_followed() -> None:
    schemas = {"Order": {"$id": "https://x.test/order", "type": "object"}}
    paths = {
        "/a": get(responses=answering({"$ref": "https://x.test/order"})),
        "/b": get(responses=answering({"$ref": "#/paths/~1a/get/responses/200/content/application~1json/schema"})),
    }
    found = document([source("orders", paths, schemas)], [route("orders", "/*")])
    assert found["components"]["schemas"]["Orders_Order"] == {"type": "object"}
    schema = found["paths"]["/b"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Orders_Order"}


def test_nothing_internal_leaves() -> None:
    schema = {
        "type": "object",
        "x-backend": "http://10.0.0.7:7003",
        "required": ["id", "cost"],
        "properties": {"id": {"type": "string"}, "cost": {"type": "number", "x-internal": True}},
    }
    hidden = {"name": "debug", "in": "query", "schema": {}, "x-internal": True}
    paths = {
        "/o": get(
            description="See http://10.0.0.7:7003/wiki or 10.0.0.7:7003.",
            parameters=[hidden],
            responses=answering({"$ref": "#/components/schemas/Order"}),
            **{"x-amazon-integration": {"uri": "http://10.0.0.7:7003"}},
        ),
        "/admin": get(**{"x-internal": True}),
    }
    made = source(
        "orders", paths, {"Order": schema}, inside=("10.0.0.7:7003",), servers=[{"url": "http://10.0.0.7:7003"}]
    )
    found = document([made], [route("orders", "/*")])
    assert "10.0.0.7" not in str(found)
    assert list(found["paths"]) == ["/o"]
    assert "parameters" not in found["paths"]["/o"]["get"]
    assert found["components"]["schemas"]["Orders_Order"] == {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}},
    }


def test_security_is_that_of_the_route() -> None:
    issuers = [Issuer("idp", "https://idp.test", ("a",), discovery=True), Issuer("own", "https://own.test", ("a",))]
    auth = AuthPolicy(
        any_of=("jwt", "api_key", "anonymous"),
        scopes=frozenset(["orders:read"]),
        permissions=(("DELETE", frozenset(["kill"])),),
    )
    assert requirements(auth, issuers, "GET") == [
        {"oauth_idp": ["orders:read"]},
        {"bearer": ["orders:read"]},
        {"api_key": []},
        {},
    ]
    assert requirements(auth, issuers, "DELETE")[1] == {"bearer": ["kill", "orders:read"]}
    both = AuthPolicy(any_of=(), all_of=("mtls", "jwt"), issuers=("own",))
    assert requirements(both, issuers, "GET") == [{"mutual_tls": [], "bearer": []}]
    assert (
        schemes(auth, issuers)["oauth_idp"]["openIdConnectUrl"] == "https://idp.test/.well-known/openid-configuration"
    )
    assert requirements(None, issuers, "GET") == [{}]


def test_the_targets_own_security_is_shown_only_where_it_sees_the_credential() -> None:
    components = {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "k"}}, "schemas": {}}
    made = source("orders", {"/o": get(security=[{"key": []}])}, components=components)
    plain = document([made], [route("orders", "/o")])
    assert plain["paths"]["/o"]["get"]["security"] == []
    assert "securitySchemes" not in plain.get("components", {})
    passed = document([made], [route("orders", "/o", forwards_credentials=True)])
    assert passed["paths"]["/o"]["get"]["security"] == [{"Orders_key": []}]
    assert set(passed["components"]["securitySchemes"]) == {"Orders_key"}


def test_refusals_stand_beside_the_targets_own_answers() -> None:
    own = {"200": {"description": "ok"}, "429": {"description": "theirs", "content": {"text/plain": {}}}}
    made = source("orders", {"/o": {"post": {"responses": own}}})
    found = document([made], [route("orders", "/o", refusals=frozenset([401, 429]), body_refusals=frozenset([413]))])
    responses = found["paths"]["/o"]["post"]["responses"]
    assert responses["401"] == {"$ref": "#/components/responses/Unauthorized"}
    assert set(responses["429"]["content"]) == {"text/plain", "application/problem+json"}
    assert responses["429"]["description"] == "theirs"
    assert set(responses["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert "413" in responses
    assert set(found["components"]["responses"]) == {"Unauthorized", "ContentTooLarge"}


def test_versions_deprecate_and_end() -> None:
    made = source("orders", {"/o": get()})
    found = document([made], [route("orders", "/o", deprecated=True, sunset="2027-03-01")])
    assert found["paths"]["/o"]["get"]["deprecated"] is True
    assert found["paths"]["/o"]["get"]["x-sunset"] == "2027-03-01"
    gone = merged([made], [route("orders", "/o", retired=True, version="v1")])
    assert gone.operations == ()
    assert gone.left_out[0].why == "version v1 is retired"


def test_routes_without_a_document_are_said_to_be_there() -> None:
    found = document([], [route("files", "/files/{kind}/*", methods=("GET",)), route("old", "/old", answers=(308,))])
    item = found["paths"]["/files/{kind}/{path}"]
    assert list(item) == ["get"]
    assert item["get"]["x-spork-undocumented"] is True
    assert [p["name"] for p in item["get"]["parameters"]] == ["kind", "path"]
    assert "308" in found["paths"]["/old"]["get"]["responses"]


def test_hosts_are_servers_of_their_paths() -> None:
    one, two = source("one", {"/a": get()}), source("two", {"/b": get()})
    found = document(
        [one, two], [route("one", "/a", hosts=("api.acme.test",)), route("two", "/b", hosts=("*.acme.test",))]
    )
    assert found["servers"] == [{"url": "/"}]
    assert found["paths"]["/a"]["servers"] == [{"url": "//api.acme.test"}]
    assert found["paths"]["/b"]["servers"][0]["url"] == "//{name}.acme.test"


def test_parameters_that_clients_cannot_send_are_not_shown() -> None:
    parameters = [
        {"name": "X-Tenant", "in": "header", "schema": {}},
        {"name": "page", "in": "query", "schema": {}},
        {"name": "Authorization", "in": "header", "schema": {}},
    ]
    made = source("orders", {"/o": get(parameters=parameters)})
    exposure = route("orders", "/o", hidden=frozenset([("header", "x-tenant")]), sent_as={("query", "page"): "p"})
    found = document([made], [exposure])
    assert found["paths"]["/o"]["get"]["parameters"] == [{"name": "p", "in": "query", "schema": {}}]


def test_a_dangling_reference_is_told_of_and_does_not_leave() -> None:
    made = merged(
        [source("orders", {"/o": get(responses=answering({"$ref": "#/components/schemas/Nope"}))})],
        [route("orders", "/o")],
    )
    assert dangling(whole(made)) == []
    assert made.lost[0].place == "#/components/schemas/Nope"
