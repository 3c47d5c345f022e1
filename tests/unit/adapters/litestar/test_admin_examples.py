"""Every call of the admin API's description has examples, and they are what its own schemas say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from spork.adapters.litestar.admin.application import acts_of, describe
from spork.adapters.litestar.admin.example_values import YAML
from spork.adapters.litestar.admin.examples import operations
from spork.adapters.yaml.load import loads
from spork.application.configuration.model import Configuration
from spork.composition.gateway import GatewayContainer
from tests.admin_rig import AdminRig

Media = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The admin listener's application with everything that can be on it."""
    configuration = Configuration(state_dir=str(tmp_path_factory.mktemp("state")), registration="open")
    return GatewayContainer(configuration=configuration, config_path=None).admin_app().app.app


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    return describe(app)


def bodies(document: dict[str, Any]) -> Iterator[Media]:
    """Every body that is taken or given, by where it is."""
    for method, path, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            yield f"{method} {path} takes", media
        for status, answer in operation["responses"].items():
            for media in answer.get("content", {}).values():
                yield f"{method} {path} answers {status}", media


def test_every_call_has_a_request_and_an_answer_example(document: dict[str, Any]) -> None:
    found = list(bodies(document))
    assert len(found) > 250
    assert [where for where, media in found if "example" not in media] == []


def test_examples_are_what_their_schemas_say(document: dict[str, Any]) -> None:
    wrong = []
    for where, media in bodies(document):
        schema = {**media["schema"], "components": document["components"]}
        validator = jsonschema.Draft202012Validator(schema)
        wrong += [
            f"{where}: {error.json_path} {error.message}" for error in validator.iter_errors(media.get("example"))
        ]
    assert wrong == []


def test_no_example_says_more_than_its_schema(document: dict[str, Any]) -> None:
    """Schemas of views allow further members; an example with one would be of a view that has lost it."""
    for where, media in bodies(document):
        name = media["schema"].get("$ref", "").rpartition("/")[2]
        if name:
            known = document["components"]["schemas"][name]["properties"]
            assert media["example"].keys() <= known.keys(), where


def test_the_example_of_a_write_is_of_that_write(app: Any, document: dict[str, Any]) -> None:
    acts = acts_of(app)
    assert len(acts) >= 18
    for method, path, operation in operations(document):
        if (method, path) in acts:
            (media,) = operation["responses"]["200"]["content"].values()
            assert media["example"]["action"] == acts[method, path]


def test_the_example_configuration_is_one() -> None:
    assert [str(problem) for problem in loads(YAML).problems] == []


async def test_examples_of_plain_mappings_have_the_members_of_real_answers(document: dict[str, Any]) -> None:
    paths = ("/health/detailed", "/metrics/json", "/metrics/performance")
    async with AdminRig().client() as client:
        for path in paths:
            (media,) = document["paths"][path]["get"]["responses"]["200"]["content"].values()
            assert media["example"].keys() == (await client.get(path)).json().keys(), path


async def test_the_served_description_has_them_too() -> None:
    async with AdminRig().client() as client:
        answer = await client.get("/schema")
    assert answer.status_code == 200, answer.text
    served = answer.json()
    keys = served["paths"]["/admin/v1/keys"]["post"]
    assert keys["requestBody"]["content"]["application/json"]["example"]["consumer"] == "acme"
    assert keys["responses"]["200"]["content"]["application/json"]["example"]["action"] == "key.issue"
