"""Every file that a configuration names, with real processes: replaced, emptied, moved away, new, or wrong."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.contract.edge.test_edge_tls import Authority
from tests.servers import GatewayProcess, gateway_process, python_env, wait_until

REDIRECT = "routes: [{name: r, match: /r/*, redirect: 'https://other.example/'}]\n"


def issued(folder: Path, name: str) -> tuple[str, str]:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return Authority.create(folder, f"{name}-ca").issue(
        name, subject, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )


def shown(port: int) -> bytes:
    """The certificate that a listener shows, DER."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secured:
        found = secured.getpeercert(True)
        assert found is not None
        return found


def replaced(path: Path, content: bytes) -> None:
    """As certificate managers do: a new file moved over the old one."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def status(gateway: GatewayProcess, path: str) -> int:
    return httpx.get(f"{gateway.url}{path}", trust_env=False, timeout=5).status_code


def admin(gateway: GatewayProcess, method: str, path: str, **more: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {gateway.admin_token}", "content-type": "application/yaml"}
    return httpx.request(method, f"{gateway.admin_url}{path}", headers=headers, trust_env=False, timeout=10, **more)  # type: ignore[arg-type]


def test_a_renewed_certificate_is_served_without_a_signal(tmp_path: Path) -> None:
    cert, key = tmp_path / "live.pem", tmp_path / "live.key"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = issued(tmp_path / "one", "one"), issued(tmp_path / "two", "two")
    cert.write_bytes(Path(first[0]).read_bytes())
    key.write_bytes(Path(first[1]).read_bytes())
    with gateway_process(f"tls: {{cert: {cert}, key: {key}}}\n{REDIRECT}", tmp_path) as gateway:
        before = shown(gateway.port)
        replaced(cert, Path(second[0]).read_bytes())
        wait_until(lambda: "is the key of another certificate" in gateway.log(), 15, "the refusal of half a renewal")
        assert shown(gateway.port) == before
        replaced(key, Path(second[1]).read_bytes())
        wait_until(lambda: shown(gateway.port) != before, 15, "the renewed certificate")


def test_an_emptied_or_cut_file_never_replaces_a_whole_one(tmp_path: Path) -> None:
    with gateway_process(REDIRECT, tmp_path) as gateway:
        path = tmp_path / "spork.yaml"
        whole = path.read_text()
        for cut in ("", whole[: whole.index("routes")], whole[: len(whole) // 2]):
            path.write_text(cut)
            gateway.process.send_signal(signal.SIGHUP)
            refused = admin(gateway, "POST", "/admin/v1/config/reload")
            assert refused.status_code == 422, refused.text
            assert status(gateway, "/r/1") == 308
        for body in ("", "{}", "\n", "# nothing\n"):
            assert admin(gateway, "PUT", "/admin/v1/config", content=body).status_code == 422, body
        assert status(gateway, "/r/1") == 308
        path.write_text(whole.replace("/r/*", "/s/*"))
        wait_until(lambda: status(gateway, "/s/1") == 308, 15, "the mended file")
        assert admin(gateway, "PUT", "/admin/v1/config", content="routes: []\n").status_code == 200, "if that is meant"
        assert status(gateway, "/s/1") == 404


def test_a_new_file_under_a_glob_is_seen(tmp_path: Path) -> None:
    (tmp_path / "routes.d").mkdir()
    with gateway_process(f"include: routes.d/*.yaml\n{REDIRECT}", tmp_path) as gateway:
        assert status(gateway, "/new/1") == 404
        (tmp_path / "routes.d" / "new.yaml").write_text(
            REDIRECT.replace("/r/", "/new/").replace("name: r", "name: new")
        )
        wait_until(lambda: status(gateway, "/new/1") == 308, 15, "the new file")
        (tmp_path / "routes.d" / "new.yaml").unlink()
        wait_until(lambda: status(gateway, "/new/1") == 404, 15, "its end")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_log_that_was_moved_away_is_opened_anew(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "access.log"

    def lines(path: Path) -> int:
        return len(path.read_text().splitlines())

    with gateway_process(f"access_log: {log}\n{REDIRECT}", tmp_path) as gateway:
        status(gateway, "/r/1")
        wait_until(lambda: lines(log) == 1, 10, "the first line")
        moved = log.rename(tmp_path / "access.log.1")
        gateway.process.send_signal(number)
        wait_until(log.exists, 10, "the new file")
        status(gateway, "/r/2")
        wait_until(lambda: lines(log) == 1, 10, "a line in it")
        assert lines(moved) == 1


def mismatched(folder: Path) -> str:
    for name in ("one", "two"):
        (folder / name).mkdir()
    return f"tls: {{cert: {issued(folder / 'one', 'one')[0]}, key: {issued(folder / 'two', 'two')[1]}}}"


def swapped(folder: Path) -> str:
    cert, key = issued(folder, "one")
    return f"tls: {{cert: {key}, key: {cert}}}"


def unread_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return f"access_log: {folder / 'pipe'}"


def target_with_another_key(folder: Path) -> str:
    for name in ("one", "two"):
        (folder / name).mkdir()
    cert, key = issued(folder / "one", "one")[0], issued(folder / "two", "two")[1]
    return f"upstreams: {{u: {{targets: ['https://127.0.0.1:1'], tls: {{cert: {cert}, key: {key}}}}}}}"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (mismatched, "tls.key: "),
        (swapped, "tls."),
        (target_with_another_key, "upstreams.u.tls: cannot be used"),
        (unread_pipe, "nobody reads this pipe"),
        (lambda folder: "access_log: /nope/access.log", "there is no directory '/nope'"),
        (lambda folder: f"access_log: {folder}", "is a directory"),
        (lambda folder: "state_dir: /dev/null", "is no directory"),
        (lambda folder: "state_dir: /proc/x", "nothing can be kept"),
    ],
)  # fmt: skip
def test_what_serve_would_stumble_over_is_said_by_check(
    tmp_path: Path, written: Callable[[Path], str], said: str
) -> None:
    (tmp_path / "spork.yaml").write_text(written(tmp_path) + "\n" + REDIRECT)
    for command in ("check", "serve"):
        done = subprocess.run(
            [sys.executable, "-m", "spork.cli", command],
            cwd=tmp_path, env=python_env(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert (done.returncode, "Traceback" in told) == (1, False), told
        assert said in told


def test_a_kubernetes_environment_is_harmless(tmp_path: Path) -> None:
    service = {
        f"SPORK{name}_{rest}": value
        for name in ("", "_ADMIN", "_LISTEN")
        for rest, value in {
            "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "9000", "SERVICE_PORT_HTTP": "9000", "PORT": "tcp://10.0.0.1:9000",
            "PORT_9000_TCP": "tcp://10.0.0.1:9000", "PORT_9000_TCP_PROTO": "tcp", "PORT_9000_TCP_PORT": "9000",
            "PORT_9000_TCP_ADDR": "10.0.0.1",
        }.items()
    }  # fmt: skip
    (tmp_path / "spork.yaml").write_text(REDIRECT)

    def check(**env: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "spork.cli", "check"],
            cwd=tmp_path, env=python_env(**service, **env), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert check()[0] == 0
    assert "SPORK" not in check()[1]
    code, told = check(DATABASE_SERVICE_URL="postgres://db:5432/x")
    assert (code, "DATABASE_SERVICE_URL" in told, "has no effect" in told) == (0, True, True)
    assert "2 routes" in check(BILLING_SERVICE_URL="http://billing")[1]
    assert "1 route" in check(BILLING_SERVICE_URL="http://billing", SPORK_ENVIRONMENT_SERVICES="false")[1]
