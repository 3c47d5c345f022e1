"""The kinds of scalar: what each takes, what it refuses, and in which words."""

from __future__ import annotations

import pytest

from spork.adapters.yaml import written
from spork.adapters.yaml.load import loads
from spork.adapters.yaml.scalars import parse_duration, parse_size, split_address, split_name_server


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("5s", 5.0), ("1m", 60.0), ("1h", 3600.0), ("1d", 86400.0), ("1m30s", 90.0), ("1.5s", 1.5), ("0", 0.0), ("250us", 0.00025)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "5S", "1e3s", "five", "5s5", "٥s", "1" * 40 + "s", "inf", "nan"]
)
def test_not_durations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("512", 512), ("512B", 512), ("8KiB", 8192), ("10MiB", 10485760), ("1GiB", 1 << 30), ("1KB", 1000), ("1.5KiB", 1536), ("8 KiB", 8192)],
)  # fmt: skip
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "8K", "8kib", "KiB", "-1B", "1e3", "8 k i", "1" * 40])
def test_not_sizes(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:80", "::1", 80), (":80", "0.0.0.0", 80), ("gateway:0", "gateway", 0)],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)


@pytest.mark.parametrize("text", ["", "80", "host", "host:", "host:x", "::1:80x", "a b:80", "h:65536", "h:80:90"])
def test_not_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        split_address(text)


@pytest.mark.parametrize(
    ("text", "server"),
    [("10.0.0.2", ("10.0.0.2", 53)), ("127.0.0.1:5353", ("127.0.0.1", 5353)), ("fd00::53", ("fd00::53", 53)), ("[fd00::53]", ("fd00::53", 53)), ("[::1]:54", ("::1", 54))],
)  # fmt: skip
def test_name_servers(text: str, server: tuple[str, int]) -> None:
    assert split_name_server(text) == server
    loaded = loads(f"name_servers: ['{text}']")
    assert loaded.configuration is not None
    assert loaded.configuration.name_servers == (server,)


@pytest.mark.parametrize("text", ["", "dns.internal", "dns.internal:53", "10.0.0.256", "10.0.0.2:", "10.0.0.2:65536"])
def test_not_name_servers(text: str) -> None:
    with pytest.raises(ValueError):
        split_name_server(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0.2", 0.2), ("20%", 0.2), ("1", 1.0), ("0", 0.0), ("100%", 1.0), ("12.5%", 0.125)]
)
def test_ratios(text: str, value: float) -> None:
    loaded = loads(f"upstreams: {{u: {{targets: [http://u], retries: {{budget: {text}}}}}}}")
    assert loaded.configuration is not None
    retries = loaded.configuration.upstreams[0].retries
    assert retries is not None
    assert retries.budget == value


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("yes", True), ("on", True), ("False", False), ('"no"', False)]
)
def test_booleans(text: str, value: bool) -> None:
    document = loads(f"quarantine: {text}").document
    assert isinstance(document, written.Document)
    assert document.quarantine is value


@pytest.mark.parametrize("text", ["yes", "on", "0x1F", "1_000", "2026-11-21", "null ish", "1.0", "010"])
def test_texts_stay_as_they_are_written(text: str) -> None:
    """YAML 1.1 would make booleans, octal numbers and dates of these."""
    document = loads(f"routes: [{{match: /a, redirect: /b, metadata: {{note: {text}}}}}]").document
    assert document is not None
    assert document.routes[0].metadata["note"] == text
