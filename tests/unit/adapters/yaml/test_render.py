"""Writing back: reads back as the same, says no secret, does not depend on how it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spork.adapters.yaml.load import load, loads
from spork.adapters.yaml.render import MASK, render
from spork.adapters.yaml.scalars import format_duration, format_size, parse_duration, parse_size

ROOT = Path(__file__).parents[4]
ENVIRON = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").replace("replace-me", "filled").splitlines()
    if "=" in line and not line.startswith("#")
)
SHIPPED = sorted((ROOT / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_round_trip(path: Path) -> None:
    first = load(path, ENVIRON)
    assert first.document is not None
    second = loads(render(first.document, redact=False))
    assert second.configuration is not None, "\n".join(map(str, second.problems))
    assert first.configuration is not None
    assert second.document == first.document
    assert second.configuration.revision == first.configuration.revision


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_redacted_text_reads_back_too(path: Path) -> None:
    text = load(path, ENVIRON).text
    assert loads(text).text == text


def test_no_secret_is_said() -> None:
    loaded = loads(
        """
shared: redis://user:hunter2@redis:6379/0
records: postgresql://spork:hunter3@db/spork
signing_key: hunter4
admin: {tokens: [{name: a, token: hunter5-hunter5-hunter5}]}
auth_service: https://gate:hunter9@auth
issuers:
  i: {issuer: x, introspection_url: https://x/i, client_id: c, client_secret: hunter6}
  h: {issuer: y, audiences: [a], algorithms: [HS256], keys: [hunter10, {kty: oct, kid: visible, k: hunter11}]}
  p: {issuer: z, audiences: [a], keys: ["-----BEGIN PUBLIC KEY-----\\nvisible-pem"]}
routes:
  - match: {path: /a, headers: {X-Api-Key: hunter12, X-Plain: visible-match}}
    redirect: /b
    headers: {request: {set: {Authorization: Bearer hunter13, X-Env: visible-env}, add: {Cookie: hunter14}}}
consumers: {c: {basic_password_hash: hunter7}}
events: {url: nats://hunter8@hub:4222}
"""
    )
    assert loaded.configuration is not None, loaded.problems
    assert "hunter" not in loaded.text
    for shown in ("kid: visible", "visible-pem", "visible-match", "visible-env", "https://gate:"):
        assert shown in loaded.text
    assert loads(loaded.text).text == loaded.text
    assert f"redis://user:{MASK}@redis:6379/0" in loaded.text
    assert f"nats://{MASK}@hub:4222" in loaded.text


@pytest.mark.parametrize("text", ["shared: hunter2", "records: 'redis:/hunter2@x'", "auth_service: hunter2"])
def test_complaints_say_no_secret_either(text: str) -> None:
    problems = loads(text).problems
    assert problems
    assert "hunter" not in "".join(map(str, problems))


def test_a_changed_secret_is_another_revision() -> None:
    one, other = (loads(f"signing_key: {key}").configuration for key in ("a", "b"))
    assert one is not None and other is not None
    assert one.revision != other.revision


def test_how_it_was_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("edge: {grace: 60s}\nupstreams: {u: {targets: [http://u]}}")
    (tmp_path / "a.yaml").write_text("include: b.yaml\nlisten: ${L}\nroutes: [{match: /a, upstream: u}]")
    split = load(tmp_path / "a.yaml", {"L": "127.0.0.1:81"})
    whole = loads(
        """
# the same, in one file and spelled out
routes:
  - match: "/a"
    upstream: u
    limits: []
upstreams:
  u:
    balance: round_robin
    targets:
      - http://u
listen: "127.0.0.1:81"
edge:
  grace: 1m
  header_fields: 100
"""
    )
    assert split.text == whole.text
    assert split.configuration is not None and whole.configuration is not None
    assert split.configuration.revision == whole.configuration.revision


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_text_survives(text: str) -> None:
    text = text.encode("utf-8", "replace").decode("utf-8")
    first = loads(f"routes: [{{match: /a, redirect: /b, metadata: {{note: {yaml_quoted(text)}}}}}]")
    assert first.document is not None
    assert first.document.routes[0].metadata["note"] == text
    assert loads(render(first.document)).document == first.document


def yaml_quoted(text: str) -> str:
    return yaml.safe_dump(text.replace("$", "$$"), default_style='"', width=10**9).strip()


@given(st.integers(0, 10**9).map(lambda n: n / 1000))
def test_durations_survive(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 10**15 - 1))
def test_sizes_survive(count: int) -> None:
    assert parse_size(format_size(count)) == count
