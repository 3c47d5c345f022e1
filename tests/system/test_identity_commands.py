"""`spork keys`, `spork token`, `spork records`: run as an operator runs them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, python_env

CONFIG = """
state_dir: {state}
plans: {{basic: {{}}}}
consumers: {{acme: {{}}}}
issuers:
  dev: {{issuer: "https://dev.example", audiences: [api], algorithms: [EdDSA], jwks_file: {state}/jwks.json}}
"""


class Spork:
    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.state.mkdir()
        (directory / "spork.yaml").write_text(CONFIG.format(state=self.state))
        self.directory = directory

    def __call__(self, *args: str, given: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "spork.cli", *args],
            cwd=self.directory, env=python_env(), input=given, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if fails else done.stdout


@pytest.fixture
def spork(tmp_path: Path) -> Spork:
    made = Spork(tmp_path)
    made("token", "keygen", "--out", str(made.state / "signing-key.pem"), "--jwks", str(made.state / "jwks.json"))
    return made


def test_the_life_of_a_key(spork: Spork) -> None:
    assert "there is no plan" in spork("keys", "issue", "acme", "--plan", "platinum", fails=True)
    text = spork(
        "keys", "issue", "acme", "--scope", "a", "--scope", "b", "--plan", "basic", "--days", "2", "--force"
    ).strip()
    assert text.startswith("spk_")
    key_id = text.split("_")[1]
    again = spork("keys", "rotate", key_id, "--overlap", "1").strip()
    assert again.split("_")[1] == key_id
    assert again != text
    listed = spork("keys", "list", "--consumer", "acme")
    assert f"{key_id}  acme" in listed
    assert "rotating" in listed
    assert text.split("_")[2] not in listed
    spork("keys", "revoke", key_id, "--reason", "lost")
    assert "revoked" in spork("keys", "list")
    assert "there is no key nope" in spork("keys", "revoke", "nope", fails=True)
    assert "the key is revoked" in spork("keys", "rotate", key_id, fails=True)
    assert spork("records", "upgrade").strip() == "up to date"


def test_a_development_token_is_good_for_its_issuer(spork: Spork) -> None:
    from spork.adapters.jwt.keys import read_static
    from spork.adapters.jwt.sources import StaticKeys
    from spork.adapters.jwt.verifier import JwtVerifier, TrustedIssuer
    from spork.domain.identity.tokens import ClaimNames, ClaimPolicy, Verified

    raw = spork("token", "issue", "alice", "--role", "reader", "--scope", "a", "--claim", 'x={"y": 1}').strip()
    shown = json.loads(spork("token", "inspect", "-", given=raw))
    assert shown["claims"]["sub"] == "alice"
    assert shown["claims"]["x"] == {"y": 1}
    policy = ClaimPolicy("https://dev.example", frozenset(("api",)))
    keys = StaticKeys(read_static([(spork.state / "jwks.json").read_text()]))
    verifier = JwtVerifier([TrustedIssuer("dev", keys, frozenset(("EdDSA",)), policy, ClaimNames())])
    found = verifier.verify(raw.encode(), shown["claims"]["iat"])
    assert isinstance(found, Verified)
    assert found.principal.roles == {"reader"}


def test_a_signing_key_is_private_and_never_written_over(spork: Spork) -> None:
    path = spork.state / "signing-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "exists" in spork("token", "keygen", "--out", str(path), fails=True)
    assert '"d"' not in (spork.state / "jwks.json").read_text()
    assert "not a well-formed token" in spork("token", "inspect", "a.b", fails=True)


def test_the_demos_ready_made_lines_work() -> None:
    """Its curl lines for the private route: one refusal, then three keys and a token that are taken."""
    port, admin = free_port(), free_port()
    command = [sys.executable, "-m", "spork.cli", "demo", "--port", str(port), "--admin-port", str(admin)]
    demo = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=python_env(), start_new_session=True
    )
    try:
        assert demo.stdout is not None
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if "Ctrl-C ends everything" in line:
                break
        private = [shlex.split(line) for line in lines if "/private/x" in line]
        seen = []
        for words in private:
            url = next(word for word in words if word.startswith("http"))
            header = words[words.index("-H") + 1].partition(": ") if "-H" in words else ("x-nothing", "", "")
            answer = httpx.get(url, headers={header[0]: header[2]}, trust_env=False)
            caller = answer.json()["headers"] if answer.status_code == 200 else {}
            caller = {name.lower(): value for name, value in dict(caller).items()}
            seen.append((answer.status_code, caller.get("x-consumer-id"), caller.get("x-consumer-plan")))
        assert seen == [
            (401, None, None), (200, "bob", "basic"), (200, "ada", "premium"), (200, "carol", "unlimited"),
            (200, "ada", "premium"),
        ], "".join(lines)  # fmt: skip
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=30)


def test_check_reads_the_keys_and_schemas_it_is_told_of(spork: Spork) -> None:
    (spork.directory / "schema.json").write_text('{"type": 5}')
    (spork.directory / "signing.pem").write_text("-----BEGIN NONSENSE-----")
    (spork.directory / "bad.yaml").write_text(
        """
signing_key: signing.pem
issuers:
  weak: {issuer: "https://a.example", audiences: [a], algorithms: [RS256], keys: ["-----BEGIN PUBLIC KEY-----"]}
upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
routes:
  - {name: r, match: /r, upstream: u, security: {schema: schema.json}}
"""
    )
    said = spork("check", "-c", "bad.yaml", fails=True)
    assert "bad.yaml:4" in said
    assert "issuers.weak: the PEM text holds no RSA, EC or Ed25519 key" in said
    assert "routes[0].security.schema: not a JSON Schema" in said
    assert "signing_key: not a private" in said
