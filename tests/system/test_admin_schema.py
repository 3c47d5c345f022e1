"""schemathesis against the admin API's own description: no server error, no undocumented answer, no way in without a token."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import schemathesis.specs.openapi.checks  # registers the checks named below
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from spork.adapters.litestar.admin.application import describe
from spork.application.configuration.model import Configuration
from spork.composition.gateway import GatewayContainer
from tests.servers import GatewayProcess, gateway_process
from tests.system.test_admin import admin, config, echo_service

CHOSEN = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "ignored_auth",
    )
]


def operations() -> dict[str, schemathesis.APIOperation]:
    """Every call under /admin/v1, from the application as the gateway builds it, without starting one."""
    with tempfile.TemporaryDirectory() as directory:
        container = GatewayContainer(configuration=Configuration(state_dir=directory), config_path=None)
        schema = schemathesis.openapi.from_dict(describe(container.admin_app().app.app))
        found = [result.ok() for result in schema.get_all_operations()]
    return {operation.label: operation for operation in found if operation.path.startswith("/admin/v1/")}


OPERATIONS = operations()
#: A stream has no end for a test to wait for; its answers are tested by hand.
ENDLESS = {"GET /admin/v1/stream"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory: Path = tmp_path_factory.mktemp("schema")
    with echo_service() as echo, gateway_process(config(echo), directory) as gateway:
        admin(gateway).close()
        yield gateway


def test_the_description_covers_the_contract() -> None:
    """Every call that docs/admin-contract.md names is described."""
    for path in ("snapshot", "stream", "whoami", "services", "targets", "breakers/{name}/trip", "quotas/{id}/raise",
                 "config", "config/rollback", "explain", "keys/{id}/rotate", "subjects/{subject}/revoke"):  # fmt: skip
        assert any(label.split(" ")[1] == f"/admin/v1/{path}" for label in OPERATIONS), path


@pytest.mark.parametrize("label", sorted(OPERATIONS.keys() - ENDLESS))
def test_every_call_answers_as_described(label: str, served: GatewayProcess) -> None:
    token = {"Authorization": f"Bearer {served.admin_token}"}

    @settings(
        max_examples=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
        # The same sample on every machine; hypothesis still picks constants from whatever modules a worker loaded, so
        # choices with few members are called by hand as well (the exports' formats in test_admin.py).
        derandomize=True,
        database=None,
    )
    @given(case=OPERATIONS[label].as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=served.admin_url, headers=token, checks=CHOSEN)

    check()
