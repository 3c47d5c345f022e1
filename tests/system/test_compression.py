"""Compressed answers through a real gateway, decoded by curl and node; streams that pause."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterator

import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import Client, Visit, raw_target

TEXT = json.dumps([{"id": number, "name": f"item {number}"} for number in range(400)]).encode()
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "a"\r\nVary: Origin\r\n'


def script(visit: Visit) -> None:
    """/whole with a length, /chunked without, /slow with a pause in the middle."""
    while (request := visit.read_request()) is not None:
        if request.startswith(b"GET /chunked"):
            visit.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(TEXT), 1000):
                piece = TEXT[at : at + 1000]
                visit.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            visit.send(b"0\r\n\r\n")
        elif request.startswith(b"GET /slow"):
            visit.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            time.sleep(1.0)  # the pause is what is tested
            visit.send(b"6\r\nsecond\r\n0\r\n\r\n")
        else:
            visit.send(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with raw_target(script) as target:
        config = f"""
access_log: "off"
upstreams: {{t: {{targets: ["{target.url}"]}}}}
routes: [{{name: all, match: /*, upstream: t, compression: true}}]
"""
        with gateway_process(config, tmp_path_factory.mktemp("compression")) as process:
            yield process


@pytest.mark.parametrize("path", ["/whole", "/chunked"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "identity"])
def test_node_decodes_what_we_code(gateway: GatewayProcess, coding: str, path: str) -> None:
    node = shutil.which("node")
    assert node is not None
    program = """
const http = require("http"), zlib = require("zlib");
const [url, coding] = process.argv.slice(1);
http.get(url, {headers: {"accept-encoding": coding}}, (answer) => {
  const pieces = [];
  answer.on("data", (piece) => pieces.push(piece));
  answer.on("end", () => {
    const whole = Buffer.concat(pieces), coded = answer.headers["content-encoding"] || "identity";
    const decode = {gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync, zstd: zlib.zstdDecompressSync};
    const plain = coded === "identity" || !decode[coded] ? whole : decode[coded](whole);
    console.log(JSON.stringify({coded, known: coded === "identity" || !!decode[coded], size: whole.length,
      vary: answer.headers.vary, etag: answer.headers.etag, text: plain.toString("base64")}));
  });
});
"""
    done = subprocess.run(
        [node, "-e", program, gateway.url + path, coding], capture_output=True, text=True, timeout=30, check=True
    )
    seen = json.loads(done.stdout)
    assert (seen["coded"], seen["vary"]) == (coding, "Origin, Accept-Encoding")
    assert seen["etag"] == ('"a"' if coding == "identity" else 'W/"a"')
    if seen["known"]:  # node learnt zstd late
        import base64

        assert base64.b64decode(seen["text"]) == TEXT
    assert coding == "identity" or seen["size"] < len(TEXT) / 3


@pytest.mark.parametrize("path", ["/whole", "/chunked"])
def test_curl_decodes_what_we_code(gateway: GatewayProcess, path: str) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    done = subprocess.run([curl, "-s", "--compressed", gateway.url + path], capture_output=True, timeout=30, check=True)
    assert done.stdout == TEXT


def test_a_pause_of_the_target_flushes(gateway: GatewayProcess) -> None:
    with Client(gateway.port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        began = time.monotonic()
        head = client.read_head()
        assert b"content-encoding: gzip" in head.lower()
        line = b""
        while not line.endswith(b"\r\n"):
            line += client.read_exactly(1)
        size = int(line, 16)
        decoder = zlib.decompressobj(31)
        first = decoder.decompress(client.read_exactly(size))
        assert first == b"first"
        assert time.monotonic() - began < 0.9  # the target goes on only after a second
